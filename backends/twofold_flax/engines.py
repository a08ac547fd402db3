"""The engines of Flax, how they are opened, and how a trained model leaves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twofold_jax import device, executor
from twofold_jax.engines import aot, jit, op_by_op, scan
from twofold_jax.execution import Execution
from twofold_jax.export import write
from twofold_jax.program import Program
from twofold_jax.seeds import JaxSeeds
from twofold_jax.sharded import sharded, sharded_weights
from twofold_jax.world import join

from twofold.engines.registry import find_engine
from twofold.problem.problem import Problem
from twofold.problem.state import TrainState
from twofold_flax.model import build_model
from twofold_flax.stateful import nnx_jit

ENGINES: Final[Mapping[str, Callable[[Program], Execution]]] = {
    "op-by-op": op_by_op,
    "nnx-jit": nnx_jit,
    "jit": jit,
    "aot": aot,
    "scan": scan,
    "sharded": sharded,
    "sharded-weights": sharded_weights,
}


def open_executor(engine: str, problem: Problem) -> executor.JaxExecutor:
    """Open a problem in an engine of this backend. Raises DeviceUnavailable."""
    if find_engine(f"flax:{engine}")[1].processes:
        join()  # before JAX looks for devices
    return executor.open_executor(problem, build_model, ENGINES[engine])


def open_seeds(problems: Sequence[Problem]) -> JaxSeeds:
    """Open problems that differ in their seeds, to be trained together."""
    return JaxSeeds(problems, build_model)


def export(problem: Problem, state: TrainState) -> bytes:
    """A trained model as a file of `jax.export`."""
    return write(problem, state, build_model)


def probe() -> dict[str, Any]:
    """Versions, devices, threads and precision flags of JAX here, as plain JSON types."""
    return device.probe("flax")
