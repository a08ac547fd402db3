"""The parent's side of a worker: start a process, ask, wait with a limit, end it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, final

import psutil

from twofold.backends.installed import backends
from twofold.engines.build_time import BuildTime
from twofold.errors import BadInput, DeviceUnavailable, EngineFailed, FrameworkMissing
from twofold.parity.judging.verdict import ParityReport, report_from_json
from twofold.temporary import clear_leftovers, temporary_folder
from twofold.timing.protocol import Certification, Limits, Opened
from twofold.timing.roofline import Roofline
from twofold.timing.timed_engine import Block
from twofold.timing.worker import CPUS_VARIABLE

COMMAND: Final = (sys.executable, "-m", "twofold.timing.worker")
CLOSING_S: Final = 2.0
NOTHING_MORE: Final[Mapping[str, str]] = MappingProxyType({})
HEARTBEAT_S: Final = 1.0
"""How often a process that has not answered is looked at."""
UNAVAILABLE: Final[Mapping[str, type[BadInput]]] = {
    kind.__name__: kind for kind in (FrameworkMissing, DeviceUnavailable)
}

THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def worker_environment(cpus: Sequence[int], cache: str, *, keep: bool = False) -> dict[str, str]:
    """The environment variables of a worker: its threads, its processors, its own compile cache.

    How idle threads wait is left as the libraries have it (see `subject.settle`). With `keep` the
    frameworks that have no cache on disk by default fill it, too.

    Python may keep the bytecode of modules. Without it every start would compile those of Twofold,
    which an installed package has compiled: one twentieth of a start of `flax:scan`.
    """
    caches = [owner.cache_variables for owner in backends() if owner.cache_variables]
    unwanted = {name for each in caches for name in each.inherited} | {"PYTHONDONTWRITEBYTECODE"}
    variables = {name: value for name, value in os.environ.items() if name not in unwanted}
    variables.update(dict.fromkeys(THREAD_VARIABLES, str(len(cpus))))
    variables[CPUS_VARIABLE] = ",".join(str(cpu) for cpu in cpus)
    for each in caches:
        variables |= each.given(cache, keep=keep)
    variables["TF_CPP_MIN_LOG_LEVEL"] = variables.get("TF_CPP_MIN_LOG_LEVEL", "2")
    return variables


@final
class ProcessWorker:
    """An engine in a process of its own; nothing runs there between two commands."""

    def __init__(
        self,
        engine: str,
        experiment: str,
        cpus: Sequence[int],
        *,
        limits: Limits | None = None,
        command: Sequence[str] = COMMAND,
        batch_sizes: Sequence[int] = (),
        cache: str | None = None,
        table: Path | None = None,
        variables: Mapping[str, str] = NOTHING_MORE,
    ) -> None:
        """`experiment` is JSON text. The process starts with the first command.

        `batch_sizes`: steps take batches of these sizes in turn. `cache`: a folder in which
        compiled programs outlive the process; None for one that is empty and goes with it.
        `table`: a file of `stored_table` with the data; None to have the source read. `variables`
        are those of the environment that the process has besides.
        """
        self.engine = engine
        self._experiment = experiment
        self._batch_sizes = list(batch_sizes)
        self._cache = cache
        self._table = table
        self._variables = dict(variables)
        self._cpus = tuple(cpus)
        self._limits = limits or Limits()
        self._command = tuple(command)
        self._process: subprocess.Popen[str] | None = None
        self._collector: threading.Thread | None = None
        self._processor_seconds = 0.0
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._resources = contextlib.ExitStack()

    def open(self) -> Opened:
        """Start the process, import the framework and open the experiment.

        Raises FrameworkMissing, DeviceUnavailable, or EngineFailed for all else.
        """
        sizes = {"batch_sizes": self._batch_sizes} if self._batch_sizes else {}
        answer = self._ask("open", self._limits.cold_s, **self._subject(), **sizes)
        return Opened(**with_built(answer))

    def take_up(self, experiment: str) -> None:
        """Let the next `open` open another experiment (JSON text) in the same process."""
        self._experiment = experiment

    def first_step(self) -> Block:
        """The first training step, tracing and compiling included."""
        answer = self._ask("first_step", self._limits.cold_s)
        return Block(**with_built(answer))

    def block(self, steps: int, *, slow_down: float = 0.0) -> Block:
        """Some steps timed together; `slow_down` makes them take longer by that share."""
        slower = {"slow_down": slow_down} if slow_down else {}
        return Block(**self._ask("block", self._limits.block_s, steps=steps, **slower))

    def describe(self) -> Mapping[str, Any]:
        """`peak_memory_bytes`, `compilations` and `built` so far and `framework`."""
        return with_built(self._ask("describe", self._limits.block_s))

    def certify(self, asked: Certification) -> ParityReport:
        """The report of the parity ladder, climbed in the process."""
        how = {"precisions": asked.precisions, "steps": asked.steps, "ladder": asked.ladder}
        return report_from_json(
            self._ask("certify", self._limits.parity_s, **self._subject(), **how)
        )

    def roofline(self, precision: str) -> Roofline:
        """What this machine can do at best, with the threads that engines get."""
        threads = len(self._cpus)
        answer = self._ask("roofline", self._limits.block_s, precision=precision, threads=threads)
        return Roofline.from_json(answer)

    def processor_seconds(self) -> float:
        """Processor time of the process so far; after its end, what was last known."""
        if self._process is not None:
            with contextlib.suppress(psutil.Error):
                times = psutil.Process(self._process.pid).cpu_times()
                self._processor_seconds = times.user + times.system
        return self._processor_seconds

    def close(self) -> None:
        """End the process: it is asked first, then it and its children are killed."""
        if self._process is not None:
            # It may be gone already, or slow to go: then it is killed.
            with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
                self._send({"command": "close"})
                self._process.wait(CLOSING_S)
            self._kill()
        self._resources.close()

    def _subject(self) -> dict[str, str]:
        stored = {} if self._table is None else {"table": str(self._table)}
        return {"experiment": self._experiment, "engine": self.engine, **stored}

    def _ask(self, name: str, limit_s: float, **arguments: Any) -> dict[str, Any]:
        try:
            self._send({"command": name, **arguments})
            line = self._line(name, limit_s)
        except OSError:
            line = ""
        if not line:
            raise EngineFailed(self._last_words(name))
        answer: dict[str, Any] = json.loads(line)
        if "error" not in answer:
            return dict(answer["answer"])
        kind, message = answer["error"]["kind"], answer["error"]["message"]
        raise UNAVAILABLE.get(kind, EngineFailed)(message)

    def _line(self, name: str, limit_s: float) -> str:
        """The next line of the process. Raises EngineFailed when it hangs, or is stopped."""
        now = time.monotonic()
        end, running = now + limit_s, now
        while True:
            with contextlib.suppress(queue.Empty):
                beat = min(HEARTBEAT_S, self._limits.stopped_s / 2, max(0.0, end - now))
                return self._answers.get(timeout=beat)
            now = time.monotonic()
            if not self._stopped():
                running = now
            if now - running >= self._limits.stopped_s:
                reason = f"stopped by a signal such as SIGSTOP for {now - running:.0f} s"
            elif now >= end:
                reason = f"no answer to {name!r} for {limit_s:g} s"
            else:
                continue
            self._kill()
            raise EngineFailed(f"{reason}; ended")

    def _stopped(self) -> bool:
        """Whether the process stands still until it gets another signal."""
        assert self._process is not None
        with contextlib.suppress(psutil.Error):
            return bool(psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED)
        return False

    def _send(self, command: Mapping[str, Any]) -> None:
        if self._process is None:
            self._process = self._start()
        assert self._process.stdin is not None  # opened as a pipe below
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def _start(self) -> subprocess.Popen[str]:
        cache = self._cache or str(self._resources.enter_context(temporary_folder()))
        self._errors = self._resources.enter_context(
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        )
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=worker_environment(self._cpus, cache, keep=self._cache is not None)
            | self._variables,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the workers
        )
        self._collector = threading.Thread(
            target=_collect, args=(process, self._answers), daemon=True
        )
        self._collector.start()
        return process

    def _kill(self) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # what the worker never read
                self._process.stdin.close()
        if self._collector is not None:
            self._collector.join(CLOSING_S)
        clear_leftovers(tempfile.gettempdir())  # what it was using when it was killed

    def _last_words(self, name: str) -> str:
        """How the process ended, with the last line of its standard error."""
        assert self._process is not None
        code = self._process.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        said = f"; its last words: {lines[-1]}" if lines else ""
        return f"the process ended in {name!r} {_manner(code)}{said}"


def with_built(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with `built` as a value; a worker that cannot tell leaves it out."""
    built = answer.get("built")
    return answer if built is None else {**answer, "built": BuildTime(**built)}


def _collect(process: subprocess.Popen[str], answers: queue.SimpleQueue[str]) -> None:
    """Queue every line of a process; an empty text marks the end."""
    assert process.stdout is not None  # opened as a pipe
    with process.stdout as lines:
        for line in lines:
            answers.put(line)
    answers.put("")


def _manner(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    name = signal.Signals(-code).name
    hint = ", as Linux does when memory runs out" if name == "SIGKILL" else ""
    return f"by signal {name}{hint}"
