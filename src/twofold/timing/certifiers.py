"""Processes that certify one engine after another: imports are paid for once a backend."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Protocol, final

from twofold.backends.installed import backend_of
from twofold.errors import EngineFailed
from twofold.parity.judging.verdict import ParityReport
from twofold.timing.protocol import Certification


class CertifyingProcess(Protocol):
    """A process that can certify any engine of one backend."""

    engine: str

    def certify(self, asked: Certification) -> ParityReport:
        """As `gate.Certifier`, of the engine that is set."""

    def close(self) -> None:
        """End the process."""


@final
class Processes:
    """Idle processes, by backend or a kind of it; one that broke is not among them again."""

    def __init__(
        self,
        start: Callable[[str], CertifyingProcess],
        kind_of: Callable[[str], Hashable] = backend_of,
    ) -> None:
        """`start` makes a process for an engine; it may serve all engines of its `kind_of`."""
        self._start = start
        self._kind_of = kind_of
        self._lock = threading.Lock()
        self._idle: dict[Hashable, list[CertifyingProcess]] = {}

    def take(self, engine: str) -> CertifyingProcess:
        """An idle process of the engine's backend, or a new one."""
        with self._lock:
            idle = self._idle.get(self._kind_of(engine))
            found = idle.pop() if idle else None
        if found is None:
            return self._start(engine)
        found.engine = engine
        return found

    def give_back(self, process: CertifyingProcess) -> None:
        """Keep a process for the next engine of its backend."""
        with self._lock:
            self._idle.setdefault(self._kind_of(process.engine), []).append(process)

    def close(self) -> None:
        """End all that are idle."""
        with self._lock:
            idle = [process for own in self._idle.values() for process in own]
            self._idle.clear()
        for process in idle:
            process.close()


@final
class PooledCertifier:
    """Certifies one engine in a process that others may have used before.

    `asked` names every precision that it is certified in.
    """

    def __init__(self, engine: str, processes: Processes, asked: Certification) -> None:
        self.engine = engine
        self._processes, self._asked = processes, asked
        self._at_work: CertifyingProcess | None = None
        self._closed = False

    def certify(self) -> ParityReport:
        """What parity says of the engine; raises as an `EngineWorker` does."""
        process = self._at_work = self._processes.take(self.engine)
        if self._closed:
            raise EngineFailed("ended before it began")
        answer = process.certify(self._asked)
        self._processes.give_back(process)
        self._at_work = None
        return answer

    def close(self) -> None:
        """End the process if it is at work, or broke; what is idle waits for the next engine."""
        self._closed = True
        process, self._at_work = self._at_work, None
        if process is not None:
            process.close()
