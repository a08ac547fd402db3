"""What `comparisons.workloads` found: geometric means with intervals, as a whole and by size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from twofold.errors import ResultError
from twofold.report.wording import counted, duration
from twofold.results.stored import (
    Count,
    Environment,
    Measurement,
    Name,
    Number,
    Positive,
    Ratio,
    Seconds,
    Stored,
    Text,
)

SCHEMA: Final = "twofold.workloads/1"
PAIRS: Final[Mapping[str, str]] = {
    "torch": "PyTorch's best engine, now over before",
    "flax": "Flax's best engine, now over before",
    "frameworks": "PyTorch's best engine over Flax's, now",
    "frameworks_before": "PyTorch's best engine over Flax's, before",
}
LIMITS: Final[Mapping[int, Mapping[str, float]]] = {
    1: {"torch": 0.65, "flax": 0.95},
    2: {"torch": 0.80, "flax": 0.95},
}
"""The geometric means asked for, by threads; between the frameworks nothing is aimed at."""
WORSE: Final = 1.03
"""No workload's interval should lie above this ratio of now to before."""
BANDS: Final = (3e5, 3e6, 3e7)
"""Operations of a step's matrix products that part the sizes from each other."""
RESAMPLES: Final = 10_000
FEWEST: Final = 10
"""Workloads from which on an interval of their mean is given."""


class Threads(Environment):
    """Where it was measured, with the number of threads."""

    processor: Text
    threads: Positive


class StoredRatio(Stored):
    """A ratio of two engines' steps, or why there is none."""

    median: Ratio | None
    low: Ratio | None
    high: Ratio | None
    reason: Text = ""


class StoredWorkload(Stored):
    """One workload: its shape, the median step of each engine, and the ratios of best engines.

    `widths` are features from the inputs to the outputs, `flops` operations of a step's matrix
    products, `steps_s` seconds by label. A ratio is None where one of its sides has no engine that
    could be measured.
    """

    rows: Positive
    widths: list[Positive]
    dropout: bool
    optimizer: Name
    flops: Number
    steps_s: dict[Name, Seconds]
    torch: StoredRatio | None
    flax: StoredRatio | None
    frameworks: StoredRatio | None
    frameworks_before: StoredRatio | None


class StoredWorkloads(Measurement):
    """`twofold.workloads/1`."""

    environment: Threads
    before: Text
    now: Text
    seed: Count
    workloads: list[StoredWorkload]


@dataclass(frozen=True)
class Mean:
    """The geometric mean of some workloads' ratios, with its 95 % interval.

    `missing`: workloads without a ratio; `worse`: those whose own interval lies above `WORSE`.
    The interval is a percentile bootstrap over workloads: it says how much the mean depends on
    which were drawn. It is None for fewer than `FEWEST`: so few do not show how far they scatter.
    """

    pair: str
    band: str
    count: int
    missing: int
    mean: float | None
    low: float | None
    high: float | None
    worse: int
    at_most: float | None = None

    @property
    def outcome(self) -> str:
        """What came of the limit, said of no workload that was not measured."""
        if not self.met:
            return "missed"
        return "met by those measured" if self.missing else "met"

    @property
    def met(self) -> bool:
        """Whether the limit is kept by all that were measured together, and exceeded by none."""
        if self.at_most is None:
            return True
        return self.mean is not None and self.mean <= self.at_most and not self.worse


@dataclass(frozen=True)
class Summary:
    """All means: each pair over all workloads, then by size."""

    threads: int
    all_sizes: tuple[Mean, ...]
    by_size: tuple[Mean, ...]

    @property
    def met(self) -> bool:
        """Whether every mean with a limit keeps it."""
        return all(mean.met and not mean.missing for mean in self.all_sizes if mean.at_most)


def summary_of(found: Mapping[str, Any]) -> Summary:
    """The means of a stored result. Raises ResultError where it holds no workload."""
    workloads: Sequence[Mapping[str, Any]] = found["workloads"]
    if not workloads:
        raise ResultError("workloads: none stored; measure some first")
    threads = int(found["environment"]["threads"])
    limits = LIMITS.get(threads, {})
    whole = tuple(mean_of(pair, "all", workloads, limits.get(pair)) for pair in PAIRS)
    parts = tuple(
        mean_of(pair, name, chosen)
        for name, chosen in banded(workloads)
        for pair in PAIRS
        if chosen
    )
    return Summary(threads, whole, parts)


def banded(
    workloads: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """The workloads by size of their products, smallest first."""
    edges = (0.0, *BANDS, math.inf)
    for low, high in itertools.pairwise(edges):
        name = (
            f"under {high / 1e6:g} MFLOP"
            if low == 0
            else f"{low / 1e6:g} MFLOP and more"
            if high == math.inf
            else f"{low / 1e6:g} to {high / 1e6:g} MFLOP"
        )
        yield name, [each for each in workloads if low <= each["flops"] < high]


def mean_of(
    pair: str,
    band: str,
    workloads: Sequence[Mapping[str, Any]],
    at_most: float | None = None,
) -> Mean:
    """The geometric mean of one pair's ratios over some workloads."""
    ratios = [each[pair] for each in workloads]
    known = [ratio for ratio in ratios if ratio is not None and ratio["median"] is not None]
    worse = sum(ratio["low"] > WORSE for ratio in known)
    missing = len(ratios) - len(known)
    if not known:
        return Mean(pair, band, 0, missing, None, None, None, worse, at_most)
    logs = np.log([ratio["median"] for ratio in known])
    mean = float(np.exp(logs.mean()))
    if len(known) < FEWEST:
        return Mean(pair, band, len(known), missing, mean, None, None, worse, at_most)
    drawn = np.random.default_rng(0).integers(len(logs), size=(RESAMPLES, len(logs)))
    low, high = np.quantile(logs[drawn].mean(1), (0.025, 0.975))
    ends = float(np.exp(low)), float(np.exp(high))
    return Mean(pair, band, len(known), missing, mean, *ends, worse, at_most)


def lines_of(told: Summary) -> Iterator[str]:
    """The means as lines for the terminal."""
    yield f"{counted(told.threads, 'thread')}; geometric means, 95 % intervals over workloads"
    for mean in (*told.all_sizes, *told.by_size):
        yield line_of(mean)


def line_of(mean: Mean) -> str:
    """`0.62 (0.58 to 0.66), at most 0.65: met   all   PyTorch's best engine, now over before`."""
    if mean.mean is None:
        return f"could not be measured   {mean.band}   {PAIRS[mean.pair]}"
    parts = [f"{figures(mean)} of {mean.count:2}"]
    if mean.at_most is not None:
        parts.append(f"at most {mean.at_most:.2f}: {mean.outcome}")
    if mean.missing:
        parts.append(f"{counted(mean.missing, 'workload')} not measured")
    if mean.at_most is not None or mean.pair in LIMITS[1]:
        parts.append(f"above {WORSE} in {mean.worse}")
    return f"{', '.join(parts)}   {mean.band}   {PAIRS[mean.pair]}"


def figures(mean: Mean) -> str:
    """`0.62 (0.58 to 0.66)`; without an interval where too few workloads were measured."""
    if mean.mean is None:
        return "could not be measured"
    if mean.low is None or mean.high is None:
        return f"{mean.mean:.2f}"
    return f"{mean.mean:.2f} ({mean.low:.2f} to {mean.high:.2f})"


def steps_line(workload: Mapping[str, Any]) -> str:
    """`8 x 20-16-3, sgd, dropout: torch:compile-step 12 µs, ...`, quickest first."""
    widths = "-".join(str(width) for width in workload["widths"])
    steps = sorted(workload["steps_s"].items(), key=lambda item: float(item[1]))
    told = ", ".join(f"{label} {duration(step)}" for label, step in steps)
    how = workload["optimizer"] + (", dropout" if workload["dropout"] else "")
    return f"{workload['rows']} x {widths}, {how}: {told}"
