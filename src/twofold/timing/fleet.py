"""Several processes of one engine as one worker: each block is the next process's turn.

Two processes of one program may differ in speed by more than their own blocks scatter: on an
Intel Xeon eager PyTorch's did by up to 3.5 %, for as long as they lived. Why was not looked into;
the layout of memory is known to do it (see `statistics.RESOLUTION`). No number of rounds averages
that away in one process; several processes show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, final

from twofold.timing.protocol import EngineWorker, Opened
from twofold.timing.timed_engine import Block


@final
class Fleet:
    """Processes of one engine in turn; the cold start is the first one's, taken while it is alone.

    Every method but `close` raises what an `EngineWorker` raises.
    """

    def __init__(self, workers: Sequence[EngineWorker], *, brought_up: bool = False) -> None:
        """`workers`: one or more of the same engine; `brought_up`: all took their first step."""
        self._workers = tuple(workers)
        self._brought_up = brought_up
        self._turn = 0

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self._workers[0].engine

    def open(self) -> Opened:
        """Start the first process."""
        return self._workers[0].open()

    def first_step(self) -> Block:
        """The first process's first step; then the others start, which is not timed."""
        first = self._workers[0].first_step()
        if not self._brought_up:
            for worker in self._workers[1:]:
                worker.open()
                worker.first_step()
            self._brought_up = True
        return first

    def block(self, steps: int) -> Block:
        """Some steps of the process whose turn it is."""
        process = self._turn % len(self._workers)
        self._turn += 1
        return replace(self._workers[process].block(steps), process=process)

    def describe(self) -> Mapping[str, Any]:
        """What the first process says of itself."""
        return self._workers[0].describe()

    def processor_seconds(self) -> float:
        """Processor time that all processes have used so far."""
        return sum(worker.processor_seconds() for worker in self._workers)

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.close()
