"""What an engine spends before it can compute: tracing Python into a graph, compiling the graph."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BuildTime:
    """Seconds of tracing and of compiling; both 0 for an engine that runs what Python says.

    `trace_s`: from Python to a graph, up to the form that the compiler takes. `compile_s`: from
    that graph to machine code, or to a program found in the compile cache.
    """

    trace_s: float = 0.0
    compile_s: float = 0.0

    @property
    def total_s(self) -> float:
        """Both together."""
        return self.trace_s + self.compile_s

    def __add__(self, other: BuildTime) -> BuildTime:
        return BuildTime(self.trace_s + other.trace_s, self.compile_s + other.compile_s)

    def __sub__(self, other: BuildTime) -> BuildTime:
        """What was added since `other`, an earlier reading."""
        return BuildTime(self.trace_s - other.trace_s, self.compile_s - other.compile_s)

    def within(self, seconds: float) -> BuildTime:
        """At most so many seconds, in the same proportion.

        Frameworks read clocks of their own, so that a part may come out a little longer than the
        whole it lies in.
        """
        if self.total_s <= seconds:
            return self
        share = seconds / self.total_s
        return BuildTime(self.trace_s * share, self.compile_s * share)


NOTHING_BUILT = BuildTime()
