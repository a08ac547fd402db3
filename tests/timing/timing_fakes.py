"""A fake machine: a clock that only moves when work is done, and engines that do it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from twofold.engines.build_time import NOTHING_BUILT, BuildTime
from twofold.errors import EngineFailed
from twofold.timing.protocol import Opened
from twofold.timing.timed_engine import Block, first_block, timed_block


class FakeClock:
    """Time stands still but for `advance` and `sleep`."""

    def __init__(self, reading_ns: int = 0) -> None:
        self.now, self.reading_ns = 0, reading_ns

    def nanoseconds(self) -> int:
        self.now += self.reading_ns
        return self.now

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)


class FakeSession:
    """Steps that take `step_s`, noisy per call, faster or slower as the machine drifts.

    `asynchronous` work is asked for in `run` and done in `synchronize`. `compiles` says at which
    calls of `run` (0 is the first step) something is compiled, which takes `compile_s`, of which
    `trace_s` is tracing.
    """

    def __init__(
        self,
        clock: FakeClock,
        step_s: float,
        *,
        seed: int = 0,
        noise: float = 0.05,
        drift: Callable[[float], float] = lambda _: 1.0,
        asynchronous: bool = False,
        compiles: Callable[[int], bool] = lambda call: call == 0,
        compile_s: float = 0.5,
        trace_s: float = 0.0,
        warming: Callable[[int], float] = lambda _: 1.0,
    ) -> None:
        self.clock, self.step_s, self.noise, self.drift = clock, step_s, noise, drift
        self.asynchronous, self.compiles, self.compile_s = asynchronous, compiles, compile_s
        self.warming, self.trace_s, self.built = warming, trace_s, NOTHING_BUILT
        self.random = random.Random(seed)
        self.calls = self.compiled = 0
        self.pending = 0.0

    def run(self, steps: int) -> np.ndarray[Any, Any]:
        work = steps * self.step_s * self.drift(self.clock.now / 1e9) * self.warming(self.calls)
        work *= self.random.lognormvariate(0.0, self.noise)
        if self.compiles(self.calls):
            self.compiled += 1
            self.built += BuildTime(self.trace_s, self.compile_s - self.trace_s)
            work += self.compile_s
        self.calls += 1
        if self.asynchronous:
            self.pending += work
        else:
            self.clock.advance(work)
        return np.zeros(steps)

    def synchronize(self) -> None:
        self.clock.advance(self.pending)
        self.pending = 0.0

    def compilations(self) -> int:
        return self.compiled

    def build_time(self) -> BuildTime:
        return self.built


class FakeWorker:
    """An engine without a process, timed by the very functions that real workers use."""

    def __init__(
        self,
        engine: str,
        clock: FakeClock,
        session: FakeSession,
        *,
        before_block: Callable[[int], None] = lambda _: None,
        open_error: Exception | None = None,
        built_in_open: BuildTime | None = NOTHING_BUILT,
    ) -> None:
        self.built_in_open = built_in_open
        self.engine, self.clock, self.session = engine, clock, session
        self.before_block, self.open_error = before_block, open_error
        self.blocks = self.closed = 0

    def open(self) -> Opened:
        if self.open_error is not None:
            raise self.open_error
        self.clock.advance(1.0)
        return Opened(0.75, 0.25, 64, False, 1e-7, self.built_in_open)

    def first_step(self) -> Block:
        return first_block(self.session, 1, self.clock, self.session.build_time)

    def block(self, steps: int) -> Block:
        self.before_block(self.blocks)
        self.blocks += 1
        return timed_block(self.session, steps, self.clock)

    def describe(self) -> Mapping[str, Any]:
        known = {"peak_memory_bytes": 1_000_000, "compilations": self.session.compiled}
        if self.built_in_open is None:
            return known
        return {**known, "built": self.built_in_open + self.session.built}

    def processor_seconds(self) -> float:
        return 0.0

    def close(self) -> None:
        self.closed += 1


def crash_at(number: int, message: str = "killed") -> Callable[[int], None]:
    """A `before_block` that breaks the engine at its block of that number, counted from 0."""

    def before(block: int) -> None:
        if block == number:
            raise EngineFailed(message)

    return before
