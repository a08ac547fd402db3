"""All layers of a model, one after the other, forward and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from twofold.parity.oracle.bounded import Bounded
from twofold.parity.oracle.layers.activation import activation
from twofold.parity.oracle.layers.applied import Applied, Apply, BatchStatistics, Pass, Pulled
from twofold.parity.oracle.layers.batch_norm import batch_norm
from twofold.parity.oracle.layers.dropout import dropout
from twofold.parity.oracle.layers.embedding import embedding
from twofold.parity.oracle.layers.layer_norm import layer_norm
from twofold.parity.oracle.layers.linear import linear
from twofold.parity.oracle.layers.residual import residual
from twofold.spec.layers.activation import Activation
from twofold.spec.layers.batch_norm import BatchNorm
from twofold.spec.layers.dropout import Dropout
from twofold.spec.layers.embedding import Embedding
from twofold.spec.layers.kind import LayerKind
from twofold.spec.layers.layer_norm import LayerNorm
from twofold.spec.layers.linear import Linear
from twofold.spec.layers.residual import Residual
from twofold.spec.layers.sequence import Placed


def through(layers: Sequence[Placed], inputs: Bounded, given: Pass) -> Applied:
    """Layers one after the other as if they were one."""
    hidden = inputs
    applied: list[Applied] = []
    statistics: dict[int, BatchStatistics] = {}
    for placed in layers:
        applied.append(LAYERS[type(placed.layer)](placed, hidden, given))
        hidden = applied[-1].outputs
        statistics |= applied[-1].statistics
    # Below the first layer with parameters nobody needs a gradient.
    first = next((n for n, each in enumerate(layers) if each.block or each.number is not None), 0)

    def pull(delta: Bounded, inputs_wanted: bool) -> Pulled:
        gradients: dict[str, Bounded] = {}
        going_back: Any = delta
        for index in range(len(applied) - 1, -1, -1):
            if index < first and not inputs_wanted:
                return Pulled(None, gradients)
            pulled = applied[index].pull(going_back, inputs_wanted or index > first)
            gradients |= pulled.parameters
            going_back = pulled.inputs
        return Pulled(going_back, gradients)

    return Applied(hidden, pull, statistics)


LAYERS: Final[Mapping[type[LayerKind], Apply]] = {
    Linear: linear,
    Activation: activation,
    Dropout: dropout,
    Embedding: embedding,
    LayerNorm: layer_norm,
    BatchNorm: batch_norm,
    Residual: partial(residual, through=through),
}
