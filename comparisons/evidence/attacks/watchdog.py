"""Run cases in a child process, end the one that hangs, and go on behind it."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, final

import psutil

from twofold.temporary import clear_leftovers

LONGEST_S: Final = 5.0
"""Processor time that a case may take."""
WAITING_S: Final = 60.0
"""Time by the clock that a case may take: one that waits for something uses no processor."""
STARTING_S: Final = 300.0
MOST_BYTES: Final = 2**30
BEAT_S: Final = 0.5


@dataclass(frozen=True)
class Case:
    """What came of one case; `seconds` of processor time, `bytes` that the peak grew by."""

    number: int
    outcome: str
    words: str = ""
    seconds: float = 0.0
    bytes: int = 0


def run_cases(
    attack: str, seed: int, first: int, end: int, *, longest_s: float = LONGEST_S
) -> Generator[Case, None, None]:
    """The cases from first to end - 1, in order, each as soon as it is over."""
    while first < end:
        with _Child([attack, str(seed), str(first), str(end)], longest_s) as child:
            for case in child.cases(first, end):
                yield case
                first = case.number + 1


@final
class _Child:
    """A process that runs cases, until one of them brings it down."""

    def __init__(self, arguments: list[str], longest_s: float) -> None:
        self._longest_s = longest_s
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        command = [sys.executable, "-m", "comparisons.evidence.attacks.child", *arguments]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._errors, encoding="utf-8"
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._collect, daemon=True).start()

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._errors.close()
        clear_leftovers(tempfile.gettempdir())

    def cases(self, first: int, end: int) -> Iterator[Case]:
        """Cases until the last one, or one that hangs or ends the process."""
        line = self._line(STARTING_S, STARTING_S)
        if not line.startswith("{"):
            raise RuntimeError(f"the process of the cases did not start: {line} {self._said()}")
        for number in range(first, end):
            line = self._line(self._longest_s, WAITING_S)
            if not line.startswith("{"):
                yield Case(number, line, self._said())
                return
            yield _case(json.loads(line))

    def _line(self, processor_s: float, clock_s: float) -> str:
        """The next line; else what happened: "hang" or "crash"."""
        began = self._processor_s()
        for _ in range(int(clock_s / BEAT_S)):
            with suppress(queue.Empty):
                line = self._lines.get(timeout=BEAT_S)
                return line or f"crash: exit code {self._process.wait()}"
            if self._processor_s() - began > processor_s:
                break
        return "hang"

    def _processor_s(self) -> float:
        with suppress(psutil.Error):
            times = psutil.Process(self._process.pid).cpu_times()
            return float(times.user + times.system)
        return 0.0

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()[-300:]

    def _collect(self) -> None:
        assert self._process.stdout is not None  # opened as a pipe
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put("")


def _case(answer: dict[str, Any]) -> Case:
    outcome = answer["outcome"]
    if answer["bytes"] > MOST_BYTES:
        outcome = "too much memory"
    return Case(answer["case"], outcome, answer["words"], answer["seconds"], answer["bytes"])


def failed(outcome: str) -> bool:
    """Whether an outcome is none that a case may have."""
    return outcome.startswith(("foreign", "hang", "crash", "too much memory", "silent"))
