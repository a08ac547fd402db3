"""How much a training step has to do, counted from the shapes alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from twofold.problem.problem import Problem, slot_names


@dataclass(frozen=True)
class Work:
    """One training step: operations of its matrix products, and bytes that it must move.

    `flops`: 2 b m n for each product, forward, for the weights' gradients, and for the gradients of
    all inputs but the first layer's. `traffic_bytes`: every array once for each time that it has
    to be read or written when elementwise work is fused as far as it goes. `working_set_bytes`:
    all arrays of the step together.
    """

    flops: float
    traffic_bytes: float
    working_set_bytes: float


def work_of(problem: Problem, rows: int) -> Work:
    """The work of one step on a batch of some rows."""
    return count_work(
        problem.layer_sizes,
        rows,
        slots=len(slot_names(problem.experiment)),
        itemsize=problem.dtype.itemsize,
        bias=problem.experiment.model.bias,
    )


def count_work(
    sizes: Sequence[int], rows: int, *, slots: int, itemsize: int, bias: bool = True
) -> Work:
    """The work of a step of an MLP with `sizes` in_features, hidden ..., out_features."""
    layers = list(itertools.pairwise(sizes))
    products = [2 * rows * fan_in * fan_out for fan_in, fan_out in layers]
    flops = 3 * sum(products) - products[0]
    parameters = sum(fan_in * fan_out + (fan_out if bias else 0) for fan_in, fan_out in layers)
    # forward, gradient written and read, update read and written, each slot read and written
    parameter_moves = parameters * (5 + 2 * slots)
    # hidden and logits: written, read on, read again for the gradient, which is written and read
    row_moves = rows * (2 * sizes[0] + 5 * sum(sizes[1:]))
    arrays = parameters * (2 + slots) + rows * (sizes[0] + 2 * sum(sizes[1:]))
    return Work(
        float(flops), float(itemsize * (parameter_moves + row_moves)), float(itemsize * arrays)
    )
