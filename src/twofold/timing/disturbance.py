"""Which rounds others left alone: the machine is watched in windows of about a second.

Processor times are counted in ticks of ten milliseconds, too coarse for a single round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from twofold.timing.clock import Clock, seconds_since

WINDOW_S: Final = 1.0
BUSY_SHARE: Final = 0.1
SMALLEST_BUSY: Final = 0.2  # processors: what a system at rest does must not count as disturbance


def busy_limit(cores: int) -> float:
    """Processors that others may keep at work before a round counts as disturbed."""
    return max(SMALLEST_BUSY, BUSY_SHARE * cores)


@final
class Watch:
    """Flags each round as quiet or disturbed by what others did to the machine meanwhile.

    `used_by_others` gives the processor seconds that others have used so far, None if unknown; then
    nothing can be said against a round.
    """

    def __init__(
        self, used_by_others: Callable[[], float | None], clock: Clock, cores: int
    ) -> None:
        self._used_by_others, self._clock, self._limit = used_by_others, clock, busy_limit(cores)
        self._start = self._window = clock.nanoseconds()
        self._first = self._used = used_by_others()
        self._flags: list[bool] = []
        self._open = 0
        self._quiet_s = 0.0

    @property
    def quiet_s(self) -> float:
        """Seconds of quiet windows so far; the window under way counts as quiet."""
        return self._quiet_s + seconds_since(self._clock, self._window)

    def round_done(self) -> None:
        """A round is complete."""
        self._open += 1
        if seconds_since(self._clock, self._window) >= WINDOW_S:
            self._close_window()

    def finish(self) -> tuple[bool, ...]:
        """Whether each round was quiet; a last window too short to judge goes by the one before."""
        short = seconds_since(self._clock, self._window) < WINDOW_S / 2
        if short and self._flags:
            self._flags += [self._flags[-1]] * self._open
            self._open = 0
        elif self._open:
            self._close_window()
        return tuple(self._flags)

    def other_cores(self) -> float | None:
        """Processors kept busy by others since the beginning, on average."""
        return self._cores(self._first, self._start)

    def _close_window(self) -> None:
        cores = self._cores(self._used, self._window)
        quiet = cores is None or cores <= self._limit
        if quiet:
            self._quiet_s += seconds_since(self._clock, self._window)
        self._flags += [quiet] * self._open
        self._open = 0
        self._window, self._used = self._clock.nanoseconds(), self._used_by_others()

    def _cores(self, used_before: float | None, since: int) -> float | None:
        used, seconds = self._used_by_others(), seconds_since(self._clock, since)
        if used is None or used_before is None or seconds <= 0:
            return None
        return max(0.0, (used - used_before) / seconds)
