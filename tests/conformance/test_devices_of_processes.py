"""Which GPU each process takes, and how processes meet there: asked where PyTorch says it has GPUs.

No test here computes on one: this library was never run on several GPUs.
"""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from twofold_torch import device, world  # noqa: E402

from twofold.engines.registry import find_engine  # noqa: E402
from twofold.engines.world import World  # noqa: E402
from twofold.errors import DeviceUnavailable  # noqa: E402
from twofold.spec.experiment import Experiment  # noqa: E402

DDP = find_engine("torch:ddp")[1]
CUDA = torch.device("cuda")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """PyTorch as it answers on a machine with two GPUs; the list gets those that were chosen."""
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


def in_world(monkeypatch: pytest.MonkeyPatch, rank: int, local: int | None) -> None:
    """This process as one of four."""
    monkeypatch.setattr(device, "this_world", lambda: World(rank, 4, "10.0.0.1:1"))
    if local is None:
        monkeypatch.delenv("LOCAL_RANK", raising=False)
    else:
        monkeypatch.setenv("LOCAL_RANK", str(local))


@pytest.mark.parametrize(("rank", "local", "place"), [(0, 0, 0), (3, 1, 1), (2, None, 0)])
def test_each_process_of_a_machine_takes_a_gpu_of_its_own(
    monkeypatch: pytest.MonkeyPatch, two_gpus: list[int], rank: int, local: int | None, place: int
) -> None:
    in_world(monkeypatch, rank, local)
    assert device.choose_device(Experiment(), DDP) == CUDA
    assert device.own_device(CUDA) == torch.device("cuda", place)
    assert two_gpus == [place]


@pytest.mark.usefixtures("two_gpus")
def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    in_world(monkeypatch, 2, 2)
    with pytest.raises(DeviceUnavailable, match="process 2 of 4: number 3 on a machine with 2"):
        device.own_device(CUDA)


def test_a_processor_is_everybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    in_world(monkeypatch, 3, 3)
    assert device.own_device(torch.device("cpu")) == torch.device("cpu")


def test_processes_never_take_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "available_devices", lambda: ("mps", "cpu"))
    assert device.choose_device(Experiment()) == torch.device("mps")
    assert device.choose_device(Experiment(), DDP) == torch.device("cpu")
    with pytest.raises(DeviceUnavailable, match="torch:ddp allows cpu or cuda"):
        device.choose_device(Experiment(device="mps"), DDP)


@pytest.mark.parametrize(("kind", "backend"), [("cuda", "cpu:gloo,cuda:nccl"), ("cpu", "gloo")])
def test_gpus_meet_over_nccl_and_processors_over_gloo(
    monkeypatch: pytest.MonkeyPatch, kind: str, backend: str
) -> None:
    asked: list[str] = []

    def init(name: str, **_: Any) -> None:
        asked.append(name)

    monkeypatch.setattr(world.dist, "is_initialized", lambda: False)
    monkeypatch.setattr(world.dist, "init_process_group", init)
    monkeypatch.setattr(world.atexit, "register", lambda _: None)
    world.join(torch.device(kind))
    assert asked == [backend]
