"""Schedules, clipping by global norm and label smoothing: hand-calculated, and bounds that hold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.parity.oracle.bounded import Bounded, exact
from twofold.parity.oracle.clipping import clip_by_global_norm
from twofold.parity.oracle.losses import target_distribution
from twofold.parity.oracle.schedule import learning_rate
from twofold.spec.experiment import AdamW, Precision, Sgd, WarmupCosine

PRECISIONS: tuple[Precision, ...] = ("float32", "float64")
SCHEDULE = WarmupCosine(warmup_steps=4, decay_steps=12, final_fraction=0.1)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("step", "fraction"),
    [
        (0, 0.0),  # warm-up starts at zero
        (1, 0.25),
        (3, 0.75),
        (4, 1.0),  # the peak
        (6, 0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2),  # a quarter of the decay: cos(pi / 4)
        (8, 0.55),  # half way between 1 and 0.1
        (12, 0.1),
        (500, 0.1),  # and there it stays
    ],
)
def test_warmup_cosine_by_hand(precision: Precision, step: int, fraction: float) -> None:
    optimizer = AdamW(learning_rate=0.02, schedule=SCHEDULE)
    rate = learning_rate(optimizer, step, arithmetic_for(precision))
    assert float(rate.value) == pytest.approx(0.02 * fraction, rel=1e-15, abs=1e-18)
    assert 0 < rate.bound < 2e-6 * 0.02


def test_a_constant_rate_is_exact() -> None:
    rate = learning_rate(Sgd(learning_rate=0.3), 17, arithmetic_for("float32"))
    assert (float(rate.value), rate.bound) == (0.3, 0.0)


@pytest.mark.parametrize("step", range(14))
def test_a_float32_evaluation_of_the_schedule_stays_within_its_bound(step: int) -> None:
    one = np.float32(1)
    peak = np.float32(0.02)
    if step < 4:
        computed = peak * (np.float32(step) / np.float32(4))
    else:
        progress = np.float32(min(step - 4, 8)) / np.float32(8)
        falling = np.float32(0.5) * (one + np.cos(np.float32(np.pi) * progress))
        computed = peak * ((one - np.float32(0.1)) * falling + np.float32(0.1))
    rate = learning_rate(
        Sgd(learning_rate=0.02, schedule=SCHEDULE), step, arithmetic_for("float32")
    )
    assert abs(float(computed) - float(rate.value)) <= rate.bound


def given(values: list[float], precision: Precision = "float64") -> Bounded:
    return exact(np.array(values), arithmetic_for(precision))


def test_gradients_of_norm_five_are_scaled_to_norm_two() -> None:
    clipped = clip_by_global_norm(
        {"a": given([3.0, 0.0]), "b": given([-4.0])}, 2.0, 0.0, arithmetic_for("float64")
    )
    np.testing.assert_allclose(clipped["a"].value.astype(float), [1.2, 0.0], rtol=1e-15)
    np.testing.assert_allclose(clipped["b"].value.astype(float), [-1.6], rtol=1e-15)


def test_gradients_below_the_limit_stay_bit_for_bit() -> None:
    before = {"a": given([3.0, 4.0])}
    after = clip_by_global_norm(before, 5.1, 0.0, arithmetic_for("float64"))
    assert after["a"] is before["a"]


def test_the_eps_of_pytorch_shortens_by_what_it_says() -> None:
    clipped = clip_by_global_norm({"a": given([3.0, 4.0])}, 1.0, 1e-6, arithmetic_for("float64"))
    np.testing.assert_allclose(
        clipped["a"].value.astype(float), np.array([3.0, 4.0]) / (5.0 + 1e-6), rtol=1e-15
    )


def test_a_norm_that_may_lie_on_either_side_allows_both() -> None:
    arithmetic = arithmetic_for("float32")
    uncertain = Bounded(np.array([1.0]), np.array([1e-3]))
    clipped = clip_by_global_norm({"a": uncertain}, 1.0, 0.0, arithmetic)["a"]
    for gradient in (0.999, 1.0, 1.001):
        allowed = min(gradient, 1.0)
        assert abs(allowed - float(clipped.value[0])) <= clipped.bound[0]


@pytest.mark.parametrize("seed", range(5))
def test_float32_clipping_in_shuffled_order_stays_within_its_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = {
        name: rng.normal(size=size).astype(np.float32) for name, size in [("a", 300), ("b", 7)]
    }
    arithmetic = arithmetic_for("float32")
    allowed = clip_by_global_norm(
        {name: exact(array, arithmetic) for name, array in arrays.items()}, 0.5, 0.0, arithmetic
    )
    square = np.float32(0)
    for value in rng.permutation(np.concatenate(list(arrays.values()))):
        square = square + value * value
    factor = np.float32(0.5) / np.sqrt(square)
    for name, array in arrays.items():
        error = np.abs((array * factor).astype(np.float64) - allowed[name].value)
        assert (error <= allowed[name].bound).all()
        wrong = np.abs(
            (array * factor * np.float32(1.001)).astype(np.float64) - allowed[name].value
        )
        assert (wrong > allowed[name].bound).any()


def test_zero_gradients_are_not_divided_by_their_norm() -> None:
    clipped = clip_by_global_norm({"a": given([0.0, 0.0])}, 1.0, 0.0, arithmetic_for("float64"))
    assert clipped["a"].value.tolist() == [0.0, 0.0]
    assert clipped["a"].bound.tolist() == [0.0, 0.0]


def test_smoothed_labels_by_hand() -> None:
    q = target_distribution(np.array([0, 2]), 4, 0.2, arithmetic_for("float64"))
    np.testing.assert_allclose(
        q.astype(float), [[0.85, 0.05, 0.05, 0.05], [0.05, 0.05, 0.85, 0.05]], rtol=1e-15
    )
    hard = target_distribution(np.array([1]), 3, 0.0, arithmetic_for("float32"))
    assert hard.tolist() == [[0.0, 1.0, 0.0]]
