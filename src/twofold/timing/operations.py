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
    flops = flops_of([each.layer.products(each.width) for each in with_parameters], rows)
    shapes = [shape for each in with_parameters for shape in each.parameter_shapes.values()]
    parameters = sum(map(math.prod, shapes))
    kept = sum(each.layer.kept_numbers(each.width) for each in each_layer)
    moves = parameter_moves(parameters, slots) + row_moves(layers[0].width, kept, rows)
    arrays = parameters * (2 + slots) + rows * (layers[0].width + 2 * kept)
    return Work(float(flops), float(itemsize * moves), float(itemsize * arrays))


def flops_of(products: Sequence[int], rows: int) -> int:
    """Operations of a step's matrix products, given in_features times out_features of each.

    Forward, the weights' gradients, and the gradients of all inputs but the first layer's.
    """
    return 2 * rows * (3 * sum(products) - products[0])


def parameter_moves(parameters: int, slots: int) -> int:
    """How many numbers move for the parameters: forward, gradient, update, and each slot."""
    # forward, gradient written and read, update read and written, each slot read and written
    return parameters * (5 + 2 * slots)


def row_moves(in_features: int, kept: int, rows: int) -> int:
    """How many numbers move for the rows; `kept` is how many a row keeps for its gradient."""
    # hidden and logits: written, read on, read again for the gradient, which is written and read
    return rows * (2 * in_features + 5 * kept)
