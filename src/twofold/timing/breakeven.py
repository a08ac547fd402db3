"""Time to a result, and the number of steps from which one engine is sooner than another."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from twofold.envelope import lower_envelope
from twofold.timing.statistics import Interval


@dataclass(frozen=True)
class Pace:
    """What an engine needs: seconds to the end of the first step, seconds for each step after.

    `cold_start_s` holds all building, that of programs which only later steps need, too.
    """

    engine: str
    cold_start_s: float
    step_s: Interval

    def time_to(self, steps: float) -> float:
        """Seconds from nothing to the end of a number of steps."""
        return self.cold_start_s + (steps - 1) * self.step_s.median


@dataclass(frozen=True)
class BreakEven:
    """From `steps` on, `overtaker` is sooner than `starter`, which is sooner before.

    None: never, or not within what the intervals of the two step times allow (`low`, `high`).
    """

    starter: str
    overtaker: str
    steps: float | None
    low: float | None
    high: float | None


def all_break_evens(paces: Sequence[Pace]) -> tuple[BreakEven, ...]:
    """Every pair of engines once."""
    return tuple(break_even(*pair) for pair in itertools.combinations(paces, 2))


def break_even(one: Pace, other: Pace) -> BreakEven:
    """The number of steps at which two engines have taken the same time."""
    starter, overtaker = sorted((one, other), key=lambda pace: pace.cold_start_s)
    delay = overtaker.cold_start_s - starter.cold_start_s
    first, second = starter.step_s, overtaker.step_s
    return BreakEven(
        starter.engine,
        overtaker.engine,
        _crossing(delay, first.median - second.median),
        _crossing(delay, first.high - second.low),
        _crossing(delay, first.low - second.high),
    )


def soonest(paces: Sequence[Pace]) -> list[tuple[float, Pace]]:
    """The engines that are soonest for some number of steps, each with the first such number."""
    lines = [(pace.cold_start_s, pace.step_s.median) for pace in paces]
    return [(steps, paces[index]) for index, steps in lower_envelope(lines)]


def _crossing(delay: float, gain: float) -> float | None:
    """Steps after which a gain for each step has made up for a delay; None if it never does."""
    return 1 + delay / gain if gain > 0 else None
