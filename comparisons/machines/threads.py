"""One thread or several? Engines on the same workloads, calibrated with both, on one machine."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from comparisons.machines.stored import Machine
from comparisons.machines.tables import table
from twofold.advice.point import Point
from twofold.advice.workload import TERMS, Workload
from twofold.report.wording import counted

THREADS: Final = """
## One thread or several?

Step times with {few} over step times with {many}, both medians of the same machine's calibrations
(`twofold calibrate`): below 1, fewer threads are quicker. *Small* and *large*: the halves of the
workloads with fewer and more arithmetic, divided at {limit} million operations a step. *The
quickest*: of all engines on each workload, whichever that is.
"""
HEAD: Final = ("machine", "engine", "small", "large", "quicker with {few}")
QUICKEST: Final = "the quickest"


@dataclass(frozen=True)
class Ratio:
    """One engine's step on one workload: with fewer threads over with more."""

    workload: Workload
    value: float

    @property
    def operations(self) -> float:
        """Of the matrix products of a step."""
        return float(self.workload.terms()[TERMS.index("products")])


def threads_section(machines: Sequence[Machine]) -> Iterator[str]:
    """Every machine that was calibrated with several numbers of threads, each with the next."""
    for machine in machines:
        calibrations = sorted(machine.advice, key=lambda one: int(one["environment"]["threads"]))
        for few, many in itertools.pairwise(calibrations):
            yield from _compared(machine.name, few, many)


def _compared(name: str, few: Mapping[str, Any], many: Mapping[str, Any]) -> Iterator[str]:
    found = ratios_of(_points(few), _points(many))
    if not found[QUICKEST]:
        return
    limit = statistics.median(ratio.operations for ratio in found[QUICKEST])
    names = {
        "few": counted(few["environment"]["threads"], "thread"),
        "many": counted(many["environment"]["threads"], "thread"),
    }
    yield THREADS.format(**names, limit=f"{limit / 1e6:.2g}")
    rows = [(name, engine, *_row(ratios, limit)) for engine, ratios in found.items() if ratios]
    yield from table([cell.format(**names) for cell in HEAD], rows)


def ratios_of(few: Sequence[Point], many: Sequence[Point]) -> dict[str, list[Ratio]]:
    """The ratios of each engine on the workloads that both hold, then those of the quickest."""
    one, other = _by_engine(few), _by_engine(many)
    found = {
        engine: [
            Ratio(workload, seconds / other[engine][workload])
            for workload, seconds in steps.items()
            if workload in other[engine]
        ]
        for engine, steps in one.items()
        if engine in other
    }
    best, best_other = (_quickest([steps[e] for e in found]) for steps in (one, other))
    found[QUICKEST] = [
        Ratio(workload, seconds / best_other[workload])
        for workload, seconds in best.items()
        if workload in best_other
    ]
    return found


def _row(ratios: Sequence[Ratio], limit: float) -> tuple[str, ...]:
    """Medians of the small and the large workloads, and on how many fewer threads are quicker."""
    small = [ratio.value for ratio in ratios if ratio.operations <= limit]
    large = [ratio.value for ratio in ratios if ratio.operations > limit]
    medians = (f"{statistics.median(half):.2f}" if half else "-" for half in (small, large))
    quicker = sum(ratio.value < 1 for ratio in ratios)
    return (*medians, f"{quicker} of {len(ratios)} workloads")


def _points(calibration: Mapping[str, Any]) -> list[Point]:
    return [Point.from_json(point) for point in calibration["points"]]


def _by_engine(points: Sequence[Point]) -> dict[str, dict[Workload, float]]:
    found: dict[str, dict[Workload, float]] = {}
    for point in points:
        found.setdefault(point.engine, {})[point.workload] = point.step_s
    return found


def _quickest(engines: Sequence[Mapping[Workload, float]]) -> dict[Workload, float]:
    """The shortest step on each workload that all engines were measured on."""
    if not engines:
        return {}
    common = [workload for workload in engines[0] if all(workload in own for own in engines)]
    return {workload: min(own[workload] for own in engines) for workload in common}
