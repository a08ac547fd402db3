"""What a backend must compute, written plainly in NumPy float64: independent evidence."""

from __future__ import annotations

import numpy as np
from scipy.special import erf

from twofold.problem.problem import Batch, Problem
from twofold.problem.state import Array, Parameters, TrainState
from twofold.spec.experiment import Adam, AdamW, CrossEntropy, Optimizer, Schedule, Sgd

ACTIVATIONS = {
    "relu": lambda x: np.where(x > 0, x, 0.0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
    "tanh": np.tanh,
    "gelu": lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "identity": lambda x: x,
}


def forward(
    problem: Problem, parameters: Parameters, inputs: Array, masks: tuple[Array, ...] = ()
) -> Array:
    """Logits (batch, out_features); `masks` as of `twofold.problem.problem.dropout_masks`."""
    model = problem.experiment.model
    hidden = inputs
    for layer in range(len(model.hidden) + 1):
        hidden = hidden @ parameters[f"layers.{layer}.weight"].T
        hidden = hidden + parameters.get(f"layers.{layer}.bias", 0.0)
        if layer < len(model.hidden):
            hidden = ACTIVATIONS[model.activation](hidden)
            if masks:
                hidden = np.where(masks[layer], hidden / (1 - model.dropout), 0.0)
    return hidden


def loss(problem: Problem, logits: Array, targets: Array) -> float:
    """The mean loss."""
    spec = problem.experiment.loss
    if spec.kind == "cross_entropy":
        return _cross_entropy(spec, logits, targets)
    if spec.kind == "mse":
        return float(np.mean((logits - targets) ** 2))
    if spec.kind == "huber":
        error = np.abs(logits - targets)
        tail = spec.delta * (error - spec.delta / 2)
        return float(np.mean(np.where(error <= spec.delta, error**2 / 2, tail)))
    weight = np.array(spec.pos_weight or [1.0])
    terms = weight * targets * np.log1p(np.exp(-logits))
    return float(np.mean(terms + (1 - targets) * np.log1p(np.exp(logits))))


def _cross_entropy(spec: CrossEntropy, logits: Array, labels: Array) -> float:
    """The mean over the rows, each with the weight of its label."""
    classes = logits.shape[1]
    weights = np.array(spec.class_weights or [1.0] * classes)
    log_p = logits - np.log(np.sum(np.exp(logits), axis=1))[:, None]
    own = weights[labels] * log_p[np.arange(len(labels)), labels]
    spread = (weights * log_p).mean(axis=1)
    terms = (1 - spec.label_smoothing) * own + spec.label_smoothing * spread
    return float(-np.sum(terms) / np.sum(weights[labels]))


def gradient_entry(
    problem: Problem,
    parameters: Parameters,
    batch: Batch,
    masks: tuple[Array, ...],
    name: str,
    index: tuple[int, ...],
) -> float:
    """One entry of the gradient by a five-point finite difference, error about 1e-12."""
    h = 1e-3

    def shifted(by: float) -> float:
        moved = {each: array.copy() for each, array in parameters.items()}
        moved[name][index] += by
        return loss(problem, forward(problem, moved, batch.inputs, masks), batch.targets)

    near, far = shifted(h) - shifted(-h), shifted(2 * h) - shifted(-2 * h)
    return (8 * near - far) / (12 * h)


def update(spec: Optimizer, state: TrainState, gradients: Parameters) -> TrainState:
    """The state after one step of the optimizer."""
    parameters: dict[str, Array] = {}
    slots: dict[str, dict[str, Array]] = {slot: {} for slot in state.slots}
    for name, parameter in state.parameters.items():
        old = {slot: arrays[name] for slot, arrays in state.slots.items()}
        if isinstance(spec, Sgd):
            parameters[name], new = _sgd(spec, parameter, gradients[name], old)
        else:
            parameters[name], new = _adam(spec, parameter, gradients[name], old, state.step + 1)
        for slot, array in new.items():
            slots[slot][name] = array
    return TrainState(parameters, slots, state.step + 1)


def schedule_factor(schedule: Schedule, step: int) -> float:
    """What the learning rate of a step is multiplied by."""
    if schedule.kind == "linear":
        rows = [0, schedule.transition_steps], [schedule.start_fraction, schedule.final_fraction]
        return float(np.interp(step, *rows))
    if schedule.kind == "step":
        drops = sum(passed % schedule.transition_steps == 0 for passed in range(1, step + 1))
        return float(schedule.decay_rate**drops)
    if schedule.kind == "exponential":
        return float(schedule.decay_rate ** (step / schedule.transition_steps))
    assert schedule.kind == "warmup_cosine"
    if step < schedule.warmup_steps:
        return float(np.interp(step, [0, schedule.warmup_steps], [schedule.start_fraction, 1]))
    turns = np.interp(step, [schedule.warmup_steps, schedule.decay_steps], [0, np.pi])
    return float(np.interp(np.cos(turns), [-1, 1], [schedule.final_fraction, 1]))


def decay_of(spec: Optimizer, parameter: Array) -> float:
    """The weight decay of a parameter: of biases none, where the spec says so."""
    return spec.weight_decay if spec.decay_biases or parameter.ndim == 2 else 0.0


def _sgd(
    spec: Sgd, parameter: Array, gradient: Array, old: dict[str, Array]
) -> tuple[Array, dict[str, Array]]:
    gradient = gradient + decay_of(spec, parameter) * parameter
    if spec.momentum == 0:
        return parameter - spec.learning_rate * gradient, {}
    momentum = spec.momentum * old["momentum"] + gradient
    direction = gradient + spec.momentum * momentum if spec.nesterov else momentum
    return parameter - spec.learning_rate * direction, {"momentum": momentum}


def _adam(
    spec: Adam | AdamW, parameter: Array, gradient: Array, old: dict[str, Array], count: int
) -> tuple[Array, dict[str, Array]]:
    decoupled = isinstance(spec, AdamW)
    if not decoupled:
        gradient = gradient + decay_of(spec, parameter) * parameter
    beta1, beta2 = spec.betas
    first = beta1 * old["first_moment"] + (1 - beta1) * gradient
    second = beta2 * old["second_moment"] + (1 - beta2) * gradient**2
    corrected = np.sqrt(second / (1 - beta2**count)) + spec.eps
    direction = first / (1 - beta1**count) / corrected
    if decoupled:
        direction = direction + decay_of(spec, parameter) * parameter
    new = {"first_moment": first, "second_moment": second}
    return parameter - spec.learning_rate * direction, new
