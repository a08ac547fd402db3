"""The harness: cold starts one after the other, then rounds of blocks in random order.

It knows workers and a clock only, and no process, so that tests can drive it with fakes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from twofold.errors import BadInput, EngineFailed
from twofold.timing.clock import Clock, seconds_since
from twofold.timing.disturbance import Watch
from twofold.timing.protocol import EngineWorker, OnProgress, Opened, Progress
from twofold.timing.steady import WARM_UP_LIMIT_S, WarmUp, longer, shortest_block, warm_up
from twofold.timing.stopping import LOOKS, all_decided
from twofold.timing.timed_engine import Block

Status = Literal["measured", "failed", "unavailable", "diverges", "out of range", "vacuous"]
"""`diverges` and those after it: parity was judged and not shown (`ParityReport.outcome`)."""
Restart = Callable[[str], EngineWorker]
Admit = Callable[[Mapping[str, float]], Collection[str]]

FEWEST_ROUNDS: Final = 10
LONGEST_STRETCH: Final = LOOKS[-1]
"""Rounds go on for up to this many times the seconds asked for, until they are enough, quiet and
say of every engine whether it differs from the first."""
INTERRUPTED: Final = "interrupted before it was measured"


@dataclass
class Run:
    """What became of one engine; `blocks` holds the steady state, one block for each round.

    `description` is what the engine said of itself after them. `warm_opened`, `warm_first` and
    `warm_description` are of a second process that found the first one's compile cache, the last
    after a block that is not timed: a long run may need more programs than its first step.
    """

    engine: str
    status: Status = "measured"
    reason: str = ""
    opened: Opened | None = None
    first: Block | None = None
    steps_per_block: int | None = None
    warm_up: WarmUp | None = None
    blocks: list[Block] = field(default_factory=list)
    description: dict[str, Any] = field(default_factory=dict)
    warm_opened: Opened | None = None
    warm_first: Block | None = None
    warm_description: dict[str, Any] = field(default_factory=dict)

    def seconds_to_steady(self) -> float:
        """Seconds of the cold start and the warm-up, as far as they went."""
        opened = self.opened.import_s + self.opened.open_s if self.opened else 0.0
        first = self.first.seconds if self.first else 0.0
        return opened + first + (self.warm_up.seconds if self.warm_up else 0.0)


@dataclass(frozen=True)
class Rounds:
    """The runs of all that were admitted, in the order of the workers, and how it went.

    `quiet`: for each round whether others left the machine alone. `other_cores`: processors kept
    busy by others during the rounds, on average; None if unknown.
    """

    runs: tuple[Run, ...]
    seconds: float
    other_cores: float | None
    interrupted: bool
    quiet: tuple[bool, ...] = ()


Action = Callable[[EngineWorker, Run], None]


@dataclass
class Measurement:
    """Workers with their runs, while they are measured; the steps of `measure_rounds` one by one.

    `busy_seconds` is the processor time that the whole machine has used so far, None if unknown.
    """

    pairs: list[tuple[EngineWorker, Run]]
    clock: Clock
    on_progress: OnProgress = lambda _: None
    busy_seconds: Callable[[], float | None] = lambda: None
    cores: int = 1
    warm_up_limit_s: float = WARM_UP_LIMIT_S
    seconds: float = 0.0
    quiet: tuple[bool, ...] = ()
    other_cores: float | None = None

    @property
    def alive(self) -> list[tuple[EngineWorker, Run]]:
        """Those that have not broken."""
        return [pair for pair in self.pairs if pair[1].status == "measured"]

    def bring_up(self, admit: Admit | None = None) -> None:
        """Cold start and warm-up of each engine, alone, while the others are absent or idle.

        Then `admit` is told which engines are there, with the seconds that each took so
        far, and says which of them go on; the others end and are left out of `pairs`.
        """
        total = len(self.pairs)
        for index, (worker, run) in enumerate(self.pairs):
            self.on_progress(Progress("cold start", run.engine, index / total))
            self._attempt(worker, run, _cold_start)
            if run.status == "measured":
                self.on_progress(Progress("warm-up", run.engine, (index + 0.5) / total))
                self._attempt(worker, run, self._warm_up)
        if admit is not None and self.alive:
            self._let_in(admit({run.engine: run.seconds_to_steady() for _, run in self.alive}))

    def run_rounds(self, seconds: float, seed: int) -> None:
        """Rounds of one block for each engine, in random order, until the time is spent.

        Fewer than FEWEST_ROUNDS, time in which others disturbed, or an engine that is not told from
        the first, is made up for, up to LONGEST_STRETCH times the seconds.
        """
        order, start, rounds = random.Random(seed), self.clock.nanoseconds(), 0
        watch = Watch(self._used_by_others, self.clock, self.cores)
        looks = iter(LOOKS)
        look = next(looks) * seconds
        try:
            while self.alive:
                spent = seconds_since(self.clock, start)
                if rounds and spent >= LONGEST_STRETCH * seconds:
                    break
                if rounds >= FEWEST_ROUNDS and watch.quiet_s >= look:
                    if self._all_decided(seed):
                        break
                    look = next(looks, LONGEST_STRETCH) * seconds
                self.on_progress(Progress("rounds", None, min(1.0, spent / seconds)))
                self._run_round(order)
                watch.round_done()
                rounds += 1
            self.on_progress(Progress("rounds", None, 1.0))
        finally:
            self.seconds = seconds_since(self.clock, start)
            self.other_cores = watch.other_cores()
            self.quiet = watch.finish()

    def describe(self) -> None:
        """Ask each engine for its memory, its compilations and its framework."""
        for worker, run in self.alive:
            self._attempt(worker, run, _ask)

    def start_again(self, restart: Restart) -> None:
        """Cold starts once more, in new processes that find what was compiled before."""
        for index, (worker, run) in enumerate(self.alive):
            self.on_progress(Progress("warm cache", run.engine, index / len(self.pairs)))
            worker.close()
            again = restart(run.engine)
            assert run.steps_per_block is not None  # set by the warm-up
            try:
                opened, first = again.open(), again.first_step()
                again.block(run.steps_per_block)
                description = dict(again.describe())
            except (EngineFailed, BadInput):
                continue  # it ran before: what it says now is not its speed, and is left out
            finally:
                again.close()
            run.warm_opened, run.warm_first = opened, first
            run.warm_description = description

    def close(self) -> None:
        """End all workers."""
        for worker, _ in self.pairs:
            worker.close()

    def _let_in(self, admitted: Collection[str]) -> None:
        for worker, run in self.alive:
            if run.engine not in admitted:
                worker.close()
        self.pairs = [
            (worker, run)
            for worker, run in self.pairs
            if run.engine in admitted or run.status != "measured"
        ]

    def _attempt(self, worker: EngineWorker, run: Run, action: Action) -> None:
        """Do something with a worker; if it breaks, that is this run's end, not the others'."""
        try:
            action(worker, run)
        except EngineFailed as error:
            run.status, run.reason = "failed", str(error)
        except BadInput as error:
            run.status, run.reason = "unavailable", str(error)
        if run.status != "measured":
            worker.close()

    def _warm_up(self, worker: EngineWorker, run: Run) -> None:
        assert run.opened is not None  # the cold start comes first
        shortest = shortest_block(run.opened.clock_reading_s)
        run.steps_per_block, run.warm_up = warm_up(
            worker, shortest, self.clock, self.warm_up_limit_s
        )

    def _run_round(self, order: random.Random) -> None:
        """One block for each engine; kept only when the round is complete."""
        shuffled = self.alive
        order.shuffle(shuffled)
        done: list[tuple[Run, Block]] = []

        def take(worker: EngineWorker, run: Run) -> None:
            assert run.steps_per_block is not None  # set by the warm-up
            done.append((run, worker.block(run.steps_per_block)))

        for worker, run in shuffled:
            self._attempt(worker, run, take)
        for run, block in done:
            run.blocks.append(block)
            self._lengthen(run, block)

    def _all_decided(self, seed: int) -> bool:
        return all_decided([run.blocks for _, run in self.alive], seed)

    def _lengthen(self, run: Run, block: Block) -> None:
        """Let an engine's later blocks be longer if one was far too short.

        Blocks are sized in the warm-up; where something slowed the engine down at that time, they
        come out too short, and a block of one step is no steady state.
        """
        assert run.steps_per_block is not None  # set by the warm-up
        assert run.opened is not None
        shortest = shortest_block(run.opened.clock_reading_s)
        if block.seconds < shortest / 2:
            run.steps_per_block = longer(run.steps_per_block, block.seconds, shortest)

    def _used_by_others(self) -> float | None:
        """Processor time used so far by all that is not measured here."""
        busy = self.busy_seconds()
        if busy is None:
            return None
        return busy - sum(worker.processor_seconds() for worker, _ in self.pairs)


def measure_rounds(
    workers: Sequence[EngineWorker],
    *,
    seconds: float,
    seed: int,
    clock: Clock,
    busy_seconds: Callable[[], float | None] = lambda: None,
    cores: int = 1,
    admit: Admit | None = None,
    restart: Restart | None = None,
    on_progress: OnProgress = lambda _: None,
) -> Rounds:
    """Measure every worker; all of them are closed in the end.

    `seconds` is what the rounds may take, cold starts and warm-up come on top. `admit` says before
    the rounds which engines go on; None lets all go on. `restart` starts an engine's process
    again with the compile cache of the first; None leaves that out. Ctrl-C ends the measurement and
    keeps all rounds that were complete.
    """
    pairs = [(worker, Run(worker.engine)) for worker in workers]
    measurement = Measurement(pairs, clock, on_progress, busy_seconds, cores)
    interrupted = False
    try:
        measurement.bring_up(admit)
        measurement.run_rounds(seconds, seed)
        measurement.describe()
        if restart is not None:
            measurement.start_again(restart)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        measurement.close()
    for _, run in measurement.alive:
        if not run.blocks:
            run.status, run.reason = "failed", INTERRUPTED
    runs = tuple(run for _, run in measurement.pairs)
    return Rounds(
        runs, measurement.seconds, measurement.other_cores, interrupted, measurement.quiet
    )


def _cold_start(worker: EngineWorker, run: Run) -> None:
    run.opened = worker.open()
    run.first = worker.first_step()


def _ask(worker: EngineWorker, run: Run) -> None:
    run.description = dict(worker.describe())
