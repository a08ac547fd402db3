"""The matrix products of a training step in PyTorch, and nothing else."""

from __future__ import annotations

import itertools
from typing import Any, final

import numpy.typing as npt
import torch
from torch import Tensor

from comparisons.loops.parts import NO_LOSSES, layer_sizes
from twofold.problem.problem import Problem
from twofold.timing.timed_engine import rows_per_step


@final
class Products:
    """Multiplies matrices of the shapes and layouts of one step, each into a result of its own."""

    def __init__(self, products: list[tuple[Tensor, Tensor]]) -> None:
        self._products = [
            (left, right, left.new_empty(left.shape[0], right.shape[1])) for left, right in products
        ]

    def run(self, steps: int, /) -> npt.NDArray[Any]:
        """All products of some steps."""
        for _ in range(steps):
            for left, right, result in self._products:
                torch.mm(left, right, out=result)
        return NO_LOSSES

    def synchronize(self) -> None:
        """Nothing to wait for: the processor computes while it is asked."""

    def compilations(self) -> int:
        """Nothing is compiled."""
        return 0


def build(problem: Problem) -> Products:
    """The products of a problem's step: forward, weights' gradients, gradients of hidden inputs."""
    rows = rows_per_step(problem)
    random = torch.Generator().manual_seed(0)
    products = []
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(layer_sizes(problem))):
        inputs = torch.rand(rows, fan_in, generator=random)
        weight = torch.rand(fan_out, fan_in, generator=random)
        gradient = torch.rand(rows, fan_out, generator=random)
        products += [(inputs, weight.T), (gradient.T, inputs)]
        if layer > 0:
            products.append((gradient, weight))
    return Products(products)
