"""Which engine is faster on which machine: what holds everywhere, and which pairs flip.

A pair flips where one machine's own stored comparison calls it faster and another's calls it
slower. A comparison that a machine calls not distinguishable is no half of a flip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, Literal

from comparisons.machines.stored import Machine
from twofold.report.evidence import Result
from twofold.report.parity_findings import unique
from twofold.report.time_to_result import MeasuredEngine
from twofold.report.timing_findings import (
    Comparison,
    ExperimentTiming,
    UnmeasuredEngine,
    find_timing,
)
from twofold.report.wording import counted

ENGINE_REFERENCE: Final = "torch:eager"
FEED_REFERENCE: Final = "feed:torch-loader"

Kind = Literal["same", "flips", "open"]


@dataclass(frozen=True)
class Column:
    """One stored run: a machine, its threads, and what was timed there."""

    machine: str
    threads: int | None
    timing: ExperimentTiming
    experiment: Result

    @property
    def label(self) -> str:
        """`AMD EPYC (2 threads)`."""
        return labelled(self.machine, self.threads)

    def entry(self, engine: str) -> MeasuredEngine | UnmeasuredEngine | None:
        """What is stored about an engine; None where it was not run."""
        return next((item for item in self.timing.engines if item.engine == engine), None)

    def measured(self, engine: str) -> MeasuredEngine | None:
        """The engine's figures, where it has any."""
        entry = self.entry(engine)
        return entry if isinstance(entry, MeasuredEngine) else None

    @property
    def fastest(self) -> tuple[str, ...]:
        """The engines measured that no other is known to be ahead of."""
        return tuple(item.engine for item in self.timing.leaders)

    def soonest(self, among: Sequence[str] | None = None) -> str | None:
        """The engine with the shortest cold start, of all or of some."""
        own = [item for item in self.timing.measured if among is None or item.engine in among]
        return min(own, key=lambda item: item.cold_start).engine if own else None


@dataclass(frozen=True)
class Pair:
    """Two engines, and what each run that has both says of them."""

    engine: str
    reference: str
    found: tuple[tuple[Column, Comparison], ...]

    @property
    def kind(self) -> Kind:
        """Whether the order is the same, flips, or is open because a run does not tell it."""
        outcomes = {comparison.outcome for _, comparison in self.found}
        if outcomes >= {"faster", "slower"}:
            return "flips"
        return "same" if len(outcomes) == 1 and outcomes <= {"faster", "slower"} else "open"


@dataclass(frozen=True)
class Race:
    """Engines, or other subjects, timed against each other on one or more machines."""

    title: str
    reference: str
    columns: tuple[Column, ...]

    @property
    def engines(self) -> tuple[str, ...]:
        """Every engine that some run names."""
        return unique(item.engine for column in self.columns for item in column.timing.engines)

    @property
    def shared(self) -> tuple[str, ...]:
        """The engines that every run has measured."""
        return tuple(e for e in self.engines if all(c.measured(e) for c in self.columns))

    @property
    def altered(self) -> tuple[str, ...]:
        """The fields in which the runs' experiments differ; then nothing is compared."""
        return unique(
            field
            for one, other in combinations(self.columns, 2)
            for field in altered_fields(one.experiment, other.experiment)
        )

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Every pair of engines that more than one run compares."""
        if self.altered:
            return ()
        pairs = [self._pair(engine, before) for before, engine in combinations(self.engines, 2)]
        return tuple(pair for pair in pairs if len(pair.found) > 1)

    def of_kind(self, kind: Kind) -> tuple[Pair, ...]:
        """The pairs whose order is the same, flips or is open."""
        return tuple(pair for pair in self.pairs if pair.kind == kind)

    def _pair(self, engine: str, reference: str) -> Pair:
        found = []
        for column in self.columns:
            stored = column.timing.against(engine, reference)
            if stored and column.measured(engine) and column.measured(reference):
                found.append((column, stored))
        return Pair(engine, reference, tuple(found))


def labelled(machine: str, threads: int | None) -> str:
    """The machine, with the number of threads where it is stored."""
    return f"{machine} ({counted(threads, 'thread')})" if threads else machine


def experiment_races(machines: Sequence[Machine]) -> tuple[Race, ...]:
    """The engines' step times, a race for each experiment."""
    columns = [
        _column(machine, result, result)
        for machine in machines
        for result in machine.evidence.timing
    ]
    names = sorted({column.timing.experiment for column in columns})
    return tuple(
        Race(
            name,
            ENGINE_REFERENCE,
            tuple(column for column in columns if column.timing.experiment == name),
        )
        for name in names
    )


def study_race(machines: Sequence[Machine], kind: str, reference: str) -> Race:
    """What `feeding` or `peers` timed, as one race."""
    columns = [
        _column(machine, result, {**result, "engines": result["timings"]})
        for machine in machines
        for result in machine.evidence.of_kind(kind)
    ]
    return Race(kind, reference, tuple(columns))


def _column(machine: Machine, result: Result, timing: Result) -> Column:
    threads = result["environment"].get("threads")
    return Column(machine.name, threads, find_timing(timing), result["experiment"])


def altered_fields(one: Result, other: Result) -> Iterator[str]:
    """The fields that both experiments have and in which they differ: `data.batch_size`."""
    left, right = dict(_leaves(one)), dict(_leaves(other))
    yield from (name for name in left if name in right and left[name] != right[name])


def _leaves(value: Result, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, dict):
            yield from _leaves(item, f"{above}{name}.")
        else:
            yield f"{above}{name}", item
