"""The matrix products of a training step in JAX, and nothing else."""

from __future__ import annotations

import itertools
from typing import Any, final

import jax
import numpy.typing as npt

from comparisons.loops.parts import NO_LOSSES, layer_sizes
from twofold.problem.problem import Problem
from twofold.timing.timed_engine import rows_per_step

Pair = tuple[jax.Array, jax.Array]


@final
class Products:
    """Multiplies matrices of the shapes and layouts of one step in one compiled program."""

    def __init__(self, products: list[Pair]) -> None:
        self._products = products
        self._multiply = jax.jit(lambda pairs: [left @ right for left, right in pairs])
        self._last: list[jax.Array] = []

    def run(self, steps: int, /) -> npt.NDArray[Any]:
        """All products of some steps."""
        for _ in range(steps):
            self._last = self._multiply(self._products)
        return NO_LOSSES

    def synchronize(self) -> None:
        """Wait until the last product is there."""
        jax.block_until_ready(self._last)

    def compilations(self) -> int:
        """One program, compiled at the first step."""
        return 1 if self._last else 0


def build(problem: Problem) -> Products:
    """The products of a problem's step: forward, weights' gradients, gradients of hidden inputs."""
    rows = rows_per_step(problem)
    keys = iter(jax.random.split(jax.random.key(0), 3 * len(layer_sizes(problem))))
    products = []
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(layer_sizes(problem))):
        inputs = jax.random.uniform(next(keys), (rows, fan_in))
        kernel = jax.random.uniform(next(keys), (fan_in, fan_out))
        gradient = jax.random.uniform(next(keys), (rows, fan_out))
        products += [(inputs, kernel), (inputs.T, gradient)]
        if layer > 0:
            products.append((gradient, kernel.T))
    return Products(products)
