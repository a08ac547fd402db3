"""The processes of `torch.distributed` that share a training, joined once for each process."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from twofold.engines.world import (
    GIVE_UP_S,
    World,
    fingerprint,
    left_alone,
    require_same,
    this_world,
)
from twofold.problem.state import TrainState


def join(device: torch.device) -> World:
    """Meet the other processes: over nccl between GPUs, over gloo between processors.

    What is no tensor of a GPU, such as fingerprints, goes over gloo there too. A process that was
    started by itself is a world of one. Raises BadInput, or EngineFailed where the others do not
    come within GIVE_UP_S.
    """
    world = this_world()
    if dist.is_initialized():
        return world
    limit = timedelta(seconds=GIVE_UP_S)
    between = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    with exchange(world):
        if world.size == 1:
            store = dist.HashStore()  # type: ignore[attr-defined]  # documented, not in __all__
            dist.init_process_group(between, store=store, rank=0, world_size=1)
        else:
            dist.init_process_group(between, timeout=limit)  # the place is in the variables
    atexit.register(dist.destroy_process_group)
    return world


@contextmanager
def exchange(world: World) -> Iterator[None]:
    """An exchange with the other processes; one that fails is an error in words.

    gloo sees a closed connection at once, and gives up after GIVE_UP_S on one that is silent; it
    raises RuntimeError for either, of which `torch.distributed.DistError` is a kind.
    """
    try:
        yield
    except RuntimeError as error:
        if world.size == 1 or not _of_the_exchange(error):
            raise
        raise left_alone(world, error) from error


def _of_the_exchange(error: RuntimeError) -> bool:
    words = str(error).lower()
    return isinstance(error, dist.DistError) or any(
        name in words for name in ("gloo", "connection", "socket", "timed out", "timeout")
    )


def gathered(tensor: Tensor, world: World) -> list[Tensor]:
    """The tensors of all processes, in the order of their ranks; all of one shape."""
    parts = [torch.empty_like(tensor) for _ in range(world.size)]
    with exchange(world):
        dist.all_gather(parts, tensor.contiguous())
    return parts


def first_says(answer: bool, world: World) -> bool:
    """The first process's answer, in all of them; none returns before all have come."""
    first, *_ = gathered(torch.tensor([answer], dtype=torch.uint8), world)
    return bool(first)


def require_same_bytes(own: bytes, world: World) -> None:
    """Raise DataError where the processes have different fingerprints, of as many bytes."""
    sent = torch.frombuffer(bytearray(own), dtype=torch.uint8)
    require_same([bytes(each.tolist()) for each in gathered(sent, world)], world)


def require_same_state(state: TrainState, world: World) -> None:
    """Raise DataError where not all processes were given the same train state."""
    require_same_bytes(fingerprint(state), world)
