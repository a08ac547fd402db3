"""What JAX says of its own tracing and compiling, credited to the session that caused it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, final

import jax

from twofold.engines.build_time import BuildTime

TRACING: Final = frozenset(
    {
        "/jax/core/compile/jaxpr_trace_duration",
        "/jax/core/compile/jaxpr_to_mlir_module_duration",
    }
)
COMPILING: Final = "/jax/core/compile/backend_compile_duration"
"""JAX's events (JAX 0.10, `jax/_src/dispatch.py`): from Python to a jaxpr, from that to MLIR; and
XLA's compiling, or reading from the compile cache."""


@final
class BuildClock:
    """The seconds that JAX reports while this clock listens.

    JAX times only what begins outside any other trace. Inside an automatic derivative that is not
    compiled (an `op-by-op` engine), the little tracing of single operations goes unreported.
    """

    def __init__(self) -> None:
        self._built = BuildTime()
        self._outermost: list[tuple[float, float]] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """What JAX builds inside is this clock's; a clock that listened before waits."""
        before = _listening.set(self)
        try:
            yield
        finally:
            _listening.reset(before)

    def build_time(self) -> BuildTime:
        """All so far."""
        return self._built

    def add(self, event: str, start: float, end: float) -> None:
        """Credit an event from `start` to `end` (seconds), less the events inside it.

        Those were reported before, since they ended before. Each second is so counted once, as
        what went on innermost.
        """
        inside = 0.0
        while self._outermost and self._outermost[-1][0] >= start:
            inner_start, inner_end = self._outermost.pop()
            inside += inner_end - inner_start
        self._outermost.append((start, end))
        # JAX reads the time of day, which may be set back meanwhile.
        own = max(0.0, end - start - inside)
        self._built += BuildTime(compile_s=own) if event == COMPILING else BuildTime(trace_s=own)


_listening: ContextVar[BuildClock | None] = ContextVar("listening", default=None)


def _on_time_span(event: str, start_time: float, end_time: float, **_: Any) -> None:
    clock = _listening.get()
    if clock is not None and (event in TRACING or event == COMPILING):
        clock.add(event, start_time, end_time)


# Once for the process: JAX has one list of listeners.
jax.monitoring.register_event_time_span_listener(_on_time_span)
