"""Which engine is soonest to the result of so many steps?

The time to a result of n steps is start + later builds + (n - 1) x step time: the start goes from
nothing to the end of the first step, with an empty compile cache (a cold start) or a full one (a
warm start). Later builds are what an engine traces and compiles after its first step, such as the
graph of several steps of `torch:compile-epoch`. The engines that are first for some n form the
lower envelope of these lines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar, Final, Literal

from twofold.envelope import crossing, lower_envelope

Cache = Literal["empty", "full"]

CLOSE: Final = 0.1
"""Times to a result that differ by less than this share are not told apart.

A start is measured once, and so has no interval.
"""


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

    `warm_start`: None where it was not measured. `later_build` and `warm_later_build`: what is
    traced and compiled after the first step, 0 in results of older versions, which do not tell it.
    `starts`: those whose parts were stored, none in results of older versions.
    """

    engine: str
    cold_start: float
    step: float
    low: float
    high: float
    starts: tuple[Start, ...] = ()
    warm_start: float | None = None
    later_build: float = 0.0
    warm_later_build: float = 0.0
    measured: ClassVar[bool] = True

    def time_to(self, steps: float) -> float:
        """Seconds from nothing to the end of a number of steps, with an empty compile cache."""
        return self.cold_start + self.later_build + (steps - 1) * self.step

    @property
    def as_line(self) -> tuple[float, float]:
        """Seconds to the end of the first step, and for each step after it."""
        return self.time_to(1), self.step

    def with_cache(self, cache: Cache) -> MeasuredEngine | None:
        """The figures with that start in place of the cold one; None where it is not known."""
        if cache == "empty":
            return self
        if self.warm_start is None:
            return None
        return replace(self, cold_start=self.warm_start, later_build=self.warm_later_build)


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
class Lines:
    """The times to a result with one state of the compile cache.

    `lines`: the engines that have such a start, which `cold_start` is here; `without`: the measured
    engines that have none. `envelope`: those that are first for some number of steps.
    """

    cache: Cache
    lines: tuple[MeasuredEngine, ...]
    without: tuple[str, ...]
    envelope: tuple[MeasuredEngine, ...]
    break_evens: tuple[BreakEven, ...]

    @property
    def complete(self) -> bool:
        """Whether every measured engine has such a start."""
        return bool(self.lines) and not self.without

    def soonest(self, steps: int) -> tuple[MeasuredEngine, ...]:
        """The engines first after so many steps, the soonest and those close behind it."""
        ordered = sorted(self.lines, key=lambda line: line.time_to(steps))
        limit = ordered[0].time_to(steps) * (1 + CLOSE) if ordered else 0.0
        return tuple(line for line in ordered if line.time_to(steps) <= limit)

    @property
    def never_soonest(self) -> tuple[str, ...]:
        """The engines that are behind after any number of steps, even at their quickest."""
        return tuple(line.engine for line in self.lines if self._always_behind(line))

    def _always_behind(self, line: MeasuredEngine) -> bool:
        """Whether the others at their slowest are ahead of the line at its quickest, for all n.

        The smallest of the others' times is concave in n, so that its corners and its end decide.
        """
        at_best = replace(
            line,
            cold_start=line.cold_start * (1 - CLOSE),
            later_build=line.later_build * (1 - CLOSE),
            step=line.low,
        )
        others = [replace(one, step=one.high) for one in self.lines if one != line]
        envelope = lower_envelope([one.as_line for one in others])
        if not envelope:
            return False
        corners = [max(1.0, steps) for _, steps in envelope]
        ahead = all(min(o.time_to(n) for o in others) < at_best.time_to(n) for n in corners)
        return ahead and others[envelope[-1][0]].step < at_best.step


def lines_with(cache: Cache, measured: list[MeasuredEngine]) -> Lines:
    """The times to a result of the engines that were started with that compile cache."""
    lines = [line for engine in measured if (line := engine.with_cache(cache)) is not None]
    known = {line.engine for line in lines}
    envelope = soonest_somewhere(lines)
    return Lines(
        cache=cache,
        lines=tuple(lines),
        without=tuple(engine.engine for engine in measured if engine.engine not in known),
        envelope=tuple(envelope),
        break_evens=tuple(break_even(a, b) for a, b in pairwise(envelope)),
    )


def soonest_somewhere(lines: list[MeasuredEngine]) -> list[MeasuredEngine]:
    """The engines that are first for some number of steps, in that order."""
    return [lines[index] for index, _ in lower_envelope([line.as_line for line in lines])]


def break_even(starter: MeasuredEngine, overtaker: MeasuredEngine) -> BreakEven:
    """The crossing of two lines, with the ends that the step times' intervals allow."""
    delay = overtaker.time_to(1) - starter.time_to(1)
    gain = starter.step - overtaker.step
    largest_gain = max(gain, starter.high - overtaker.low)
    smallest_gain = min(gain, starter.low - overtaker.high)
    return BreakEven(
        starter=starter.engine,
        overtaker=overtaker.engine,
        steps=crossing(starter.as_line, overtaker.as_line),
        low=1 + delay / largest_gain,
        high=1 + delay / smallest_gain if smallest_gain > 0 else None,
    )
