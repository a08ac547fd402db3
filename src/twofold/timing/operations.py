"""How much a training step has to do, counted from the shapes alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from twofold.problem.problem import Problem, slot_names
from twofold.spec.layers.sequence import Placed, every


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
        problem.layers,
        rows,
        slots=len(slot_names(problem.experiment)),
        itemsize=problem.dtype.itemsize,
    )


def count_work(layers: Sequence[Placed], rows: int, *, slots: int, itemsize: int) -> Work:
    """The work of a step of a model."""
    each_layer = list(every(layers))
    with_parameters = [each for each in each_layer if each.number is not None]
    products = [2 * rows * each.layer.products(each.width) for each in with_parameters]
    flops = 3 * sum(products) - products[0]
    shapes = [shape for each in with_parameters for shape in each.parameter_shapes.values()]
    parameters = sum(map(math.prod, shapes))
    # forward, gradient written and read, update read and written, each slot read and written
    parameter_moves = parameters * (5 + 2 * slots)
    # hidden and logits: written, read on, read again for the gradient, which is written and read
    kept = sum(each.layer.kept_numbers(each.width) for each in each_layer)
    row_moves = rows * (2 * layers[0].width + 5 * kept)
    arrays = parameters * (2 + slots) + rows * (layers[0].width + 2 * kept)
    return Work(
        float(flops), float(itemsize * (parameter_moves + row_moves)), float(itemsize * arrays)
    )
