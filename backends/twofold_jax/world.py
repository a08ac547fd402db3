"""The processes of `jax.distributed` that share a training, joined once for each process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from twofold.engines.world import (
    GIVE_UP_S,
    SILENT_S,
    World,
    fingerprint,
    left_alone,
    require_same,
    this_world,
)
from twofold.problem.state import TrainState


def join() -> World:
    """Meet the other processes; between processors JAX's collectives go over gloo.

    This has to come before JAX looks for devices. A process that was started by itself has its own
    devices alone. JAX ends a process whose fellow gives no sign of life for SILENT_S (its default
    is 100 s). Raises BadInput, or EngineFailed where the others do not come within GIVE_UP_S.
    """
    world = this_world()
    if world.size == 1 or jax.distributed.is_initialized():
        return world
    set_option: Any = jax.config.update  # untyped in JAX
    set_option("jax_cpu_collectives_implementation", "gloo")
    with exchange(world):
        jax.distributed.initialize(
            world.address,
            world.size,
            world.rank,
            initialization_timeout=GIVE_UP_S,
            heartbeat_timeout_seconds=SILENT_S,
            shutdown_timeout_seconds=GIVE_UP_S,
        )
    return world


@contextmanager
def exchange(world: World) -> Iterator[None]:
    """An exchange with the other processes; one that fails is an error in words."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if world.size == 1:
            raise
        raise left_alone(world, error) from error


@contextmanager
def _silent_standard_output() -> Iterator[None]:
    """What libraries write to the standard output goes nowhere."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _gathered(own: np.ndarray[Any, Any], world: World) -> np.ndarray[Any, Any]:
    """The arrays of all processes, in the order of their ranks: (processes, *shape)."""
    if world.size == 1:
        return own[None]
    # The first exchange of all: gloo says so on the standard output (jaxlib 0.10), which is ours.
    with exchange(world), _silent_standard_output():
        return np.asarray(multihost_utils.process_allgather(own))


def first_says(answer: bool, world: World) -> bool:
    """The first process's answer, in all of them; none returns before all have come."""
    first, *_ = _gathered(np.array([answer], np.uint8), world)
    return bool(first[0])


def require_same_bytes(own: bytes, world: World) -> None:
    """Raise DataError where the processes have different fingerprints, of as many bytes."""
    sent = _gathered(np.frombuffer(own, np.uint8), world)
    require_same([each.tobytes() for each in sent], world)


def require_same_state(state: TrainState, world: World) -> None:
    """Raise DataError where not all processes were given the same train state."""
    if world.size > 1:
        require_same_bytes(fingerprint(state), world)
