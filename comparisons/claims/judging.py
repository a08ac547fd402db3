"""From cases to a verdict: the part that all rules share. Pure functions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from comparisons.claims.claim import Case, Figure, Judgement, NotMeasured, Unit, Verdict
from twofold.report.wording import counted, listing
from twofold.timing.statistics import RESOLUTION, Interval, median_interval, paired_ratio


def judge(cases: Sequence[Case], what: str) -> Judgement:
    """Confirmed where every case holds, refuted where none does, else it depends.

    `what` says in words what holds: "PyTorch needs more time". Raises NotMeasured without
    a case, and where no case was measured.
    """
    if not cases:
        raise NotMeasured(f"no case of: {what}")
    if all(case.missing for case in cases):
        raise NotMeasured(cases[0].missing)
    return Judgement(
        verdict_of(cases), reason(cases, what), figures_of(cases), tuple(flips_of(cases))
    )


def verdict_of(cases: Sequence[Case]) -> Verdict:
    """The verdict that cases give; one that is not decided keeps a claim from being either."""
    answers = {case.holds for case in cases}
    if answers == {True}:
        return "confirmed"
    return "refuted" if answers == {False} else "depends"


def reason(cases: Sequence[Case], what: str) -> str:
    """`JAX is faster: in 2 of 4 cases (batch 16; batch 64); not decided: batch 512.`"""
    held = [case.condition for case in cases if case.holds]
    open_cases = [undecided(c) for c in cases if c.holds is None and not c.missing]
    missing = [f"{case.condition} ({case.missing})" for case in cases if case.missing]
    text = f"{capitalized(what)}: in {len(held)} of {counted(len(cases), 'case')}"
    if 0 < len(held) < len(cases):
        text += f" ({'; '.join(held)})"
    if open_cases:
        text += f"; not decided: {'; '.join(open_cases)}"
    if missing:
        text += f"; not measured: {'; '.join(missing)}"
    return text + "."


def undecided(case: Case) -> str:
    """`batch 16 (torch:compile-epoch was not measured)`."""
    if not case.lacking:
        return case.condition
    were = "was" if len(case.lacking) == 1 else "were"
    return f"{case.condition} ({listing(case.lacking)} {were} not measured)"


def capitalized(text: str) -> str:
    """With a capital letter, unless it begins with a name from code, such as `jax.jit`."""
    return text[0].upper() + text[1:] if text.partition(" ")[0].isalpha() else text


def flips_of(cases: Sequence[Case]) -> list[str]:
    """Where neighbouring cases, in the order given, are decided differently."""
    decided = [case for case in cases if case.holds is not None]
    return [
        f"between {left.condition} ({word(left)}) and {right.condition} ({word(right)})"
        for left, right in itertools.pairwise(decided)
        if left.holds != right.holds
    ]


def word(case: Case) -> str:
    return "holds" if case.holds else "does not hold"


def figures_of(cases: Sequence[Case]) -> tuple[Figure, ...]:
    return tuple(figure for case in cases for figure in case.figures)


def below(interval: Interval | None, limit: float) -> bool | None:
    """Whether a value is below a limit: the whole interval must say so."""
    if interval is None or interval.low < limit <= interval.high:
        return None
    return interval.high < limit


def above(interval: Interval | None, limit: float) -> bool | None:
    """Whether a value is above a limit: the whole interval must say so."""
    if interval is None or interval.low <= limit < interval.high:
        return None
    return interval.low > limit


def faster(ratio: Interval | None) -> bool | None:
    """Whether a time ratio says faster; within the resolution of one it says that it is not.

    None where the interval reaches from faster to what is not.
    """
    return below(ratio, 1 / (1 + RESOLUTION))


def ratio_figure(label: str, ratio: Interval | None) -> Figure:
    """A ratio of times, or the word that there is none."""
    if ratio is None:
        return Figure(label, "could not be measured", "words")
    return Figure(label, ratio.median, "times", ratio.low, ratio.high)


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean of independent values with its 95 % interval by Student's t.

    Raises NotMeasured for fewer than two.
    """
    array = np.asarray(values, np.float64)
    if array.size < 2:
        raise NotMeasured(f"{array.size} value given; an interval needs at least 2")
    mean = float(array.mean())
    half = student(array.size - 1) * float(array.std(ddof=1)) / math.sqrt(array.size)
    return Interval(mean, mean - half, mean + half)


STUDENT_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t; beyond 10 degrees that of 10, which is larger."""
    return STUDENT_975[min(freedom, len(STUDENT_975)) - 1]


def paired(timed: Mapping[str, Any], side: str, reference: str) -> Interval:
    """The time of a side over that of a reference, block by block. Raises NotMeasured."""
    samples = timed["samples_s"]
    for name in (side, reference):
        if name not in samples:
            raise NotMeasured(f"no samples of {name}")
    return paired_ratio(samples[side], samples[reference], seed=0)


def time_figure(label: str, timed: Mapping[str, Any], side: str) -> Figure:
    """The median time of a side, with its interval."""
    found = median_interval(timed["samples_s"][side], seed=0)
    return Figure(label, found.median, "s", found.low, found.high)


def figure(label: str, interval: Interval, unit: Unit) -> Figure:
    return Figure(label, interval.median, unit, interval.low, interval.high)
