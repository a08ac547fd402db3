"""The one clock of all timing, behind a protocol so that tests can drive it."""

from __future__ import annotations

import time
from typing import Protocol, final


class Clock(Protocol):
    """Something that tells the time and can wait."""

    def nanoseconds(self) -> int:
        """Nanoseconds since a fixed moment; never runs backwards."""

    def sleep(self, seconds: float) -> None:
        """Wait without using the processor."""


@final
class SystemClock:
    """The highest-resolution monotonic clock of the system, `time.perf_counter_ns`."""

    def nanoseconds(self) -> int:
        """Nanoseconds since a fixed moment."""
        return time.perf_counter_ns()

    def sleep(self, seconds: float) -> None:
        """Wait without using the processor."""
        time.sleep(seconds)


def seconds_since(clock: Clock, start: int) -> float:
    """Seconds from a reading of the clock until now."""
    return (clock.nanoseconds() - start) / 1e9


def reading_cost(clock: Clock, readings: int = 1001) -> float:
    """Seconds that one reading of the clock takes: the median of pairs read back to back."""
    gaps = []
    for _ in range(readings):
        first = clock.nanoseconds()
        gaps.append(clock.nanoseconds() - first)
    return sorted(gaps)[readings // 2] / 1e9
