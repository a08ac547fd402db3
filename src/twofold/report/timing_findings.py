"""How fast is each engine, and after how many steps does one overtake another?

The time to a result of n steps is cold start + (n - 1) x step time: the cold start goes
from nothing to the end of the first step. The engines that are first for some n form the lower
envelope of these lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final

from twofold.report.evidence import Result, experiment_name

PARTS: Final = ("import_s", "opening_s", "trace_s", "compile_s", "first_run_s")


@dataclass(frozen=True)
class Start:
    """Where the seconds of one start went; `cache`: the compile cache was `empty` or `full`.

    `opening` and `first_run` are without the tracing and compiling that happened there.
    """

    cache: str
    importing: float
    opening: float
    tracing: float
    compiling: float
    first_run: float


@dataclass(frozen=True)
class MeasuredEngine:
    """One engine's figures on one experiment, in seconds; `low` and `high` belong to `step`.

    `starts`: those whose parts were stored, none in results of older versions.
    """

    engine: str
    cold_start: float
    step: float
    low: float
    high: float
    starts: tuple[Start, ...] = ()
    measured: ClassVar[bool] = True

    def time_to(self, steps: float) -> float:
        """Seconds from nothing to the end of a number of steps."""
        return self.cold_start + (steps - 1) * self.step


@dataclass(frozen=True)
class UnmeasuredEngine:
    """An engine that could not be measured: `failed` or `unavailable`, and why."""

    engine: str
    status: str
    reason: str
    measured: ClassVar[bool] = False


@dataclass(frozen=True)
class Comparison:
    """Step time of an engine divided by that of a reference, as stored."""

    engine: str
    reference: str
    median: float | None
    low: float | None
    high: float | None
    outcome: str


@dataclass(frozen=True)
class BreakEven:
    """The number of steps from which `overtaker` is sooner than `starter`.

    `low` and `high` come from the intervals of both step times; `high` is None when the intervals
    overlap, so that the overtaker may never be sooner.
    """

    starter: str
    overtaker: str
    steps: float
    low: float
    high: float | None


@dataclass(frozen=True)
class ExperimentTiming:
    """All engines on one experiment; `envelope` holds the engines that are first for some n."""

    experiment: str
    checked: bool
    interrupted: bool
    warnings: tuple[str, ...]
    engines: tuple[MeasuredEngine | UnmeasuredEngine, ...]
    comparisons: tuple[Comparison, ...]
    envelope: tuple[str, ...]
    break_evens: tuple[BreakEven, ...]

    @property
    def measured(self) -> tuple[MeasuredEngine, ...]:
        """The engines that have figures."""
        return tuple(item for item in self.engines if isinstance(item, MeasuredEngine))

    @property
    def started(self) -> tuple[MeasuredEngine, ...]:
        """The engines of whose starts the parts are known."""
        return tuple(engine for engine in self.measured if engine.starts)

    @property
    def reference(self) -> str | None:
        """The engine that others are compared with: the first that was measured."""
        return self.measured[0].engine if self.measured else None

    @property
    def fastest(self) -> MeasuredEngine | None:
        """The engine with the shortest step."""
        return min(self.measured, key=lambda engine: engine.step, default=None)

    def named(self, engine: str) -> MeasuredEngine:
        """The figures of an engine that was measured."""
        return next(item for item in self.measured if item.engine == engine)

    def against(self, engine: str, reference: str) -> Comparison | None:
        """The stored comparison of two engines, turned round where that is how it was stored."""
        for item in self.comparisons:
            if (item.engine, item.reference) == (engine, reference):
                return item
            if (item.engine, item.reference) == (reference, engine):
                return _turned(item)
        return None

    def distinguishable(self, one: MeasuredEngine, other: MeasuredEngine) -> bool:
        """Whether the step times differ: by the stored comparison, else by disjoint intervals."""
        stored = self.against(one.engine, other.engine)
        if stored is not None:
            return stored.outcome in ("faster", "slower")
        return one.high < other.low or other.high < one.low

    @property
    def leader(self) -> MeasuredEngine | None:
        """The fastest engine, if it can be told apart from every other."""
        first = self.fastest
        if first is None or not all(
            self.distinguishable(first, other) for other in self.measured if other != first
        ):
            return None
        return first

    def fastest_of(self, backend: str) -> MeasuredEngine | None:
        """The backend's engine with the shortest step."""
        own = [item for item in self.measured if item.engine.startswith(f"{backend}:")]
        return min(own, key=lambda engine: engine.step, default=None)


def find_timing(result: Result) -> ExperimentTiming:
    """The findings of one timing result."""
    engines = tuple(_engine(entry) for entry in result["engines"])
    lines = [engine for engine in engines if isinstance(engine, MeasuredEngine)]
    envelope = lower_envelope(lines)
    return ExperimentTiming(
        experiment=experiment_name(result),
        checked=not result.get("unchecked", False),
        interrupted=result.get("interrupted", False),
        warnings=tuple(result.get("warnings", ())),
        engines=engines,
        comparisons=tuple(
            Comparison(
                *(item[key] for key in ("engine", "reference", "median", "low", "high", "outcome"))
            )
            for item in result["ratios"]
        ),
        envelope=tuple(engine.engine for engine in envelope),
        break_evens=tuple(break_even(a, b) for a, b in pairwise(envelope)),
    )


def lower_envelope(lines: list[MeasuredEngine]) -> list[MeasuredEngine]:
    """The engines that are first for some number of steps, in that order."""
    if not lines:
        return []
    current = min(lines, key=lambda line: (line.time_to(1), line.step))
    envelope = [current]
    while rivals := [line for line in lines if line.step < current.step]:
        current = min(rivals, key=lambda line: (crossing(envelope[-1], line), line.step))
        envelope.append(current)
    return envelope


def crossing(starter: MeasuredEngine, overtaker: MeasuredEngine) -> float:
    """The number of steps at which both have taken the same time."""
    return 1 + (overtaker.time_to(1) - starter.time_to(1)) / (starter.step - overtaker.step)


def break_even(starter: MeasuredEngine, overtaker: MeasuredEngine) -> BreakEven:
    """The crossing of two lines, with the ends that the step times' intervals allow."""
    delay = overtaker.time_to(1) - starter.time_to(1)
    largest_gain, smallest_gain = starter.high - overtaker.low, starter.low - overtaker.high
    return BreakEven(
        starter=starter.engine,
        overtaker=overtaker.engine,
        steps=crossing(starter, overtaker),
        low=1 + delay / largest_gain,
        high=1 + delay / smallest_gain if smallest_gain > 0 else None,
    )


def _engine(entry: Result) -> MeasuredEngine | UnmeasuredEngine:
    if entry["status"] != "measured":
        return UnmeasuredEngine(entry["engine"], entry["status"], entry.get("reason") or "")
    step = entry["step_s"]
    return MeasuredEngine(
        engine=entry["engine"],
        cold_start=entry["cold_start_s"],
        step=step["median"],
        low=step["low"],
        high=step["high"],
        starts=tuple(_starts(entry)),
    )


def _starts(entry: Result) -> Iterator[Start]:
    """The starts whose parts are all stored; None stands for what nobody looked into."""
    for name, cache in (("cold_start", "empty"), ("warm_start", "full")):
        stored = entry.get(name) or {}
        known = [stored[part] for part in PARTS if stored.get(part) is not None]
        if len(known) == len(PARTS):
            yield Start(cache, *known)


def _turned(item: Comparison) -> Comparison:
    """The same comparison with engine and reference exchanged."""
    words = {"faster": "slower", "slower": "faster"}
    return Comparison(
        engine=item.reference,
        reference=item.engine,
        median=1 / item.median if item.median else None,
        low=1 / item.high if item.high else None,
        high=1 / item.low if item.low else None,
        outcome=words.get(item.outcome, item.outcome),
    )
