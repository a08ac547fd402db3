"""The bounds are not vacuous: a small error in any single coefficient falls outside somewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from judged import (
    OPTIMIZERS,
    batch_of,
    experiment_of,
    judge,
    masks_of,
    oracle_step,
    ratios,
    state_of,
)
from plain import Plain

from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.problem.state import SECOND_MOMENT, TrainState
from twofold.spec.experiment import Experiment

ROWS = 8


def coefficients() -> Iterator[tuple[str, Experiment]]:
    """Every coefficient that stands in the code, with an experiment that uses it."""

    def network(activation: str = "tanh", loss: str = "cross_entropy", **others: Any) -> Experiment:
        return experiment_of((3, 4, 3), activation, loss, **others)

    yield "keep", network(dropout=0.3)
    yield "two", network(loss="mse")
    for loss in ("cross_entropy", "mse", "bce_with_logits"):
        yield "count", network(loss=loss)
        yield "gradient_count", network(loss=loss)
    yield "leaky_slope", network("leaky_relu")
    yield "elu_alpha", network("elu")
    yield "huber_delta", network(loss="huber")
    yield "half", network(loss="huber")
    yield "smoothing", network(loss="smoothed")
    for loss in ("weighted", "weighted, smoothed"):
        yield "class_weight", network(loss=loss)
        yield "weight_sum", network(loss=loss)
    yield "smoothing", network(loss="weighted, smoothed")
    yield "pos_weight", network(loss="weighted positives")
    for name in ("root_half", "gelu_half", "density"):
        yield name, network("gelu")
    for name in ("gelu_rate", "gelu_cubic", "gelu_three", "gelu_half"):
        yield name, network("gelu_tanh")
    for optimizer in OPTIMIZERS:
        experiment = network(optimizer=OPTIMIZERS[optimizer])
        spec = experiment.optimizer
        yield "learning_rate", experiment
        if spec.weight_decay > 0:
            yield "weight_decay", experiment
        if not spec.decay_biases:
            yield "bias_decay", experiment
        if spec.kind == "sgd":
            if spec.momentum > 0:
                yield "momentum", experiment
            if spec.nesterov:
                yield "nesterov", experiment
        else:
            for name in ("beta_1", "beta_2", "correction_1", "correction_2", "eps"):
                yield name, experiment


CASES = list(coefficients())
"""`bias_decay` is how much of the weight decay biases get, where they should get none."""
NAMES = [f"{name}-{e.model.activation}-{e.loss.kind}-{e.optimizer.kind}" for name, e in CASES]


def worst_with(wrong: dict[str, float], experiment: Experiment, dtype: type) -> float:
    """The worst ratio over all rungs, from a fresh and from a warm state."""
    batch, masks = batch_of(experiment, 31, dtype, ROWS), masks_of(experiment, 31, ROWS)
    worst = 0.0
    for warm in (False, True):
        state = state_of(experiment, 31, dtype, warm=warm)
        plain = Plain(dtype, wrong=wrong)
        worst = max(worst, *judge(plain, experiment, state, batch, masks).values())
    return worst


def smallest_errors(name: str, experiment: Experiment) -> tuple[float, float]:
    """Relative errors that must be found, in float64 and in float32.

    Larger where the coefficient itself weighs little: eps = 1e-8 beside gradients of 1e-2, and
    AdamW's learning rate times weight decay = 1e-5 beside one.
    """
    if name == "eps":
        return 1e-7, 9.0
    if name == "weight_decay" and experiment.optimizer.kind == "adamw":
        return 1e-9, 0.1
    if name == "weight_decay":  # about 1e-2, so it weighs a hundred times less than the gradient
        return 1e-11, 1e-3
    if name == "smoothing":  # 0.1 beside a target of one
        return 1e-11, 1e-3
    if name in ("gelu_cubic", "gelu_three", "density"):  # small where |z| is
        return 1e-11, 1e-2
    return 1e-11, 1e-4


@pytest.mark.parametrize(("name", "experiment"), CASES, ids=NAMES)
def test_an_error_in_one_coefficient_falls_outside(name: str, experiment: Experiment) -> None:
    """One in a thousand in float64, and far less: see `smallest_errors`."""
    in_float64, in_float32 = smallest_errors(name, experiment)
    assert worst_with({}, experiment, np.float64) <= 1
    assert worst_with({}, experiment, np.float32) <= 1
    for sign in (-1, 1):
        assert worst_with({name: sign * 1e-3}, experiment, np.float64) > 1
        assert worst_with({name: sign * in_float64}, experiment, np.float64) > 1
    assert worst_with({name: in_float32}, experiment, np.float32) > 1


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "bce_with_logits"])
@pytest.mark.parametrize(("dtype", "error"), [(np.float64, 1e-12), (np.float32, 1e-4)])
def test_an_error_in_any_parameter_or_slot_falls_outside(
    loss: str, dtype: type, error: float
) -> None:
    experiment = experiment_of((3, 4, 3), "tanh", loss)
    state = state_of(experiment, 32, dtype, warm=True)
    batch = batch_of(experiment, 32, dtype, ROWS)
    arithmetic = arithmetic_for("float32" if dtype is np.float32 else "float64")
    result, after = oracle_step(experiment, state, batch, (), arithmetic)

    def worst_from(parameters: Any, slots: Any) -> float:
        step = Plain(dtype).step(experiment, TrainState(parameters, slots, state.step), batch, ())
        return max(ratios(step, result, after).values())

    assert worst_from(state.parameters, state.slots) <= 1
    for name, array in state.parameters.items():
        for index in np.ndindex(array.shape):
            changed = array.copy()
            changed[index] *= dtype(1 + error)
            assert worst_from({**state.parameters, name: changed}, state.slots) > 1, (name, index)
    for slot, arrays in state.slots.items():
        for name, array in arrays.items():
            for index in np.ndindex(array.shape):
                # What the moment is added to: the gradient, or its square.
                beside = abs(result.gradients[name].value[index])
                beside = beside**2 if slot == SECOND_MOMENT else beside
                changed = array.copy()
                changed[index] += dtype(error * max(abs(array[index]), beside))
                slots = {**state.slots, slot: {**arrays, name: changed}}
                assert worst_from(state.parameters, slots) > 1, (slot, name, index)


@pytest.mark.parametrize("warm", [False, True])
def test_known_mistakes_fall_outside_in_float32(warm: bool) -> None:
    """The mistakes that ports make: another default, half the squared error, the other GELU."""
    dtype = np.float32
    adamw = experiment_of((10, 32, 3), "relu")
    state, batch = state_of(adamw, 33, dtype, warm=warm), batch_of(adamw, 33, dtype, 32)
    for name, factor in (("weight_decay", 1e-2), ("eps", 10.0)):
        wrong = {name: factor - 1}
        worst = judge(Plain(dtype, wrong=wrong), adamw, state, batch)
        assert max(worst["logits"], worst["loss"], worst["gradients"]) <= 1
        if name == "weight_decay" or not warm:
            assert worst["parameters"] > 1
    exact = experiment_of((10, 32, 3), "gelu")
    approximate = experiment_of((10, 32, 3), "gelu_tanh")
    arithmetic = arithmetic_for("float32")
    result, after = oracle_step(exact, state, batch, (), arithmetic)
    step = Plain(dtype).step(approximate, state, batch, ())
    assert ratios(step, result, after)["logits"] > 1
