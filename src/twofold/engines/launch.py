"""Starting one command in several processes of this machine, and waiting for their end.

Each process gets its place in the variables that `torchrun` sets (`twofold.engines.world`). Where
one ends badly the others are ended too: they would wait for it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Final

from twofold.engines.world import GIVE_UP_S, LOCAL_RANK, World
from twofold.errors import BadInput, EngineFailed

COMMAND: Final = (sys.executable, "-m", "twofold")
WATCHED: Final = "TWOFOLD_WATCHES_STDIN"
"""Set for a process whose standard input closes when the process that started it ends."""
LOOK_S: Final = 0.05
GRACE_S: Final = 5.0
"""How long the others may go on after one has ended badly: they may be saying why, too."""
LINGER_S: Final = float(GIVE_UP_S)
"""How long the others may go on after one has ended well."""
MOST: Final = 64
OWN_CODES: Final = (1, 2, 130)
"""Exit codes of what diverges, of a person's mistake, and of an interruption."""


@dataclass(frozen=True)
class Ended:
    """How a process of a world ended: its exit code, negative for a signal, and its last words."""

    rank: int
    code: int
    words: str = ""

    @property
    def manner(self) -> str:
        """How it ended, in words."""
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        return f"was ended by {signal.Signals(-self.code).name}"


def launch(arguments: Sequence[str], processes: int, command: Sequence[str] = COMMAND) -> int:
    """Run a command of Twofold in several processes; returns the exit code that all agree on.

    The first process speaks to the person. Raises EngineFailed, with the number of the process that
    ended first, where one was ended by a signal or broke; what is the person's own mistake every
    process finds, and the first says it.
    """
    require_number(processes)
    address = f"127.0.0.1:{free_port()}"
    worlds = [World(rank, processes, address) for rank in range(processes)]
    with _started([*command, *arguments], worlds) as started:
        ended = _first_to_end_badly(started)
    if ended is None:
        return 0
    if ended.code in OWN_CODES:
        if ended.rank > 0:  # the first process said nothing of it
            print(f"error: {ended.words}", file=sys.stderr)
        return ended.code
    said = f" ({ended.words})" if ended.rank > 0 and ended.words else ""
    raise EngineFailed(
        f"process {ended.rank} of {processes} {ended.manner}{said}; the others were stopped; a "
        "training goes on with --resume"
    )


def require_number(processes: int) -> None:
    """Raise BadInput for a number of processes that nobody can have meant."""
    if not 1 <= processes <= MOST:
        raise BadInput(f"--processes: {processes} given; allowed is 1 to {MOST}")


def watch_starter() -> None:
    """End this process when the one that started it has ended, in whatever way."""
    if os.environ.get(WATCHED):
        threading.Thread(target=_until_closed, daemon=True).start()


def _until_closed() -> None:
    with suppress(OSError, ValueError):
        while os.read(0, 1):
            pass
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def _started(command: Sequence[str], worlds: Sequence[World]) -> Iterator[list[_Process]]:
    """The processes; all have ended afterwards."""
    threads = str(max(1, _cores() // len(worlds)))
    started: list[_Process] = []
    try:
        for world in worlds:
            variables = {
                "OMP_NUM_THREADS": threads,
                **os.environ,
                **world.variables(),
                LOCAL_RANK: str(world.rank),
                WATCHED: "1",
            }
            started.append(_Process(command, world.rank, variables))
        yield started
    finally:
        for process in started:
            process.stop(signal.SIGTERM)
        _wait(started, GRACE_S)
        for process in started:
            process.close()


class _Process:
    """One process; all but the first keep their words to themselves."""

    def __init__(self, command: Sequence[str], rank: int, variables: dict[str, str]) -> None:
        self.rank = rank
        self._words: IO[bytes] | None = None if rank == 0 else tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=None if rank == 0 else subprocess.DEVNULL,
            stderr=self._words,
            env=variables,
            start_new_session=rank > 0,  # Ctrl-C reaches the first, which says so
        )

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return self._process.poll()

    def ended(self) -> Ended:
        """How it ended."""
        code = self._process.wait()
        if self._words is None:
            return Ended(self.rank, code)
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").strip().splitlines()
        return Ended(self.rank, code, lines[-1].removeprefix("error: ") if lines else "")

    def stop(self, number: signal.Signals) -> None:
        """Send a signal, if the process still runs."""
        if self.returncode is None:
            self._process.send_signal(number)

    def close(self) -> None:
        """Kill what still runs."""
        self.stop(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None  # opened as a pipe
        self._process.stdin.close()
        if self._words is not None:
            self._words.close()


def _first_to_end_badly(started: Sequence[_Process]) -> Ended | None:
    """Wait for the end of all; returns the process for whose end the others ended, if there is one.

    Those that are left GRACE_S after the first bad end are left running.
    """
    ended: list[_Process] = []
    deadline = float("inf")
    while len(ended) < len(started) and time.monotonic() < deadline:
        for process in started:
            if process not in ended and process.returncode is not None:
                ended.append(process)
                limit = GRACE_S if process.returncode else LINGER_S
                deadline = min(deadline, time.monotonic() + limit)
        time.sleep(LOOK_S)
    bad = [process for process in ended if process.returncode]
    if not bad and len(ended) < len(started):
        late = next(process for process in started if process not in ended)
        late.stop(signal.SIGKILL)
        return late.ended()
    return min(bad, key=_gravity).ended() if bad else None


def _gravity(process: _Process) -> tuple[int, int]:
    """What comes first as the reason: a signal, then what the person did, then a breakdown.

    Of equals the first to end, for a process whose fellow is gone breaks down; but a person's
    mistake is told by the first process that found it.
    """
    code = process.returncode or 0
    return (1, process.rank) if code in OWN_CODES else (0 if code < 0 else 2, 0)


def _wait(started: Sequence[_Process], limit_s: float) -> None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end and any(process.returncode is None for process in started):
        time.sleep(LOOK_S)


def free_port() -> int:
    """A port of this machine that nobody listens on at this moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
