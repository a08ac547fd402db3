"""Are two samples equivalent? Two one-sided tests with a margin that was stated beforehand.

Schuirmann, *A comparison of the two one-sided tests procedure and the power approach*, J.
Pharmacokinet. Biopharm. 15 (1987), with Welch's standard error and degrees of freedom (*The
generalization of Student's problem*, Biometrika 34, 1947), so that the variances may differ.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from twofold.errors import DataError, SpecError
from twofold.timing import student_t

ALPHA: Final = 0.05
MOST_SEEDS: Final = 1_000_000

Verdict = Literal["equivalent", "different", "undecided"]


@dataclass(frozen=True)
class Comparison:
    """Two means compared: `difference` is left minus right, `low` to `high` its interval.

    The interval has confidence 1 - 2 alpha: inside the margin on both sides is what the two
    one-sided tests at level alpha call equivalent. `p_equivalence` is the larger of their two p
    values, `p_equal` that of Welch's test of no difference at all. `samples_to_decide` is how many
    samples on each side would decide if means and variances stay as they are; None if never.
    """

    difference: float
    low: float
    high: float
    margin: float
    alpha: float
    degrees: float
    p_equivalence: float
    p_equal: float
    verdict: Verdict
    samples_to_decide: int | None


def compare(
    left: Sequence[float], right: Sequence[float], margin: float, alpha: float = ALPHA
) -> Comparison:
    """Compare two independent samples of two or more values each.

    `equivalent` where the interval lies inside -margin to margin, `different` where it lies wholly
    outside, else `undecided`. Raises SpecError for too few values or a margin not above 0,
    DataError for a value that is not finite.
    """
    if min(len(left), len(right)) < 2:
        raise SpecError(f"seeds: {min(len(left), len(right))} given; allowed is 2 or more")
    if not (margin > 0 and math.isfinite(margin)):
        raise SpecError(f"margin: {margin} given; allowed is a finite number above 0")
    lost = [value for value in (*left, *right) if not math.isfinite(value)]
    if lost:
        raise DataError(f"values: {lost[0]} given; allowed are finite numbers; leave such runs out")
    difference = statistics.fmean(left) - statistics.fmean(right)
    variances = statistics.variance(left), statistics.variance(right)
    error, degrees = welch(variances, (len(left), len(right)))
    half_width = student_t.quantile(1 - alpha, degrees) * error
    low, high = difference - half_width, difference + half_width
    verdict = _verdict(low, high, margin)
    decided = verdict != "undecided"
    return Comparison(
        difference=difference,
        low=low,
        high=high,
        margin=margin,
        alpha=alpha,
        degrees=degrees,
        p_equivalence=max(
            _upper_tail(difference + margin, error, degrees),
            _upper_tail(margin - difference, error, degrees),
        ),
        p_equal=min(1.0, 2 * _upper_tail(abs(difference), error, degrees)),
        verdict=verdict,
        samples_to_decide=None
        if decided
        else samples_to_decide(difference, variances, margin, alpha, min(len(left), len(right))),
    )


def welch(variances: tuple[float, float], counts: tuple[int, int]) -> tuple[float, float]:
    """Standard error of a difference of means, and the degrees of freedom of its t statistic.

    Samples without any spread have an error of zero; their degrees are those of equal variances.
    """
    shares = [variance / count for variance, count in zip(variances, counts, strict=True)]
    total = sum(shares)
    if total == 0:
        return 0.0, float(sum(counts) - 2)
    divisor = sum((share / total) ** 2 / (n - 1) for share, n in zip(shares, counts, strict=True))
    return math.sqrt(total), 1.0 / divisor


def _upper_tail(distance: float, error: float, degrees: float) -> float:
    """P(T >= distance / error)."""
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return student_t.cumulative(-distance / error, degrees)


def _verdict(low: float, high: float, margin: float) -> Verdict:
    if -margin < low and high < margin:
        return "equivalent"
    return "different" if low > margin or high < -margin else "undecided"


def samples_to_decide(
    difference: float,
    variances: tuple[float, float],
    margin: float,
    alpha: float,
    at_least: int,
) -> int | None:
    """The least number of samples on each side whose interval no longer contains the margin."""

    def decides(count: int) -> bool:
        error, degrees = welch(variances, (count, count))
        half_width = student_t.quantile(1 - alpha, degrees) * error
        return _verdict(difference - half_width, difference + half_width, margin) != "undecided"

    low, high = at_least, 2 * at_least
    while not decides(high):
        low, high = high, 2 * high
        if low > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high
