"""One thread or several? Engines on the same workloads, calibrated with both, on one machine."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from comparisons.machines.stored import Machine, threads_of
from comparisons.machines.tables import table
from twofold.studies.advice.measured_point import Point
from twofold.studies.advice.score import by_workload
from twofold.studies.advice.workload import TERMS, Workload

THREADS: Final = """
## One thread or several?

Step times with {few} over step times with {many}, both medians of the same machine's calibrations
(`twofold calibrate`). Below 1, fewer threads are quicker. *Small* workloads have at most {limit}
million operations a step, *large* ones more. *The quickest* is, on each workload, the quickest of
the engines that were calibrated with both numbers of threads.
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


@dataclass(frozen=True)
class Comparison:
    """One machine with two numbers of threads, in words; ratios of every engine."""

    machine: str
    few: str
    many: str
    ratios: Mapping[str, Sequence[Ratio]]


def threads_section(machines: Sequence[Machine]) -> Iterator[str]:
    """Every machine that was calibrated with several numbers of threads, each with the next."""
    for found in _comparisons(machines):
        limit = statistics.median(ratio.operations for ratio in found.ratios[QUICKEST])
        yield THREADS.format(few=found.few, many=found.many, limit=f"{limit / 1e6:.2g}")
        rows = [
            (found.machine, engine, *_row(ratios, limit)) for engine, ratios in found.ratios.items()
        ]
        yield from table([cell.format(few=found.few) for cell in HEAD], rows)


def threads_in_short(machines: Sequence[Machine]) -> str:
    """On how many workloads fewer threads are quicker; "" where no machine was calibrated so."""
    return " ".join(
        f"On {found.machine}, the quickest engine calibrated was quicker with {found.few} in "
        f"{_quicker(found.ratios[QUICKEST])}, and not quicker in the others."
        for found in _comparisons(machines)
    )


def _comparisons(machines: Sequence[Machine]) -> Iterator[Comparison]:
    for machine in machines:
        known = [one for one in machine.advice if one["environment"].get("threads")]
        calibrations = sorted(known, key=lambda one: int(one["environment"]["threads"]))
        for few, many in itertools.pairwise(calibrations):
            ratios = ratios_of(_points(few), _points(many))
            if ratios[QUICKEST]:
                yield Comparison(machine.name, threads_of(few), threads_of(many), ratios)


def ratios_of(few: Sequence[Point], many: Sequence[Point]) -> dict[str, list[Ratio]]:
    """The ratios of each engine on the workloads that both hold, then those of the quickest."""
    one, other = by_workload(few), by_workload(many)
    found: dict[str, list[Ratio]] = {}
    quickest = list[Ratio]()
    for workload in (each for each in one if each in other):
        fewer, more = one[workload], other[workload]
        engines = [engine for engine in fewer if engine in more]
        for engine in engines:
            found.setdefault(engine, []).append(Ratio(workload, fewer[engine] / more[engine]))
        if engines:
            best, best_other = (min(steps[engine] for engine in engines) for steps in (fewer, more))
            quickest.append(Ratio(workload, best / best_other))
    return {**found, QUICKEST: quickest}


def _row(ratios: Sequence[Ratio], limit: float) -> tuple[str, ...]:
    """Medians of the small and the large workloads, and on how many fewer threads are quicker."""
    small = [ratio.value for ratio in ratios if ratio.operations <= limit]
    large = [ratio.value for ratio in ratios if ratio.operations > limit]
    medians = (f"{statistics.median(half):.2f}" if half else "-" for half in (small, large))
    return (*medians, _quicker(ratios))


def _quicker(ratios: Sequence[Ratio]) -> str:
    return f"{sum(ratio.value < 1 for ratio in ratios)} of {len(ratios)} workloads"


def _points(calibration: Mapping[str, Any]) -> list[Point]:
    return [Point.from_json(point) for point in calibration["points"]]
