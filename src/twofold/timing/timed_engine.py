"""What is timed: one engine in one process, measured with one clock.

A worker drives these functions; they know sessions, never processes or pipes.
"""

from __future__ import annotations

import gc
import importlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, final

import numpy as np
import numpy.typing as npt

from twofold.engines.build_time import BuildTime
from twofold.engines.session import Session
from twofold.problem.problem import Batch, Problem
from twofold.timing.clock import Clock, seconds_since

NAP_S: Final = 0.002
QUIET_SHARE: Final = 0.1
LONGEST_SETTLING_S: Final = 0.1
LEAD_IN_SHARE: Final = 1 / 3
"""Steps that are taken before a block and not timed, as a share of the block's own. Between two
blocks other engines have had the caches, and thread pools have gone to sleep: of 24 stretches of
1.6 ms, PyTorch's first took 1.22 times as long as the last, Flax's 1.24 times. Without the first
third, medians of 25 pairs of PyTorch's blocks scattered by 0.23 % instead of 1.8 %."""


class Steps(Protocol):
    """The part of a session that is timed."""

    def run(self, steps: int, /) -> npt.NDArray[Any]:
        """Take training steps; returns the losses (steps,)."""

    def synchronize(self) -> None:
        """Wait until the device has done all work asked of it."""

    def compilations(self) -> int:
        """How many programs have been compiled so far."""


@final
class TrainingLength:
    """Lets training begin anew when it has gone as far as the experiment goes.

    A step's time depends on the numbers in it. Where a model has learnt its rows by heart gradients
    become subnormal, which processors multiply slowly and XLA reads as zero: PyTorch's fastest
    engine took 157 us for each of the first 10,000 steps of `lesson` and 290 us after some 50,000,
    while the experiment has 1,570. Without this the engine that takes the most steps in a given
    time would be timed on the slowest ones.
    """

    def __init__(self, steps: int, begin_again: Callable[[], None]) -> None:
        """`steps`: of the experiment; `begin_again` puts its initial state back."""
        self._steps, self._begin_again = steps, begin_again
        self._taken = 0

    def make_room(self, steps: int) -> None:
        """Begin anew if some steps more would go beyond the end, or if the last ones did."""
        if self._taken and self._taken + steps > self._steps:
            self._begin_again()
            self._taken = 0
        self._taken += steps


@final
class VaryingBatches:
    """Steps on batches of changing size, in turn, each handed over as NumPy arrays.

    Such batches cannot wait on the device cut to size: every engine pays for the way there, and
    waits for the loss.
    """

    def __init__(self, session: Session, batches: Sequence[Batch]) -> None:
        self._session, self._batches = session, batches

    def run(self, steps: int, /) -> npt.NDArray[Any]:
        """Take steps, beginning with the first batch size; returns the losses (steps,)."""
        count = len(self._batches)
        return np.array([self._session.step(self._batches[i % count]) for i in range(steps)])

    def synchronize(self) -> None:
        """Wait until the device has done all work asked of it."""
        self._session.synchronize()

    def compilations(self) -> int:
        """How many programs have been compiled so far."""
        return self._session.compilations()


@final
class SlowedDown:
    """Steps that take longer by a known share, to see whether the harness finds it."""

    def __init__(self, steps: Steps, share: float, clock: Clock) -> None:
        self._steps, self._share, self._clock = steps, share, clock

    def run(self, steps: int, /) -> npt.NDArray[Any]:
        """Take steps, then keep the processor busy for `share` of the time they took."""
        start = self._clock.nanoseconds()
        losses = self._steps.run(steps)
        self._steps.synchronize()
        until = (1 + self._share) * seconds_since(self._clock, start)
        while seconds_since(self._clock, start) < until:
            pass
        return losses

    def synchronize(self) -> None:
        """Wait until the device has done all work asked of it."""
        self._steps.synchronize()

    def compilations(self) -> int:
        """How many programs have been compiled so far."""
        return self._steps.compilations()


@dataclass(frozen=True)
class Block:
    """Some steps timed together.

    `seconds` from the first call to the end of the synchronised work; `compilations` made inside;
    `settled` whether the process's own threads came to rest afterwards; `built` what of the seconds
    went into tracing and compiling, None where nobody looked; `process` which of an engine's
    processes it was, where there are several.
    """

    steps: int
    seconds: float
    compilations: int
    settled: bool = True
    built: BuildTime | None = None
    process: int = 0

    @property
    def step_s(self) -> float:
        """Seconds for a step."""
        return self.seconds / self.steps


def whole_batches(problem: Problem) -> tuple[Problem, bool]:
    """The problem with all batches of one size, and whether its last batch had to be dropped.

    Data with fewer rows than a batch has one batch for each epoch, always the same size.
    """
    experiment = problem.experiment
    size, rows = experiment.data.batch_size, problem.train.rows
    if experiment.data.drop_last or rows < size or rows % size == 0:
        return problem, False
    data = experiment.data.model_copy(update={"drop_last": True})
    return replace(problem, experiment=experiment.model_copy(update={"data": data})), True


def rows_per_step(problem: Problem) -> int:
    """Rows in each batch of a problem whose batches have one size."""
    return min(problem.experiment.data.batch_size, problem.train.rows)


def batches_of(problem: Problem, sizes: Sequence[int]) -> list[Batch]:
    """One batch of each size, the training rows in order."""
    inputs, targets = problem.train.inputs, problem.train.targets
    return [Batch(inputs[:size], targets[:size]) for size in sizes]


def timed_import(opener: str, clock: Clock) -> float:
    """Seconds to import the module of a backend's opener, and with it the framework."""
    start = clock.nanoseconds()
    importlib.import_module(opener.partition(":")[0])
    return seconds_since(clock, start)


def lead_in_of(steps: int, turn: int = 1) -> int:
    """How many steps to take before a block of the steady state: whole turns of batch sizes."""
    return math.ceil(LEAD_IN_SHARE * steps / turn) * turn


def timed_block(session: Steps, steps: int, clock: Clock, lead_in: int = 0) -> Block:
    """Time some steps: all earlier work is waited for before, all of their own work after.

    `lead_in` steps come before and are not timed; what they compile is counted.
    """
    session.synchronize()
    compiled = session.compilations()
    with _without_garbage_collection():
        if lead_in:
            session.run(lead_in)
            session.synchronize()
        start = clock.nanoseconds()
        session.run(steps)
        session.synchronize()
        seconds = seconds_since(clock, start)
    return Block(steps, seconds, session.compilations() - compiled)


def first_block(
    session: Steps, steps: int, clock: Clock, build_time: Callable[[], BuildTime]
) -> Block:
    """Time the first steps, with what of them is tracing and compiling.

    `build_time` tells how much the session has built so far.
    """
    before = build_time()
    block = timed_block(session, steps, clock)
    return replace(block, built=build_time() - before)


def settle(clock: Clock) -> bool:
    """Wait until this process uses no processor; whether it came to rest within 0.1 s.

    Thread pools spin for some milliseconds after their last work (GNU OpenMP: GOMP_SPINCOUNT). To
    forbid the spinning would slow the engines that rely on it, so it is waited out instead.
    """
    start = clock.nanoseconds()
    while seconds_since(clock, start) < LONGEST_SETTLING_S:
        nap, used = clock.nanoseconds(), time.process_time_ns()
        clock.sleep(NAP_S)
        share = (time.process_time_ns() - used) / 1e9 / seconds_since(clock, nap)
        if share < QUIET_SHARE:
            return True
    return False


def freeze_garbage() -> None:
    """Collect once, then exempt what is alive: later collections between blocks are cheap."""
    gc.collect()
    gc.freeze()


def thaw_garbage() -> None:
    """Undo `freeze_garbage`, so that a session that is no longer needed can be collected."""
    gc.unfreeze()
    gc.collect()


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Collect before, so that every block starts alike, and not inside."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
