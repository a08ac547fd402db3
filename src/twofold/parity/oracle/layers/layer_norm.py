"""Layer normalization with bounds."""

from __future__ import annotations

from twofold.parity.oracle.bounded import Bounded, as_bounded, multiply
from twofold.parity.oracle.layers.applied import Applied, Pass, Pulled
from twofold.parity.oracle.layers.normalization import (
    affine_of,
    input_gradient,
    normalized,
    parameter_gradients,
    statistics_of,
)
from twofold.spec.layers.layer_norm import LayerNorm
from twofold.spec.layers.sequence import Placed


def layer_norm(placed: Placed, inputs: Bounded, given: Pass) -> Applied:
    """Each row by its own mean and variance, in training and evaluation alike."""
    assert isinstance(placed.layer, LayerNorm)
    arithmetic = given.arithmetic
    weight_name, bias_name = placed.named("weight"), placed.named("bias")
    weight = as_bounded(given.parameters[weight_name], arithmetic)
    bias = as_bounded(given.parameters[bias_name], arithmetic)
    statistics = statistics_of(inputs, 1, arithmetic)  # (batch, 1)
    x = normalized(inputs, statistics, placed.layer.eps, 1, arithmetic)

    def pull(delta: Bounded, inputs_wanted: bool) -> Pulled:
        of_weight, of_bias = parameter_gradients(x, delta, arithmetic)
        gradients = {weight_name: of_weight, bias_name: of_bias}
        if not inputs_wanted:
            return Pulled(None, gradients)
        return Pulled(input_gradient(x, multiply(delta, weight, arithmetic), arithmetic), gradients)

    return Applied(affine_of(x, weight, bias, arithmetic), pull)
