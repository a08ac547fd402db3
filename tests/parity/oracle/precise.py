"""The same network in mpmath with 50 digits and more; its gradients by central differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np

from twofold.problem.problem import Batch
from twofold.problem.state import FIRST_MOMENT, MOMENTUM, SECOND_MOMENT, TrainState
from twofold.spec.experiment import Experiment

DIGITS = 80
STEP = "1e-22"  # central differences: truncation 1e-44, cancellation 1e-58

Array = np.ndarray[Any, Any]


def to_mp(array: Array) -> Array:
    """Exact, longdouble included (mpmath takes float64 only)."""
    array = np.asarray(array)
    high = array.astype(np.float64)
    low = (array - high).astype(np.float64)
    return np.vectorize(lambda a, b: mp.mpf(float(a)) + mp.mpf(float(b)), otypes=[object])(
        high, low
    )


def phi(z: Any) -> Any:
    return mp.erfc(-z / mp.sqrt(2)) / 2


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda z: z,
    "relu": lambda z: z if z > 0 else mp.mpf(0),
    "leaky_relu": lambda z: z if z > 0 else mp.mpf(0.01) * z,
    "elu": lambda z: z if z > 0 else mp.expm1(z),
    "tanh": mp.tanh,
    "sigmoid": lambda z: 1 / (1 + mp.exp(-z)),
    "silu": lambda z: z / (1 + mp.exp(-z)),
    "gelu": lambda z: z * phi(z),
    "gelu_tanh": lambda z: (
        z * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (z + mp.mpf(0.044715) * z**3))) / 2
    ),
}


def logits(experiment: Experiment, parameters: dict[str, Array], batch: Batch, masks: Any) -> Array:
    hidden = to_mp(batch.inputs)
    layers = len(experiment.model.hidden)
    keep = 1 - mp.mpf(experiment.model.dropout)
    function = np.vectorize(ACTIVATIONS[experiment.model.activation], otypes=[object])
    for layer in range(layers + 1):
        hidden = hidden.dot(parameters[f"layers.{layer}.weight"].T)
        if experiment.model.bias:
            hidden = hidden + parameters[f"layers.{layer}.bias"]
        if layer < layers:
            hidden = function(hidden)
            if masks:
                hidden = hidden * masks[layer].astype(int) / keep
    return hidden


def cross_entropy(spec: Any, z: Array, labels: Array) -> Any:
    """The weighted mean, each class of a smoothed target with its own weight."""
    classes = z.shape[1]
    weights = [mp.mpf(w) for w in spec.class_weights or [1.0] * classes]
    smoothing = mp.mpf(spec.label_smoothing)
    terms = []
    for row, label in zip(z, labels, strict=True):
        partition = mp.log(mp.fsum(mp.exp(a) for a in row))
        for place, logit in enumerate(row):
            share = (1 - smoothing) * (place == label) + smoothing / classes
            terms.append(weights[place] * share * (partition - logit))
    return mp.fsum(terms) / mp.fsum(weights[label] for label in labels)


def loss_of_logits(spec: Any, z: Array, targets: Array) -> Any:
    if spec.kind == "cross_entropy":
        return cross_entropy(spec, z, targets)
    wanted = to_mp(targets)
    if spec.kind == "mse":
        terms = [(a - y) ** 2 for a, y in zip(z.ravel(), wanted.ravel(), strict=True)]
    elif spec.kind == "huber":
        delta = mp.mpf(spec.delta)
        errors = [abs(a - y) for a, y in zip(z.ravel(), wanted.ravel(), strict=True)]
        terms = [e**2 / 2 if e <= delta else delta * (e - delta / 2) for e in errors]
    else:
        weights = spec.pos_weight or [1.0] * z.shape[1]
        terms = [
            mp.mpf(w) * y * mp.log(1 + mp.exp(-a)) + (1 - y) * mp.log(1 + mp.exp(a))
            for row, ys in zip(z, wanted, strict=True)
            for a, y, w in zip(row, ys, weights, strict=True)
        ]
    return mp.fsum(terms) / len(terms)


def gradients(
    experiment: Experiment, parameters: dict[str, Array], batch: Batch, masks: Any
) -> dict[str, Array]:
    def loss() -> Any:
        return loss_of_logits(
            experiment.loss, logits(experiment, parameters, batch, masks), batch.targets
        )

    h = mp.mpf(STEP)
    result = {}
    for name, array in parameters.items():
        result[name] = np.empty(array.shape, object)
        for index in np.ndindex(array.shape):
            centre = array[index]
            array[index] = centre + h
            above = loss()
            array[index] = centre - h
            below = loss()
            array[index] = centre
            result[name][index] = (above - below) / (2 * h)
    return result


def update(experiment: Experiment, state: TrainState, g: dict[str, Array]) -> TrainState:
    """One step of the optimizer as its paper writes it."""
    spec: Any = experiment.optimizer
    root = np.vectorize(mp.sqrt, otypes=[object])
    rate = mp.mpf(spec.learning_rate)
    parameters: dict[str, Array] = {}
    slots: dict[str, dict[str, Array]] = {slot: {} for slot in state.slots}
    for name, start in state.parameters.items():
        p = to_mp(start)
        decay = mp.mpf(spec.weight_decay if spec.decay_biases or p.ndim > 1 else 0.0)
        slope = g[name] if spec.kind == "adamw" else g[name] + decay * p
        if spec.kind == "sgd":
            mu, direction = mp.mpf(spec.momentum), slope
            if spec.momentum > 0:
                buffer = mu * to_mp(state.slots[MOMENTUM][name]) + slope
                slots[MOMENTUM][name] = buffer
                direction = slope + mu * buffer if spec.nesterov else buffer
        else:
            b1, b2 = (mp.mpf(beta) for beta in spec.betas)
            m = b1 * to_mp(state.slots[FIRST_MOMENT][name]) + (1 - b1) * slope
            v = b2 * to_mp(state.slots[SECOND_MOMENT][name]) + (1 - b2) * slope**2
            slots[FIRST_MOMENT][name], slots[SECOND_MOMENT][name] = m, v
            t = state.step + 1
            direction = m / (1 - b1**t) / (root(v / (1 - b2**t)) + mp.mpf(spec.eps))
            if spec.kind == "adamw":
                direction = direction + decay * p
        parameters[name] = p - rate * direction
    return TrainState(parameters, slots, state.step + 1)
