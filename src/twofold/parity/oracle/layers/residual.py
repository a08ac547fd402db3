"""Residual connections with bounds: x + block(x)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twofold.parity.oracle.bounded import Bounded, add
from twofold.parity.oracle.layers.applied import Applied, Pass, Pulled
from twofold.spec.layers.sequence import Placed

Through = Callable[[Sequence[Placed], Bounded, Pass], Applied]


def residual(placed: Placed, inputs: Bounded, given: Pass, through: Through) -> Applied:
    """The inputs and what the block makes of them, added; `through` passes the block's layers."""
    layers = given.arithmetic.layers
    block = through(placed.block, inputs, given)

    def pull(delta: Bounded, inputs_wanted: bool) -> Pulled:
        pulled = block.pull(delta, inputs_wanted)
        if pulled.inputs is None:
            return pulled
        return Pulled(add(delta, pulled.inputs, layers), pulled.parameters)

    return Applied(add(inputs, block.outputs, layers), pull, block.statistics)
