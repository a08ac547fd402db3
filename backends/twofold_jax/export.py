"""A trained model in a file that other programs read: of `jax.export`.

It takes inputs (batch, in_features) of any number of rows, as the training saw them, and gives
logits. It is lowered for processors and CUDA, and run here on the processor. Where the model's
source lies on this machine, which JAX writes beside each operation, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import jax
from jax import export

from twofold.problem.problem import Problem
from twofold.problem.state import Array, TrainState
from twofold.spec.experiment import Precision
from twofold_jax import convert
from twofold_jax.device import arithmetic
from twofold_jax.model import BuildModel
from twofold_jax.program import build_program

Logits = Callable[[Array], Array]
PLATFORMS: Final = ("cpu", "cuda")


def write(problem: Problem, state: TrainState, build_model: BuildModel) -> bytes:
    """The model as `jax.export` serializes it, its weights among the constants."""
    device = _cpu()
    with arithmetic(problem.experiment.precision, device), _without_locations():
        program = build_program(problem, build_model)
        trained = convert.state_to_jax(program.model, program.optimizer, state, device)
        (batch,) = export.symbolic_shape("batch")
        shape = batch, problem.in_features
        inputs = jax.ShapeDtypeStruct(shape, problem.dtype)  # type: ignore[no-untyped-call]
        logits = jax.jit(lambda rows: program.logits(trained, rows))
        return bytes(export.export(logits, platforms=PLATFORMS)(inputs).serialize())


def read(path: Path) -> Logits:
    """The function of a file that `write` made."""
    exported = export.deserialize(bytearray(path.read_bytes()))
    wide = exported.in_avals[0].dtype == "float64"
    precision: Precision = "float64" if wide else "float32"

    def logits(inputs: Array) -> Array:
        device = _cpu()
        with arithmetic(precision, device):
            found = exported.call(convert.to_device(inputs, device))  # type: ignore[no-untyped-call]
            return convert.to_array(found)

    return logits


@contextmanager
def _without_locations() -> Iterator[None]:
    """JAX has no public context for this option, so it is set and set back (JAX 0.10)."""
    option = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, option)
    jax.config.update(option, 0)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        jax.config.update(option, before)  # type: ignore[no-untyped-call]


def _cpu() -> jax.Device:
    device: jax.Device = jax.devices("cpu")[0]
    return device
