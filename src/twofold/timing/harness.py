"""The harness: cold starts one after the other, then rounds of blocks in random order.

It knows workers and a clock only, and no process, so that tests can drive it with fakes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

from twofold.errors import BadInput, EngineFailed
from twofold.timing.clock import Clock, seconds_since
from twofold.timing.protocol import EngineWorker, OnProgress, Opened, Progress
from twofold.timing.steady import WarmUp, shortest_block, warm_up
from twofold.timing.subject import Block

Status = Literal["measured", "failed", "unavailable", "diverges"]

FEWEST_ROUNDS: Final = 5
INTERRUPTED: Final = "interrupted before it was measured"


@dataclass
class Run:
    """What became of one engine; `blocks` holds the steady state, one block for each round."""

    engine: str
    status: Status = "measured"
    reason: str = ""
    opened: Opened | None = None
    first: Block | None = None
    steps_per_block: int | None = None
    warm_up: WarmUp | None = None
    blocks: list[Block] = field(default_factory=list)
    description: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rounds:
    """All runs, in the order of the workers, and how the measurement went.

    `other_cores`: processors kept busy by others during the rounds, on average; None if unknown.
    """

    runs: tuple[Run, ...]
    seconds: float
    other_cores: float | None
    interrupted: bool


Action = Callable[[EngineWorker, Run], None]


@dataclass
class _Measurement:
    """The workers with their runs, while they are measured."""

    pairs: list[tuple[EngineWorker, Run]]
    clock: Clock
    on_progress: OnProgress

    @property
    def alive(self) -> list[tuple[EngineWorker, Run]]:
        return [pair for pair in self.pairs if pair[1].status == "measured"]

    def attempt(self, worker: EngineWorker, run: Run, action: Action) -> None:
        """Do something with a worker; if it breaks, that is this run's end, not the others'."""
        try:
            action(worker, run)
        except EngineFailed as error:
            run.status, run.reason = "failed", str(error)
        except BadInput as error:
            run.status, run.reason = "unavailable", str(error)
        if run.status != "measured":
            worker.close()


def measure_rounds(
    workers: Sequence[EngineWorker],
    *,
    seconds: float,
    seed: int,
    clock: Clock,
    busy_seconds: Callable[[], float | None] = lambda: None,
    on_progress: OnProgress = lambda _: None,
) -> Rounds:
    """Measure every worker; all of them are closed in the end.

    `seconds` is what the rounds may take, cold starts and warm-up come on top. `busy_seconds` is
    the processor time that the whole machine has used so far. Ctrl-C ends the measurement and
    keeps all rounds that were complete.
    """
    pairs = [(worker, Run(worker.engine)) for worker in workers]
    measurement = _Measurement(pairs, clock, on_progress)
    interrupted, spent, other = False, 0.0, None
    try:
        _bring_up(measurement)
        start, before = clock.nanoseconds(), _others(measurement, busy_seconds)
        try:
            _run_rounds(measurement, seconds, random.Random(seed))
        finally:
            spent, after = seconds_since(clock, start), _others(measurement, busy_seconds)
            if before is not None and after is not None and spent > 0:
                other = max(0.0, (after - before) / spent)
        _describe(measurement)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        for worker, _ in pairs:
            worker.close()
    for _, run in measurement.alive:
        if not run.blocks:
            run.status, run.reason = "failed", INTERRUPTED
    return Rounds(tuple(run for _, run in pairs), spent, other, interrupted)


def _bring_up(measurement: _Measurement) -> None:
    """Cold start and warm-up of each engine, alone, while the others do not exist or are idle."""
    total = len(measurement.pairs)
    for index, (worker, run) in enumerate(measurement.pairs):
        measurement.on_progress(Progress("cold start", run.engine, index / total))
        measurement.attempt(worker, run, _cold_start)
        if run.status == "measured":
            measurement.on_progress(Progress("warm-up", run.engine, (index + 0.5) / total))
            measurement.attempt(worker, run, partial(_warm_up, clock=measurement.clock))


def _cold_start(worker: EngineWorker, run: Run) -> None:
    run.opened = worker.open()
    run.first = worker.first_step()


def _warm_up(worker: EngineWorker, run: Run, clock: Clock) -> None:
    assert run.opened is not None  # the cold start comes first
    shortest = shortest_block(run.opened.clock_reading_s)
    run.steps_per_block, run.warm_up = warm_up(worker, shortest, clock)


def _run_rounds(measurement: _Measurement, seconds: float, order: random.Random) -> None:
    """Rounds of one block for each engine, in random order, until the time is spent."""
    start, rounds = measurement.clock.nanoseconds(), 0
    while measurement.alive:
        spent = seconds_since(measurement.clock, start)
        if spent >= seconds and rounds >= FEWEST_ROUNDS:
            break
        measurement.on_progress(Progress("rounds", None, min(1.0, spent / seconds)))
        _run_round(measurement, order)
        rounds += 1
    measurement.on_progress(Progress("rounds", None, 1.0))


def _run_round(measurement: _Measurement, order: random.Random) -> None:
    """One block for each engine; kept only when the round is complete."""
    shuffled = measurement.alive
    order.shuffle(shuffled)
    done: list[tuple[Run, Block]] = []

    def take(worker: EngineWorker, run: Run) -> None:
        assert run.steps_per_block is not None  # set by the warm-up
        done.append((run, worker.block(run.steps_per_block)))

    for worker, run in shuffled:
        measurement.attempt(worker, run, take)
    for run, block in done:
        run.blocks.append(block)


def _describe(measurement: _Measurement) -> None:
    for worker, run in measurement.alive:
        measurement.attempt(worker, run, _ask)


def _ask(worker: EngineWorker, run: Run) -> None:
    run.description = dict(worker.describe())


def _others(measurement: _Measurement, busy_seconds: Callable[[], float | None]) -> float | None:
    """Processor time used so far by all that is not measured here."""
    busy = busy_seconds()
    if busy is None:
        return None
    return busy - sum(worker.processor_seconds() for worker, _ in measurement.pairs)
