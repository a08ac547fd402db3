"""One engine whose processes share each batch, as one worker: all are asked at once.

What the first process answers counts; a step takes as long in each, for they wait for one another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, TypeVar, final

from twofold.engines import registry
from twofold.engines.launch import free_port
from twofold.engines.world import LOCAL_RANK, World
from twofold.errors import BadInput, EngineFailed
from twofold.parity.judging.verdict import ParityReport
from twofold.timing.process import ProcessWorker
from twofold.timing.protocol import Certification, Opened
from twofold.timing.timed_engine import Block

T = TypeVar("T")
Start = Callable[[Sequence[int], Mapping[str, str]], ProcessWorker]


def shares_batches(engine: str) -> bool:
    """Whether several processes of an engine may share a training. Raises UnknownEngine."""
    return registry.find_engine(engine)[1].processes


def require_shared(engines: Sequence[str], world: int) -> None:
    """Raise BadInput for a world that none of the engines can make anything of."""
    if world > 1 and not any(map(shares_batches, engines)):
        raise BadInput(
            f"world: {world} given with {', '.join(engines)}; allowed above 1 with one of "
            f"{', '.join(registry.shared_engines())}; name one, or leave it out"
        )


def sentences(engines: Sequence[str], world: int, cores: int) -> tuple[str, ...]:
    """What a reader must know of engines that were timed in several processes of one machine."""
    shared = [name for name in engines if shares_batches(name)] if world > 1 else []
    where = f"a world of {world} processes on {cores} cores of one machine"
    if cores <= world:
        return tuple(f"{name}: {where} tests correctness, not speed." for name in shared)
    return tuple(f"{name}: {where}; this says nothing of several machines." for name in shared)


def share_of(cpus: Sequence[int], rank: int, size: int) -> tuple[int, ...]:
    """The processors of one process: no other's, where there are enough for all."""
    return tuple(cpus[rank::size]) or (cpus[rank % len(cpus)],)


@final
class WorldWorker:
    """The processes of a world; the end of one is the end of all.

    Every method but `close` raises what an `EngineWorker` raises.
    """

    def __init__(self, start: Start, cpus: Sequence[int], size: int) -> None:
        """`start` makes a process for its processors and variables, which has not begun yet."""
        address = f"127.0.0.1:{free_port()}"
        self._workers = [
            start(
                share_of(cpus, rank, size),
                {**World(rank, size, address).variables(), LOCAL_RANK: str(rank)},
            )
            for rank in range(size)
        ]

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self._workers[0].engine

    @engine.setter
    def engine(self, name: str) -> None:
        for worker in self._workers:
            worker.engine = name

    def open(self) -> Opened:
        """Start all processes, which meet, and open the experiment."""
        return self._all(lambda worker: worker.open())

    def first_step(self) -> Block:
        """The first training step."""
        return self._all(lambda worker: worker.first_step())

    def block(self, steps: int) -> Block:
        """Some steps timed together, by the first process's clock."""
        return self._all(lambda worker: worker.block(steps))

    def describe(self) -> Mapping[str, Any]:
        """What the first process says of itself."""
        return self._all(lambda worker: worker.describe())

    def certify(self, asked: Certification) -> ParityReport:
        """The report of the parity ladder, climbed by all together.

        Each process judges what its own session answers: the first report that does not pass.
        """
        reports = self._answers(lambda worker: worker.certify(asked))
        return next((report for report in reports if not report.passed), reports[0])

    def processor_seconds(self) -> float:
        """Processor time that all processes have used so far."""
        return sum(worker.processor_seconds() for worker in self._workers)

    def close(self) -> None:
        """End all processes, at once: they may wait for each other's end."""
        with ThreadPoolExecutor(len(self._workers)) as pool:
            list(pool.map(lambda worker: worker.close(), self._workers))

    def _all(self, ask: Callable[[ProcessWorker], T]) -> T:
        """What the first process answers when all were asked."""
        return self._answers(ask)[0]

    def _answers(self, ask: Callable[[ProcessWorker], T]) -> list[T]:
        """What all answer, in the order of their ranks; if one breaks, all are ended."""
        with ThreadPoolExecutor(len(self._workers)) as pool:
            asked = [pool.submit(ask, worker) for worker in self._workers]
            try:
                done, _ = wait(asked, return_when=FIRST_EXCEPTION)
                broken = [rank for rank, each in enumerate(asked) if each in done and _error(each)]
            except BaseException:  # interrupted: nobody is left to hear the answers
                self.close()
                raise
            if broken:
                self.close()  # the others would wait for it
        if not broken:
            return [each.result() for each in asked]
        rank, error = broken[0], _error(asked[broken[0]])
        if isinstance(error, EngineFailed):
            raise EngineFailed(f"process {rank} of {len(asked)}: {error}") from error
        assert error is not None  # it is among the broken
        raise error


def _error(asked: Any) -> BaseException | None:
    error: BaseException | None = asked.exception()
    return error
