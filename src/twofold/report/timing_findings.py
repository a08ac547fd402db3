"""How fast is each engine's step, and how long does each take to a result?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from twofold.backends.installed import backend_of
from twofold.report.contenders import lacking
from twofold.report.evidence import Result, experiment_name
from twofold.report.time_to_result import BreakEven, Cache, Lines, MeasuredEngine, Start, lines_with

PARTS: Final = ("import_s", "opening_s", "trace_s", "compile_s", "first_run_s")


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
class ExperimentTiming:
    """All engines on one experiment; `steps` are the experiment's own, None where not stored.

    `on_processor`: no engine says that it ran elsewhere.
    """

    experiment: str
    checked: bool
    interrupted: bool
    warnings: tuple[str, ...]
    engines: tuple[MeasuredEngine | UnmeasuredEngine, ...]
    comparisons: tuple[Comparison, ...]
    empty_cache: Lines
    full_cache: Lines
    steps: int | None = None
    on_processor: bool = True

    @property
    def caches(self) -> tuple[Lines, Lines]:
        """The times to a result with an empty and with a full compile cache."""
        return self.empty_cache, self.full_cache

    def with_cache(self, cache: Cache) -> Lines:
        """The times to a result with one state of the compile cache."""
        return self.empty_cache if cache == "empty" else self.full_cache

    @property
    def envelope(self) -> tuple[str, ...]:
        """The engines that are first for some number of steps, with an empty compile cache."""
        return tuple(line.engine for line in self.empty_cache.envelope)

    @property
    def break_evens(self) -> tuple[BreakEven, ...]:
        """Where one engine of the envelope overtakes the one before, with an empty cache."""
        return self.empty_cache.break_evens

    @property
    def lacking(self) -> tuple[str, ...]:
        """The engines that have been a framework's fastest somewhere and have no figures here."""
        return lacking(engine.engine for engine in self.measured)

    @property
    def at_best(self) -> bool:
        """Whether every engine that has been its framework's fastest somewhere was measured."""
        return self.on_processor and not self.lacking

    @property
    def measured(self) -> tuple[MeasuredEngine, ...]:
        """The engines that have figures."""
        return tuple(item for item in self.engines if isinstance(item, MeasuredEngine))

    @property
    def started(self) -> tuple[MeasuredEngine, ...]:
        """The engines whose starts are stored in parts."""
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

    def ahead(self, one: MeasuredEngine, other: MeasuredEngine) -> bool:
        """Whether a step is known to be shorter: by the stored comparison, else by the intervals.

        A comparison that was withheld is no evidence, and so not "ahead".
        """
        stored = self.against(one.engine, other.engine)
        if stored is not None:
            return stored.outcome == "faster"
        return one.high < other.low

    def distinguishable(self, one: MeasuredEngine, other: MeasuredEngine) -> bool:
        """Whether one of the two is known to have the shorter step."""
        return self.ahead(one, other) or self.ahead(other, one)

    @property
    def leaders(self) -> tuple[MeasuredEngine, ...]:
        """The engines that no other is known to be ahead of, the shortest step first."""
        behind = [
            item
            for item in self.measured
            if any(self.ahead(other, item) for other in self.measured if other != item)
        ]
        first = [item for item in self.measured if item not in behind] or list(self.measured)
        return tuple(sorted(first, key=lambda engine: engine.step))

    @property
    def leader(self) -> MeasuredEngine | None:
        """The engine known to be ahead of every other."""
        return next(
            (
                item
                for item in self.measured
                if all(self.ahead(item, other) for other in self.measured if other != item)
            ),
            None,
        )

    def fastest_of_each(self) -> list[MeasuredEngine]:
        """The engine with the shortest step of each backend that was measured, as they come."""
        own: dict[str, list[MeasuredEngine]] = {}
        for item in self.measured:
            own.setdefault(backend_of(item.engine), []).append(item)
        return [min(items, key=lambda engine: engine.step) for items in own.values()]


def find_timing(result: Result) -> ExperimentTiming:
    """The findings of one timing result."""
    engines = tuple(_engine(entry) for entry in result["engines"])
    measured = [engine for engine in engines if isinstance(engine, MeasuredEngine)]
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
        empty_cache=lines_with("empty", measured),
        full_cache=lines_with("full", measured),
        steps=result.get("steps"),
        on_processor=all(_on_processor(entry) for entry in result["engines"]),
    )


def _on_processor(entry: Result) -> bool:
    """Whether the engine ran on the processor; results of older versions do not say it."""
    framework = entry.get("framework")
    device = framework.get("default_device") if isinstance(framework, dict) else None
    return device is None or str(device).partition(":")[0] == "cpu"


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
        warm_start=entry.get("warm_start_s"),
        later_build=(entry.get("cold_start") or {}).get("later_build_s") or 0.0,
        warm_later_build=(entry.get("warm_start") or {}).get("later_build_s") or 0.0,
    )


def _starts(entry: Result) -> Iterator[Start]:
    """The starts whose parts are all stored; None stands for a part that was not measured."""
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
