"""The network: forward pass, loss and every gradient, with bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twofold.parity.oracle.accumulation import added, weighted
from twofold.parity.oracle.activations import activate
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import (
    Bounded,
    Given,
    affine,
    matmul,
    multiply,
    narrowed,
    rounded,
    stored,
    total,
)
from twofold.parity.oracle.losses import evaluate_loss
from twofold.problem.micro_batches import parts_of
from twofold.problem.problem import Batch
from twofold.problem.state import bias_name, weight_name
from twofold.spec.experiment import Experiment

Masks = tuple[npt.NDArray[np.bool_], ...]

# A kept unit is multiplied by its mask and divided by 1 - p, or multiplied by a rounded quotient.
DROPOUT_ROUNDINGS = 3


@dataclass(frozen=True)
class ForwardPass:
    """What the backward pass needs: each layer's inputs and each activation's derivative.

    `layer_inputs[l]` (batch, in of layer l); `derivatives[l]` (batch, hidden l);
    `logits` (batch, out_features).
    """

    layer_inputs: tuple[Bounded, ...]
    derivatives: tuple[Bounded, ...]
    logits: Bounded


@dataclass(frozen=True)
class LossAndGradients:
    """The loss, shape (), the logits it came from and the gradient of every parameter."""

    logits: Bounded
    loss: Bounded
    gradients: dict[str, Bounded]


def forward(
    experiment: Experiment,
    parameters: Given,
    inputs: npt.NDArray[np.floating],
    masks: Masks,
    arithmetic: Arithmetic,
) -> ForwardPass:
    """Logits of inputs (batch, in_features); empty `masks` mean evaluation mode.

    Parameters may be exact or carry bounds of their own; so in `loss_and_gradients`.
    """
    layers = len(experiment.model.hidden)
    hidden = narrowed(inputs, arithmetic)
    layer_inputs, derivatives = [], []
    for layer in range(layers):
        layer_inputs.append(hidden)
        z = _linear(experiment, parameters, hidden, layer, arithmetic)  # (batch, hidden)
        hidden, derivative = activate(experiment.model.activation, z, arithmetic.layers)
        derivatives.append(derivative)
        if masks:
            hidden = _drop(hidden, masks[layer], experiment.model.dropout, arithmetic.layers)
    layer_inputs.append(hidden)
    logits = _linear(experiment, parameters, hidden, layers, arithmetic)
    return ForwardPass(tuple(layer_inputs), tuple(derivatives), logits)


def _linear(
    experiment: Experiment,
    parameters: Given,
    inputs: Bounded,
    layer: int,
    arithmetic: Arithmetic,
) -> Bounded:
    weight = narrowed(parameters[weight_name(layer)], arithmetic)
    bias = narrowed(parameters[bias_name(layer)], arithmetic) if experiment.model.bias else None
    return affine(inputs, weight, bias, arithmetic)


def _drop(
    hidden: Bounded, mask: npt.NDArray[np.bool_], dropout: float, arithmetic: Arithmetic
) -> Bounded:
    """Dropped units are exactly zero, kept ones are divided by 1 - dropout.

    A mask does not save what has left the engine's range: infinity times zero is not a number.
    """
    keep = arithmetic.oracle_dtype.type(1) - arithmetic.oracle_dtype.type(dropout)
    value = np.where(mask, hidden.value / keep, arithmetic.oracle_dtype.type(0))
    known = np.isfinite(hidden.bound)
    bound = np.where(mask | ~known, hidden.bound / float(keep), 0.0)
    return rounded(value, bound, DROPOUT_ROUNDINGS, arithmetic)


def loss_and_gradients(
    experiment: Experiment,
    parameters: Given,
    batch: Batch,
    masks: Masks,
    arithmetic: Arithmetic,
) -> LossAndGradients:
    """Loss of a batch and the gradient of every parameter by reverse differentiation.

    With micro-batches the values are those of the whole batch, for which the sum over its parts
    stands; the bounds leave room for that sum (`twofold.parity.oracle.accumulation`).
    """
    parts = len(parts_of(batch.rows, experiment.training.micro_batches))
    trace = forward(experiment, parameters, batch.inputs, masks, arithmetic)
    result = evaluate_loss(experiment.loss, trace.logits, batch.targets, arithmetic)
    result = weighted(result, parts, arithmetic)
    gradients: dict[str, Bounded] = {}
    layers = arithmetic.layers
    delta = stored(result.logits_gradient, arithmetic)  # (batch, out)
    for layer in range(len(experiment.model.hidden), -1, -1):
        if experiment.model.bias:
            # In mixed precision PyTorch sums in float32, XLA on the CPU in bfloat16.
            gradients[bias_name(layer)] = total(delta, 0, layers)  # (out,)
        inputs = trace.layer_inputs[layer]
        gradients[weight_name(layer)] = _weight_gradient(delta, inputs, parts, arithmetic)
        if layer > 0:
            weight = narrowed(parameters[weight_name(layer)], arithmetic)
            delta = stored(matmul(delta, weight, arithmetic), arithmetic)  # (batch, in)
            if masks:
                delta = _drop(delta, masks[layer - 1], experiment.model.dropout, layers)
            delta = multiply(delta, trace.derivatives[layer - 1], layers)
    ordered = {name: added(gradients[name], parts, arithmetic) for name in parameters}
    return LossAndGradients(trace.logits, result.loss, ordered)


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
