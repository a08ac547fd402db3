"""What a turn of a compiled loop costs in JAX: a loop over an epoch's batches that only counts."""

from __future__ import annotations

from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from comparisons.loops.parts import NO_LOSSES
from twofold.problem.problem import Problem
from twofold.timing.timed_engine import rows_per_step


@final
class Floor:
    """Calls a loop once for each epoch, as `scan` does; each turn notes its number."""

    def __init__(self, per_epoch: int) -> None:
        self._per_epoch = per_epoch
        self._loop = jax.jit(_noting, donate_argnums=0)
        self.noted = jnp.zeros(per_epoch, jnp.int32)
        self._compiled = False

    def run(self, steps: int, /) -> npt.NDArray[Any]:
        """The turns of some steps."""
        self._compiled = True
        while steps > 0:
            turns = min(steps, self._per_epoch)
            self.noted = self._loop(self.noted, np.int32(turns))
            steps -= turns
        return NO_LOSSES

    def synchronize(self) -> None:
        """Wait until the last turn is done."""
        jax.block_until_ready(self.noted)

    def compilations(self) -> int:
        """One program, compiled at the first step."""
        return int(self._compiled)


def build(problem: Problem) -> Floor:
    """A loop over as many batches as an epoch of the problem has."""
    return Floor(max(1, len(problem.train.inputs) // rows_per_step(problem)))


def _noting(noted: jax.Array, turns: np.int32) -> jax.Array:
    def body(index: jax.Array, carried: jax.Array) -> jax.Array:
        return carried.at[index].set(carried[index] + index)

    found: jax.Array = jax.lax.fori_loop(0, turns, body, noted)
    return found
