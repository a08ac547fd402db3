"""The oracle's bounds with micro-batches: they hold for sums by parts, and wrong shares fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judged import ACTIVATIONS, LOSSES, batch_of, experiment_of, masks_of, ratio, state_of
from plain import ORDERS, STYLES, Plain

from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.parity.oracle.network import LossAndGradients, loss_and_gradients
from twofold.problem.micro_batches import parts_of
from twofold.problem.problem import Batch
from twofold.problem.state import TrainState, fresh_state
from twofold.spec.experiment import Experiment, Sgd, Training
from twofold.spec.losses import row_weights

Masks = tuple[np.ndarray[Any, Any], ...]


def in_parts(experiment: Experiment, micro_batches: int) -> Experiment:
    training = Training(epochs=1, micro_batches=micro_batches)
    return experiment.model_copy(update={"training": training})


def judged(
    experiment: Experiment, state: TrainState, batch: Batch, masks: Masks, dtype: type
) -> LossAndGradients:
    arithmetic = arithmetic_for("float32" if dtype is np.float32 else "float64")
    return loss_and_gradients(experiment, state, batch, masks, arithmetic)


def by_parts(
    plain: Plain,
    experiment: Experiment,
    state: TrainState,
    batch: Batch,
    masks: Masks,
    shares: Any = None,
) -> tuple[np.ndarray[Any, Any], dict[str, np.ndarray[Any, Any]]]:
    """Loss and gradients as sums, in the engine's precision, of shares of those of each part."""
    loss = plain.dtype(0)
    gradients = {name: np.zeros_like(array) for name, array in state.parameters.items()}
    weights = row_weights(experiment.loss, batch.targets)
    parts = parts_of(batch.rows, experiment.training.micro_batches, weights)
    for number, part in enumerate(parts):
        rows = part.rows
        own = Batch(batch.inputs[rows], batch.targets[rows])
        step = plain.step(experiment, state, own, tuple(mask[rows] for mask in masks))
        share = plain.dtype(part.share if shares is None else shares(number, len(parts)))
        loss = plain.dtype(loss + share * step.loss)
        for name, gradient in step.gradients.items():
            gradients[name] = plain.kept(gradients[name] + plain.kept(share * gradient))
    return np.asarray(loss), gradients


def worst(computed: tuple[Any, dict[str, Any]], result: LossAndGradients) -> tuple[float, float]:
    """The worst ratios of loss and gradients."""
    loss, gradients = computed
    of_gradients = max(ratio(gradients[name], b) for name, b in result.gradients.items())
    return ratio(loss, result.loss), of_gradients


@st.composite
def cut_problems(draw: st.DrawFn) -> dict[str, Any]:
    depth = draw(st.integers(0, 3))
    sizes = tuple(draw(st.integers(1, 32)) for _ in range(depth + 2))
    rows = draw(st.integers(1, 32))
    return {
        "experiment": in_parts(
            experiment_of(
                sizes,
                draw(st.sampled_from(ACTIVATIONS)),
                draw(st.sampled_from(LOSSES)),
                Sgd(),
                dropout=draw(st.sampled_from([0.0, 0.3])),
            ),
            draw(st.integers(1, rows)),
        ),
        "rows": rows,
        "seed": draw(st.integers(0, 2**20)),
        "scale": draw(st.sampled_from([1e-20, 1e-3, 1.0, 30.0])),
        "style": draw(st.sampled_from(STYLES)),
        "order": draw(st.sampled_from(ORDERS)),
        "flush": draw(st.booleans()),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(case=cut_problems())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_sums_by_parts_stay_within_their_bounds(dtype: type, case: dict[str, Any]) -> None:
    experiment, seed, rows = case["experiment"], case["seed"], case["rows"]
    state = state_of(experiment, seed, dtype, warm=False)
    batch = batch_of(experiment, seed, dtype, rows, case["scale"])
    masks = masks_of(experiment, seed, rows)
    plain = Plain(dtype, case["order"], case["style"], seed, case["flush"])
    result = judged(experiment, state, batch, masks, dtype)
    assert max(worst(by_parts(plain, experiment, state, batch, masks), result)) <= 1


def test_by_hand() -> None:
    # w = 2, x = (1, 2, 3), y = (0, 0, 0): squares 4, 16, 36, loss 56/3; parts (1, 2) and (3) have
    # the means 10 and 36, and 2/3 * 10 + 1/3 * 36 = 56/3. Gradients 2 w x^2: (4, 16, 36), means
    # 10 and 36 of these, again 56/3. Equal weights would give 23, no weights 46.
    experiment = in_parts(experiment_of((1, 1), loss="mse", optimizer=Sgd(), bias=False), 2)
    state = fresh_state({"layers.0.weight": np.array([[2.0]])}, ())
    batch = Batch(np.array([[1.0], [2.0], [3.0]]), np.zeros((3, 1)))
    result = judged(experiment, state, batch, (), np.float64)
    assert result.loss.value.item() == pytest.approx(56 / 3, rel=1e-15)
    assert result.gradients["layers.0.weight"].value.item() == pytest.approx(56 / 3, rel=1e-15)
    own = 2 / 3 * 10 + 1 / 3 * 36
    assert ratio(np.asarray(own), result.loss) <= 1
    assert ratio(np.asarray(23.0), result.loss) > 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_values_are_the_large_batchs_and_the_bounds_little_wider(
    dtype: type, loss: str
) -> None:
    experiment = experiment_of((5, 8, 3), loss=loss, dropout=0.3)
    state, masks = state_of(experiment, 5, dtype, warm=False), masks_of(experiment, 5, 32)
    batch = batch_of(experiment, 5, dtype, 32)
    whole = judged(experiment, state, batch, masks, dtype)
    cut = judged(in_parts(experiment, 7), state, batch, masks, dtype)
    for large, small in [
        (whole.loss, cut.loss),
        *((whole.gradients[name], cut.gradients[name]) for name in whole.gradients),
    ]:
        np.testing.assert_array_equal(large.value, small.value)
        assert (small.bound >= large.bound).all()
        assert (small.bound <= 1.2 * large.bound).all()  # a handful of roundings beside 32 rows


SHARES = {  # of part `number` of `parts`
    "not weighted": lambda _, parts: parts / parts,
    "weighted twice": lambda _, parts: 1.0 / parts**2,
    "weighted equally": lambda _, parts: 1.0 / parts,
    "one part forgotten": lambda number, parts: (number < parts - 1) / (parts - 1),
}


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("rows", "micro_batches"), [(7, 3), (64, 3), (511, 2), (512, 3)])
def test_wrong_shares_fall_outside(name: str, loss: str, rows: int, micro_batches: int) -> None:
    """Even where parts differ by one row of 512.

    There equal weights move the loss by less than float32 may round in so long a sum, but not the
    gradients, and not in float64.
    """
    experiment = in_parts(experiment_of((10, 32, 3), "relu", loss), micro_batches)
    for dtype in (np.float32, np.float64):
        state = state_of(experiment, 6, dtype, warm=False)
        batch = batch_of(experiment, 6, dtype, rows)
        result = judged(experiment, state, batch, (), dtype)
        plain = Plain(dtype)
        assert max(worst(by_parts(plain, experiment, state, batch, ()), result)) <= 1
        of_loss, of_gradients = worst(
            by_parts(plain, experiment, state, batch, (), SHARES[name]), result
        )
        assert of_gradients > 1
        if dtype is np.float64 or rows < 100 or name != "weighted equally":
            assert of_loss > 1
