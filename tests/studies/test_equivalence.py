"""Student's t and the two one-sided tests against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import DataError, SpecError
from twofold.studies.equivalence import compare, samples_to_decide
from twofold.timing import student_t

DEGREES = [0.5, 1.0, 2.0, 3.7, 9.0, 30.0, 200.0, 5e4, 1e7]


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("t", [-40.0, -5.0, -1.0, -1e-4, 0.0, 1e-9, 0.3, 1.0, 2.5, 12.0, 300.0])
def test_the_distribution_function_is_scipys(t: float, degrees: float) -> None:
    assert student_t.cumulative(t, degrees) == pytest.approx(
        scipy.stats.t.cdf(t, degrees), rel=1e-8, abs=1e-290
    )


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("probability", [1e-6, 0.025, 0.4, 0.5, 0.6, 0.95, 0.975, 0.999999])
def test_the_quantile_is_scipys(probability: float, degrees: float) -> None:
    assert student_t.quantile(probability, degrees) == pytest.approx(
        scipy.stats.t.ppf(probability, degrees), rel=1e-8, abs=1e-12
    )


def test_by_hand() -> None:
    """One degree of freedom is the Cauchy distribution, two have a closed form."""
    assert student_t.cumulative(1.0, 1) == pytest.approx(0.75, abs=1e-15)
    assert student_t.cumulative(math.sqrt(2), 2) == pytest.approx(0.5 + 0.5 / math.sqrt(2))
    assert student_t.cumulative(math.inf, 3) == 1
    assert student_t.cumulative(-math.inf, 3) == 0


def test_impossible_arguments_are_refused() -> None:
    for probability in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="probability"):
            student_t.quantile(probability, 3)
    with pytest.raises(ValueError, match="degrees"):
        student_t.cumulative(1.0, 0)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    left_count=st.integers(2, 40),
    right_count=st.integers(2, 40),
    shift=st.floats(-0.1, 0.1),
    spread=st.floats(0.1, 5),
)
def test_both_tests_are_scipys(
    seed: int, left_count: int, right_count: int, shift: float, spread: float
) -> None:
    random = np.random.default_rng(seed)
    left = list(random.normal(shift, 0.05, left_count))
    right = list(random.normal(0, 0.05 * spread, right_count))
    margin = 0.03
    found = compare(left, right, margin)

    def welch_p(a: np.ndarray, alternative: str) -> float:
        test = scipy.stats.ttest_ind(a, right, equal_var=False, alternative=alternative)
        return float(test.pvalue)

    one_sided = [
        welch_p(np.array(left) + margin, "greater"),
        welch_p(np.array(left) - margin, "less"),
    ]
    assert found.p_equivalence == pytest.approx(max(one_sided), rel=1e-7)
    assert found.p_equal == pytest.approx(welch_p(np.array(left), "two-sided"), rel=1e-7)
    interval = scipy.stats.ttest_ind(left, right, equal_var=False).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-7)
    assert (found.verdict == "equivalent") == (max(one_sided) < 0.05)


def test_verdicts() -> None:
    near, far = [0.900, 0.902, 0.901, 0.899], [0.800, 0.802, 0.801, 0.799]
    assert compare(near, [v + 0.001 for v in near], 0.01).verdict == "equivalent"
    assert compare(near, far, 0.01).verdict == "different"
    assert compare(far, near, 0.01).verdict == "different"
    wide = compare([0.9, 0.8, 0.95], [0.85, 0.9, 0.8], 0.01)
    assert wide.verdict == "undecided"
    assert wide.samples_to_decide is not None
    assert wide.samples_to_decide > 3


def test_samples_without_spread() -> None:
    same = compare([1.0, 1.0], [1.0, 1.0], 0.01)
    assert same.verdict == "equivalent"
    assert same.p_equivalence == 0
    assert same.p_equal == 1
    assert compare([1.0, 1.0], [0.5, 0.5], 0.01).verdict == "different"


def test_samples_to_decide_is_the_least_number_that_does() -> None:
    """By SciPy: the half width falls below margin - difference at this count, not one before."""
    variances, difference, margin = (0.0004, 0.0009), 0.002, 0.01
    count = samples_to_decide(difference, variances, margin, 0.05, 3)
    assert count is not None

    def half_width(n: int) -> float:
        error = math.sqrt(sum(variances) / n)
        degrees = sum(variances) ** 2 / sum(v**2 / (n - 1) for v in variances)
        return float(scipy.stats.t.ppf(0.95, degrees) * error)

    assert half_width(count) < margin - difference <= half_width(count - 1)


def test_a_difference_of_exactly_the_margin_is_never_decided() -> None:
    assert samples_to_decide(0.25, (1.0, 1.0), 0.25, 0.05, 3) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(DataError, match="finite"):
        compare([1.0, value], [1.0, 2.0], 0.5)
    with pytest.raises(DataError, match="finite"):
        compare([1.0, 2.0], [value, 2.0], 0.5)


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan, math.inf])
def test_margins_must_be_above_zero(margin: float) -> None:
    with pytest.raises(SpecError, match="margin"):
        compare([1.0, 2.0], [1.0, 2.0], margin)


def test_one_value_is_no_sample() -> None:
    with pytest.raises(SpecError, match="seeds: 1 given"):
        compare([1.0], [1.0, 2.0], 0.1)
