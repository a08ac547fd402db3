"""Small problems for the tests of the oracle, and ratios of errors to bounds."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import numpy as np
from plain import Plain, Step

from twofold.parity.oracle.arithmetic import Arithmetic, arithmetic_for
from twofold.parity.oracle.bounded import Bounded
from twofold.parity.oracle.network import LossAndGradients, loss_and_gradients
from twofold.parity.oracle.optimizers import BoundedState, update
from twofold.problem.problem import Batch, slot_names
from twofold.problem.state import MOMENTUM, SECOND_MOMENT, TrainState, fresh_state
from twofold.spec.experiment import Adam, AdamW, Experiment, Mlp, Sgd
from twofold.spec.layers.activation import ActivationName

Array = np.ndarray[Any, Any]

ACTIVATIONS: tuple[str, ...] = get_args(ActivationName)
LOSSES = (
    "cross_entropy",
    "mse",
    "bce_with_logits",
    "huber",
    "smoothed",
    "weighted",
    "weighted, smoothed",
    "weighted positives",
)
OPTIMIZERS: dict[str, Any] = {
    "sgd": Sgd(learning_rate=0.1),
    "sgd with weight decay": Sgd(learning_rate=0.1, weight_decay=0.03),
    "momentum": Sgd(learning_rate=0.03, momentum=0.9, weight_decay=0.01),
    "nesterov": Sgd(learning_rate=0.03, momentum=0.8, nesterov=True, weight_decay=0.01),
    "adam": Adam(learning_rate=2e-3),
    "adam with weight decay": Adam(learning_rate=2e-3, weight_decay=0.02, betas=(0.8, 0.99)),
    "adamw": AdamW(learning_rate=1e-3, weight_decay=0.01),
    "nesterov, biases do not decay": Sgd(
        learning_rate=0.03, momentum=0.8, nesterov=True, weight_decay=0.3, decay_biases=False
    ),
    "adam, biases do not decay": Adam(learning_rate=2e-3, weight_decay=0.2, decay_biases=False),
    "adamw, biases do not decay": AdamW(learning_rate=1e-3, weight_decay=1.0, decay_biases=False),
}


def loss_of(name: str, outputs: int) -> dict[str, Any]:
    """The loss of a name in LOSSES, with weights of very different sizes where it has some."""
    weights = [(0.3, 1.0, 7.25, 0.004)[place % 4] for place in range(outputs)]
    return {
        "huber": {"kind": "huber", "delta": 0.7},
        "smoothed": {"kind": "cross_entropy", "label_smoothing": 0.1},
        "weighted": {"kind": "cross_entropy", "class_weights": weights},
        "weighted, smoothed": {
            "kind": "cross_entropy",
            "class_weights": weights,
            "label_smoothing": 0.3,
        },
        "weighted positives": {"kind": "bce_with_logits", "pos_weight": weights},
    }.get(name, {"kind": name})


def experiment_of(
    sizes: tuple[int, ...],
    activation: str = "tanh",
    loss: str = "cross_entropy",
    optimizer: Any = None,
    *,
    dropout: float = 0.0,
    bias: bool = True,
) -> Experiment:
    """An experiment with an MLP of these layer sizes, input side first."""
    model = Mlp(
        in_features=sizes[0],
        hidden=sizes[1:-1],
        out_features=sizes[-1],
        activation=activation,
        dropout=dropout,
        bias=bias,
    )
    return Experiment.model_validate(
        {"model": model, "loss": loss_of(loss, sizes[-1]), "optimizer": optimizer or AdamW()}
    )


def sizes_of(experiment: Experiment) -> tuple[int, ...]:
    model = experiment.model
    assert model.in_features is not None
    assert model.out_features is not None
    return (model.in_features, *model.hidden, model.out_features)


def state_of(
    experiment: Experiment, seed: int, dtype: type, *, warm: bool, gain: float = 1.0
) -> TrainState:
    """A random state: fresh, or warm with moments that no run need have produced."""
    random = np.random.default_rng(seed)
    parameters: dict[str, Array] = {}
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes_of(experiment))):
        limit = gain / np.sqrt(fan_in)
        parameters[f"layers.{layer}.weight"] = random.uniform(-limit, limit, (fan_out, fan_in))
        if experiment.model.bias:
            parameters[f"layers.{layer}.bias"] = random.uniform(-limit, limit, fan_out)
    parameters = {name: array.astype(dtype) for name, array in parameters.items()}
    if not warm:
        return fresh_state(parameters, slot_names(experiment))
    slots: dict[str, dict[str, Array]] = {}
    for slot in slot_names(experiment):
        slots[slot] = {}
        for name, array in parameters.items():
            size = 10.0 ** random.uniform(-6, 0)
            values = random.normal(0, size, array.shape)
            if slot == SECOND_MOMENT:
                values = values**2
            elif slot != MOMENTUM:
                values[random.random(array.shape) < 0.1] = 0.0
            slots[slot][name] = values.astype(dtype)
    return TrainState(parameters, slots, step=int(random.integers(1, 2000)))


def batch_of(
    experiment: Experiment, seed: int, dtype: type, rows: int, scale: float = 1.0
) -> Batch:
    """Random rows; real targets spread over [0, 1] for bce_with_logits, its ends included."""
    random = np.random.default_rng(seed + 1)
    sizes = sizes_of(experiment)
    inputs = (scale * random.normal(size=(rows, sizes[0]))).astype(dtype)
    kind = experiment.loss.kind
    if kind == "cross_entropy":
        return Batch(inputs, random.integers(0, sizes[-1], rows))
    targets = random.normal(size=(rows, sizes[-1]))
    if kind == "bce_with_logits":
        targets = np.clip(random.uniform(-0.5, 1.5, (rows, sizes[-1])), 0, 1)
    return Batch(inputs, targets.astype(dtype))


def masks_of(experiment: Experiment, seed: int, rows: int) -> tuple[Array, ...]:
    random = np.random.default_rng(seed + 2)
    model = experiment.model
    if model.dropout == 0:
        return ()
    return tuple(random.random((rows, width)) >= model.dropout for width in model.hidden)


def ratio(computed: Array, expected: Bounded) -> float:
    """The largest |computed - value| / bound; infinite where the bound is zero and they differ."""
    assert computed.shape == expected.value.shape == expected.bound.shape
    assert np.isfinite(expected.bound).all()
    assert (expected.bound >= 0).all()
    difference = np.abs(computed.astype(expected.value.dtype) - expected.value)
    difference = np.where(np.isfinite(computed), difference, np.inf).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(difference == 0, 0.0, difference / expected.bound)
    return float(ratios.max())


def oracle_step(
    experiment: Experiment,
    state: TrainState,
    batch: Batch,
    masks: tuple[Array, ...],
    arithmetic: Arithmetic,
) -> tuple[LossAndGradients, BoundedState]:
    result = loss_and_gradients(experiment, state, batch, masks, arithmetic)
    return result, update(experiment, state, result.gradients, arithmetic)


def ratios(step: Step, result: LossAndGradients, after: BoundedState) -> dict[str, float]:
    """The worst ratio of each rung."""
    worst = {
        "logits": ratio(step.logits, result.logits),
        "loss": ratio(step.loss, result.loss),
        "gradients": max(ratio(step.gradients[n], b) for n, b in result.gradients.items()),
        "parameters": max(ratio(step.state.parameters[n], b) for n, b in after.parameters.items()),
    }
    for slot, arrays in after.slots.items():
        worst[slot] = max(ratio(step.state.slots[slot][n], b) for n, b in arrays.items())
    return worst


def judge(
    plain: Plain,
    experiment: Experiment,
    state: TrainState,
    batch: Batch,
    masks: tuple[Array, ...] = (),
) -> dict[str, float]:
    """The worst ratios of a plain step against the oracle of its precision."""
    arithmetic = arithmetic_for("float32" if plain.dtype is np.float32 else "float64")
    result, after = oracle_step(experiment, state, batch, masks, arithmetic)
    return ratios(plain.step(experiment, state, batch, masks), result, after)
