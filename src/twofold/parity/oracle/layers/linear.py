"""Linear layers with bounds: x W^T + b, and its gradients."""

from __future__ import annotations

import numpy as np

from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded, affine, matmul, narrowed, stored, total
from twofold.parity.oracle.layers.applied import Applied, Pass, Pulled
from twofold.spec.layers.sequence import Placed


def linear(placed: Placed, inputs: Bounded, given: Pass) -> Applied:
    """(batch, in_features) to (batch, out_features)."""
    arithmetic = given.arithmetic
    weight_name, bias_name = placed.named("weight"), placed.named("bias")
    weight = narrowed(given.parameters[weight_name], arithmetic)
    has_bias = bias_name in placed.parameter_shapes
    bias = narrowed(given.parameters[bias_name], arithmetic) if has_bias else None

    def pull(delta: Bounded, inputs_wanted: bool) -> Pulled:
        gradients: dict[str, Bounded] = {}
        if has_bias:
            # In mixed precision PyTorch sums in float32, XLA on the CPU in bfloat16.
            gradients[bias_name] = total(delta, 0, arithmetic.layers)  # (out,)
        gradients[weight_name] = _weight_gradient(delta, inputs, given.parts, arithmetic)
        if not inputs_wanted:
            return Pulled(None, gradients)
        return Pulled(stored(matmul(delta, weight, arithmetic), arithmetic), gradients)

    return Applied(affine(inputs, weight, bias, arithmetic), pull)


def _weight_gradient(
    delta: Bounded, inputs: Bounded, parts: int, arithmetic: Arithmetic
) -> Bounded:
    """delta^T x, (out, in); each part of the batch stores its own, however much of it cancels."""
    gradient = matmul(delta.transposed(), inputs, arithmetic)
    if parts == 1:
        return stored(gradient, arithmetic)
    spread = delta.reach.T @ inputs.reach
    of_parts = stored(Bounded(spread, np.zeros(spread.shape)), arithmetic)
    return Bounded(gradient.value, gradient.bound + of_parts.bound)
