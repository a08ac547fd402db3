"""Medians, intervals and outcomes against hand-made and SciPy values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from twofold.timing import statistics
from twofold.timing.statistics import Interval, median_interval, outcome_of, paired_ratio

positive = st.floats(1e-6, 1e3, allow_nan=False)


def test_the_median_is_that_of_the_samples() -> None:
    assert median_interval([3.0, 1.0, 2.0, 10.0], seed=0).median == 2.5


def test_equal_samples_have_an_interval_of_no_width() -> None:
    assert median_interval([0.5] * 9, seed=0) == Interval(0.5, 0.5, 0.5)


def test_single_rounds_give_the_bootstrap_interval_of_scipy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statistics, "block_length", lambda _: 1)
    samples = np.random.default_rng(3).lognormal(0.0, 0.2, size=201)
    ours = median_interval(samples, seed=1)
    theirs = stats.bootstrap(
        (samples,), np.median, method="percentile", n_resamples=2000, rng=np.random.default_rng(2)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.1 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.1 * width)


def test_resampled_blocks_are_neighbours_and_wrap_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "block_length", lambda rounds: rounds)
    # one block as long as the series: each resample is a rotation, its median always the same
    assert median_interval([1.0, 5.0, 2.0, 9.0, 4.0], seed=0) == Interval(4.0, 4.0, 4.0)


def test_portions_do_not_change_what_is_drawn_too_little_or_too_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples = np.random.default_rng(0).normal(10.0, 1.0, size=60)
    whole = median_interval(samples, seed=4)
    monkeypatch.setattr(statistics, "LARGEST_TABLE", 60 * 7)
    assert statistics._portions(2000, 7) == [7] * 285 + [5]
    parts = median_interval(samples, seed=4)
    assert parts.low == pytest.approx(whole.low, abs=0.1)
    assert parts.high == pytest.approx(whole.high, abs=0.1)


def test_the_interval_covers_the_true_median_of_independent_samples_nearly_always() -> None:
    random = np.random.default_rng(11)
    covered = 0
    for seed in range(300):
        found = median_interval(random.exponential(1.0, size=80), seed)
        covered += found.low <= np.log(2.0) <= found.high
    # 95 % promised; three standard errors below, and the block bootstrap's known shortfall of ~2 %
    assert covered >= 300 * 0.89


def test_neighbours_that_vary_together_widen_the_interval() -> None:
    random = np.random.default_rng(5)
    together = np.repeat(random.normal(1.0, 0.1, size=50), 4)
    apart = random.permutation(together)
    wide, narrow = median_interval(together, 0), median_interval(apart, 0)
    assert wide.high - wide.low > narrow.high - narrow.low


@pytest.mark.parametrize("samples", [[], [1.0, float("nan")], [1.0, float("inf")]])
def test_samples_that_mean_nothing_are_refused(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="samples"):
        median_interval(samples, seed=0)


def test_the_ratio_is_paired() -> None:
    # unpaired, the medians are 3 and 4; every pair says exactly 2
    ratio = paired_ratio([2.0, 20.0, 4.0, 8.0], [1.0, 10.0, 2.0, 4.0], seed=0)
    assert (ratio.median, ratio.low, ratio.high) == pytest.approx((2.0, 2.0, 2.0))


def test_unequal_rounds_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="rounds: 2 and 1"):
        paired_ratio([1.0, 2.0], [1.0], seed=0)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=30))
def test_exchanging_the_sides_gives_the_reciprocal(pairs: list[tuple[float, float]]) -> None:
    left, right = zip(*pairs, strict=True)
    there, back = paired_ratio(left, right, seed=0), paired_ratio(right, left, seed=0)
    assert there.median == pytest.approx(1 / back.median)
    assert there.low <= there.median <= there.high


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        (Interval(0.5, 0.4, 0.6), "faster"),
        (Interval(2.0, 1.9, 2.2), "slower"),
        (Interval(1.1, 1.01, 1.3), "not distinguishable"),
        (Interval(0.97, 0.96, 0.975), "faster"),
        (Interval(0.97, 0.96, 0.985), "not distinguishable"),
        (Interval(1.01, 1.005, 1.015), "not distinguishable"),
    ],
)
def test_the_whole_interval_must_lie_beyond_the_resolution(
    interval: Interval, outcome: str
) -> None:
    assert outcome_of(interval) == outcome


def test_spread_is_the_interquartile_range_over_the_median() -> None:
    samples = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert statistics.relative_spread(samples) == pytest.approx(stats.iqr(samples) / 3.0)
