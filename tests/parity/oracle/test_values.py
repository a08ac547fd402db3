"""The oracle's own values against mpmath with 80 digits.

The unit roundoff of the bounds holds a share for the oracle's own errors; its values must be off
by no more than that share of the bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mpmath as mp
import numpy as np
import precise
import pytest
from judged import (
    ACTIVATIONS,
    LOSSES,
    OPTIMIZERS,
    batch_of,
    experiment_of,
    masks_of,
    oracle_step,
    state_of,
)

from twofold.parity.oracle.activations import activate
from twofold.parity.oracle.arithmetic import Arithmetic, arithmetic_for
from twofold.parity.oracle.bounded import Bounded, exact

PRECISIONS = {"float32": np.float32, "float64": np.float64}


@pytest.fixture(autouse=True)
def _many_digits() -> Iterator[None]:
    with mp.workdps(precise.DIGITS):
        yield


def share_used(bounded: Bounded, truth: Any, arithmetic: Arithmetic) -> float:
    """The oracle's error in units of its share of the bound."""
    own = 1.0 - float(np.finfo(arithmetic.dtype).eps) / 2 / arithmetic.unit_roundoff
    difference = np.abs(precise.to_mp(bounded.value) - np.asarray(truth, object))
    errors = np.vectorize(float, otypes=[float])(difference)
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.max(np.where(errors == 0, 0.0, errors / (own * bounded.bound))))


def check(experiment: Any, precision: str, rows: int, *, warm: bool) -> None:
    arithmetic = arithmetic_for(precision)  # type: ignore[arg-type]
    dtype = PRECISIONS[precision]
    state = state_of(experiment, 21, dtype, warm=warm)
    batch, masks = batch_of(experiment, 21, dtype, rows), masks_of(experiment, 21, rows)
    result, after = oracle_step(experiment, state, batch, masks, arithmetic)
    parameters = {name: precise.to_mp(array) for name, array in state.parameters.items()}
    logits = precise.logits(experiment, parameters, batch, masks)
    loss = precise.loss_of_logits(experiment.loss, logits, batch.targets)
    gradients = precise.gradients(experiment, parameters, batch, masks)
    expected = precise.update(experiment, state, gradients)
    assert share_used(result.logits, logits, arithmetic) <= 1
    assert share_used(result.loss, loss, arithmetic) <= 1
    for name in parameters:
        assert share_used(result.gradients[name], gradients[name], arithmetic) <= 1, name
        assert share_used(after.parameters[name], expected.parameters[name], arithmetic) <= 1, name
        for slot in after.slots:
            truth = expected.slots[slot][name]
            assert share_used(after.slots[slot][name], truth, arithmetic) <= 1, (slot, name)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_step_of_a_small_network(activation: str, loss: str, precision: str) -> None:
    check(experiment_of((3, 3, 2), activation, loss, dropout=0.3), precision, 3, warm=False)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers(optimizer: str, warm: bool, precision: str) -> None:
    experiment = experiment_of((2, 2, 2), "tanh", "mse", OPTIMIZERS[optimizer], bias=warm)
    check(experiment, precision, 2, warm=warm)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "activation", ["elu", "leaky_relu", "tanh", "sigmoid", "silu", "gelu", "gelu_tanh"]
)
def test_activations_over_their_whole_range(activation: str, precision: str) -> None:
    arithmetic = arithmetic_for(precision)  # type: ignore[arg-type]
    z = np.concatenate([np.linspace(-40, 40, 401), np.geomspace(1e-30, 1, 30), [-700, 700, 0]])
    z = z.astype(PRECISIONS[precision])
    if activation in ("leaky_relu", "elu"):  # above zero exact, at zero without a derivative
        z = z[z < -1e-20]
    value, derivative = activate(activation, exact(z, arithmetic), arithmetic)  # type: ignore[arg-type]
    function = precise.ACTIVATIONS[activation]
    h = mp.mpf(precise.STEP)
    points = precise.to_mp(z)
    slopes = [(function(a + h) - function(a - h)) / (2 * h) for a in points]
    values = [function(a) for a in points]
    assert share_used(value, values, arithmetic) <= 1
    assert share_used(derivative, slopes, arithmetic) <= 1
