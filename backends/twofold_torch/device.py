"""Where PyTorch computes, in which arithmetic, and what it says about this machine."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, final

import torch

from twofold.backends.description import EngineDescription
from twofold.engines.world import place_on_machine, this_world
from twofold.errors import DeviceUnavailable
from twofold.spec.experiment import Device, Experiment

PREFERENCE: Final[tuple[Device, ...]] = ("cuda", "mps", "cpu")


def available_devices() -> tuple[Device, ...]:
    """The device types that exist here, the fastest kind first."""
    exists = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    return tuple(name for name in PREFERENCE if exists[name])


def choose_device(experiment: Experiment, engine: EngineDescription | None = None) -> torch.device:
    """The device an experiment asks for; `auto` is the engine's own, else cuda, mps or cpu.

    Raises DeviceUnavailable for a device that does not exist here, lacks the precision or is not
    the engine's own.
    """
    found = available_devices()
    name = experiment.device
    if engine is not None and engine.device is not None:
        if name not in ("auto", engine.device) or engine.device not in found:
            raise DeviceUnavailable(
                f"engine torch:{engine.name}: runs on {engine.device} only; PyTorch "
                f"{torch.__version__} finds {', '.join(found)} here, and the experiment's device "
                f"is {name!r}"
            )
        name = engine.device
    if name == "auto":
        # MPS has no float64 (PyTorch 2.13, `torch.backends.mps`), and no way between processes
        # (documentation of `torch.distributed`, "Backends"): `auto` passes over it.
        not_mps = experiment.precision == "float64" or (engine is not None and engine.processes)
        name = next(each for each in found if not (not_mps and each == "mps"))
    if name not in found:
        raise DeviceUnavailable(
            f"device: {name!r} given; PyTorch {torch.__version__} finds {', '.join(found)} here; "
            "choose one of them or 'auto'"
        )
    if name == "mps" and experiment.precision == "float64":
        raise DeviceUnavailable("device: 'mps' given with precision float64; mps has float32 only")
    if name == "mps" and engine is not None and engine.processes:
        raise DeviceUnavailable(
            f"device: 'mps' given; torch:{engine.name} allows cpu or cuda, for PyTorch has no way "
            "between processes on MPS; set it to 'cpu'"
        )
    return torch.device(name)


def own_device(device: torch.device) -> torch.device:
    """The GPU of this one of several processes; the processor is everybody's.

    nccl needs a device for each process (documentation of `torch.distributed`, "Which backend to
    use?"). Where LOCAL_RANK is not set, every machine is taken to have a process for each of its
    GPUs; nccl itself refuses two processes on one. Raises BadInput for a LOCAL_RANK that is no
    number, DeviceUnavailable for one that is not below the number of GPUs.
    """
    if device.type != "cuda":
        return device
    world, count = this_world(), torch.cuda.device_count()
    place = place_on_machine()
    if place is None:
        place = world.rank % count
    if place >= count:
        raise DeviceUnavailable(
            f"process {world.rank} of {world.size}: number {place + 1} on a machine with {count} "
            "CUDA devices; nccl allows one process for each; start fewer, or set device to 'cpu'"
        )
    torch.cuda.set_device(place)
    return torch.device("cuda", place)


def pin_matmul_precision() -> None:
    """Full float32 in matrix products: no TF32, no bfloat16 passes; float32 sums of bfloat16.

    The only global settings of PyTorch that this backend changes.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all work asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@final
class RandomStream:
    """PyTorch's own random numbers for one session, apart from everybody else's.

    `nn.Dropout` draws from the device's global generator only; `drawing` lends that generator the
    state of this stream and gives it its own back.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._module: Any = (
            torch.random if device.type == "cpu" else torch.get_device_module(device)
        )
        self._state = torch.Generator(device).manual_seed(seed).get_state()

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """All draws inside come from this stream."""
        outside = self._module.get_rng_state()
        self._module.set_rng_state(self._state)
        try:
            yield
        finally:
            self._state = self._module.get_rng_state()
            self._module.set_rng_state(outside)


def probe() -> dict[str, Any]:
    """Versions, devices, threads and precision flags of PyTorch here, as plain JSON types."""
    return {
        "versions": {"torch": str(torch.__version__), "python": platform.python_version()},
        "devices": [_device_name(name) for name in available_devices()],
        "default_device": available_devices()[0],
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cuda_allow_tf32": bool(torch.backends.cuda.matmul.allow_tf32),
        "cudnn_allow_tf32": bool(torch.backends.cudnn.allow_tf32),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.version.cuda,
    }


def _device_name(name: str) -> str:
    return f"cuda: {torch.cuda.get_device_name()}" if name == "cuda" else name
