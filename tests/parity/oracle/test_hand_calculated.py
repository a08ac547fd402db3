"""Cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from judged import experiment_of, oracle_step

from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.problem.problem import Batch, slot_names
from twofold.problem.state import FIRST_MOMENT, MOMENTUM, SECOND_MOMENT, TrainState, fresh_state
from twofold.spec.experiment import Adam, AdamW, Sgd

FLOAT64 = arithmetic_for("float64")


def test_one_weight_by_sgd() -> None:
    # z = 2 * 3 + 1 = 7, y = 4: loss 9, dL/dz = 2 * 3 = 6, dL/dw = 18, dL/db = 6;
    # w = 2 - 0.5 * 18 = -7, b = 1 - 0.5 * 6 = -2.
    experiment = experiment_of((1, 1), loss="mse", optimizer=Sgd(learning_rate=0.5))
    state = fresh_state({"layers.0.weight": np.array([[2.0]]), "layers.0.bias": np.ones(1)}, ())
    batch = Batch(np.array([[3.0]]), np.array([[4.0]]))
    result, after = oracle_step(experiment, state, batch, (), FLOAT64)
    assert result.logits.value.item() == 7
    assert result.loss.value.item() == 9
    assert result.gradients["layers.0.weight"].value.item() == 18
    assert result.gradients["layers.0.bias"].value.item() == 6
    assert after.parameters["layers.0.weight"].value.item() == -7
    assert after.parameters["layers.0.bias"].value.item() == -2


def test_two_relu_units() -> None:
    # x = (1, 2); W0 = [[1, 1], [1, -1]], b0 = (1, 0): z = (4, -1), h = (4, 0).
    # W1 = (2, 5), b1 = -3: logit 8 - 3 = 5; target 1: loss 16, dL/dlogit = 8.
    # dW1 = 8 h = (32, 0), db1 = 8; dh = 8 (2, 5) = (16, 40), dz = (16, 0);
    # dW0 = [[16, 32], [0, 0]], db0 = (16, 0).
    experiment = experiment_of((2, 2, 1), "relu", "mse", Sgd())
    parameters = {
        "layers.0.weight": np.array([[1.0, 1.0], [1.0, -1.0]]),
        "layers.0.bias": np.array([1.0, 0.0]),
        "layers.1.weight": np.array([[2.0, 5.0]]),
        "layers.1.bias": np.array([-3.0]),
    }
    batch = Batch(np.array([[1.0, 2.0]]), np.array([[1.0]]))
    result, _ = oracle_step(experiment, fresh_state(parameters, ()), batch, (), FLOAT64)
    assert result.logits.value.item() == 5
    assert result.loss.value.item() == 16
    expected = {
        "layers.0.weight": [[16, 32], [0, 0]],
        "layers.0.bias": [16, 0],
        "layers.1.weight": [[32, 0]],
        "layers.1.bias": [8],
    }
    for name, gradient in expected.items():
        assert result.gradients[name].value.tolist() == gradient


def test_dropout_doubles_what_it_keeps() -> None:
    # p = 1/2: h = (4, 6) becomes (8, 0); logit 8, target 0: loss 64, dL/dlogit = 16;
    # the kept unit's gradient passes twice as large: dW0 = (16 * 2, 0).
    experiment = experiment_of((1, 2, 1), "identity", "mse", Sgd(), dropout=0.5, bias=False)
    parameters = {
        "layers.0.weight": np.array([[4.0], [6.0]]),
        "layers.1.weight": np.array([[1.0, 1.0]]),
    }
    batch = Batch(np.array([[1.0]]), np.array([[0.0]]))
    masks = (np.array([[True, False]]),)
    result, _ = oracle_step(experiment, fresh_state(parameters, ()), batch, masks, FLOAT64)
    assert result.loss.value.item() == 64
    assert result.gradients["layers.0.weight"].value.tolist() == [[32], [0]]
    assert result.gradients["layers.1.weight"].value.tolist() == [[128, 0]]
    assert result.gradients["layers.0.weight"].bound[1, 0] == 0  # a dropped unit is exactly zero


@pytest.mark.parametrize("kind", ["cross_entropy", "bce_with_logits"])
def test_even_odds(kind: str) -> None:
    # Equal logits: -log(1/2); gradient p - q = 1/2 - 1 for the true class.
    experiment = experiment_of((1, 2), loss=kind, optimizer=Sgd(), bias=False)
    state = fresh_state({"layers.0.weight": np.zeros((2, 1))}, ())
    targets = np.array([0]) if kind == "cross_entropy" else np.array([[1.0, 0.0]])
    result, _ = oracle_step(experiment, state, Batch(np.ones((1, 1)), targets), (), FLOAT64)
    assert float(result.loss.value) == pytest.approx(np.log(2), rel=1e-15)
    half = 0.5 if kind == "cross_entropy" else 0.25  # BCE is a mean over the two outputs
    assert result.gradients["layers.0.weight"].value.ravel().tolist() == [-half, half]


def test_first_adam_step_is_the_learning_rate_times_the_sign() -> None:
    # m / c1 = g, sqrt(v / c2) = |g|: the first step moves by lr g / (|g| + eps).
    experiment = experiment_of((1, 1), loss="mse", optimizer=Adam(learning_rate=0.25, eps=1e-16))
    parameters = {"layers.0.weight": np.array([[2.0]]), "layers.0.bias": np.ones(1)}
    state = fresh_state(parameters, slot_names(experiment))
    for target, sign in ((4.0, 1), (40.0, -1)):
        batch = Batch(np.array([[3.0]]), np.array([[target]]))
        _, after = oracle_step(experiment, state, batch, (), FLOAT64)
        moved = after.parameters["layers.0.weight"].value.item() - 2.0
        assert moved == pytest.approx(-0.25 * sign, rel=1e-15)


def test_adamw_from_a_warm_state() -> None:
    # betas (1/2, 3/4), step 1 -> 2; g = 6 - 0 (bias of the case above): m = (2 + 6) / 2 = 4,
    # v = 3/4 * 4 + 36 / 4 = 12; c1 = 3/4, c2 = 7/16; the parameter first shrinks by 1 - 1/8.
    optimizer = AdamW(learning_rate=0.5, weight_decay=0.25, betas=(0.5, 0.75), eps=1.0)
    experiment = experiment_of((1, 1), loss="mse", optimizer=optimizer)
    parameters = {"layers.0.weight": np.array([[2.0]]), "layers.0.bias": np.ones(1)}
    slots = {
        FIRST_MOMENT: {"layers.0.weight": np.array([[0.0]]), "layers.0.bias": np.array([2.0])},
        SECOND_MOMENT: {"layers.0.weight": np.array([[0.0]]), "layers.0.bias": np.array([4.0])},
    }
    batch = Batch(np.array([[3.0]]), np.array([[4.0]]))
    _, after = oracle_step(experiment, TrainState(parameters, slots, 1), batch, (), FLOAT64)
    assert after.slots[FIRST_MOMENT]["layers.0.bias"].value.item() == 4
    assert after.slots[SECOND_MOMENT]["layers.0.bias"].value.item() == 12
    direction = (16 / 3) / ((12 * 16 / 7) ** 0.5 + 1)
    moved = after.parameters["layers.0.bias"].value.item()
    assert moved == pytest.approx(0.875 - 0.5 * direction, rel=1e-15)


@pytest.mark.parametrize(("nesterov", "direction"), [(False, 7.0), (True, 9.5)])
def test_momentum_from_a_warm_state(nesterov: bool, direction: float) -> None:
    # buffer = 1/2 * 2 + 6 = 7; Nesterov's direction is 6 + 1/2 * 7 = 9.5.
    optimizer = Sgd(learning_rate=0.5, momentum=0.5, nesterov=nesterov)
    experiment = experiment_of((1, 1), loss="mse", optimizer=optimizer)
    parameters = {"layers.0.weight": np.array([[2.0]]), "layers.0.bias": np.ones(1)}
    slots = {MOMENTUM: {"layers.0.weight": np.zeros((1, 1)), "layers.0.bias": np.array([2.0])}}
    batch = Batch(np.array([[3.0]]), np.array([[4.0]]))
    _, after = oracle_step(experiment, TrainState(parameters, slots, 1), batch, (), FLOAT64)
    assert after.slots[MOMENTUM]["layers.0.bias"].value.item() == 7
    assert after.parameters["layers.0.bias"].value.item() == 1 - 0.5 * direction
