"""The embedding with bounds: rows of a table, and the gradient that adds up in each row.

Forward nothing is rounded, but for the cast of the table in mixed precision. Backward a row's
gradient is the sum of what comes back to the inputs that name it, in any order: with n of them
n - 1 roundings (`bounded.total`), and exactly zero with none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded, narrowed, underflow
from twofold.parity.oracle.layers.applied import Applied, Pass, Pulled
from twofold.problem.state import Array
from twofold.spec.layers.embedding import Embedding
from twofold.spec.layers.sequence import Placed

Rows = npt.NDArray[np.int64]


def embedding(placed: Placed, inputs: Bounded, given: Pass) -> Applied:
    """(batch, in_features) to (batch, numbers + features times columns of texts).

    The rows are read in the precision of the inputs, which holds them exactly, also in mixed
    precision: there the layers after this one cast what they are given.
    """
    layer = placed.layer
    assert isinstance(layer, Embedding)
    name, numbers = placed.named("weight"), layer.numbers(placed.width)
    weight = narrowed(given.parameters[name], given.arithmetic)
    rows = inputs.value[:, numbers:].astype(np.int64)  # (batch, columns)

    def joined(own: Array, table: Array) -> Array:
        return np.hstack([own[:, :numbers], table[rows].reshape(len(rows), -1)])

    def pull(delta: Bounded, _: bool) -> Pulled:
        """The first layer of a model: nobody asks for the gradient of its inputs."""
        embedded = Bounded(
            delta.value[:, numbers:].reshape(-1, layer.features),
            delta.bound[:, numbers:].reshape(-1, layer.features),
        )
        # In mixed precision PyTorch adds in float32, XLA on the CPU in bfloat16.
        of_rows = added_by_row(embedded, rows.ravel(), len(weight.value), given.arithmetic.layers)
        return Pulled(None, {name: of_rows})

    outputs = Bounded(
        joined(inputs.value, weight.value), joined(inputs.bound, weight.bound).astype(np.float64)
    )
    return Applied(outputs, pull)


def added_by_row(terms: Bounded, rows: Rows, count: int, arithmetic: Arithmetic) -> Bounded:
    """Terms (terms, features) added up in the rows (count, features) that they name."""

    def added(array: Array) -> Array:
        sums = np.zeros((count, array.shape[1]), array.dtype)
        np.add.at(sums, rows, array)
        return sums

    named = np.bincount(rows, minlength=count)[:, None]  # (count, 1)
    reach = added(terms.reach)
    own = np.where(named > 1, arithmetic.sum_error(1) * (named - 1) * reach, 0.0)
    flushed = named * underflow(reach, 1, arithmetic)
    return Bounded(added(terms.value), added(terms.bound) + own + flushed)
