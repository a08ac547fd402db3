"""A worker: one engine alone in one process, told what to do by JSON lines.

    python -m twofold.timing.worker < commands > answers

Commands: {"command": "open", "experiment": {...}, "engine": "torch:eager"}, "first_step",
{"command": "block", "steps": 8}, "describe", "certify", "roofline", "close". Every answer is one
line, {"answer": {...}} or {"error": {"kind": ..., "message": ...}}. The end of the input ends the
worker at once, whatever it is doing: nobody is left to read an answer.

Nothing heavy is imported before the processors are chosen: libraries count them when they load.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TextIO, final

if TYPE_CHECKING:
    from twofold.engines.session import Session
    from twofold.parity.judging.subject import LadderName
    from twofold.problem.table import Table
    from twofold.spec.experiment import Precision
    from twofold.timing.timed_engine import Steps, TrainingLength

CPUS_VARIABLE: Final = "TWOFOLD_WORKER_CPUS"
Answer = dict[str, Any]


def main() -> int:
    """Answer commands until `close` or the end of the input; returns the exit code."""
    confine(os.environ.get(CPUS_VARIABLE, ""))
    commands, answers = protected_streams()
    serve(Worker(), commands, answers)
    return 0


def confine(cpus: str) -> None:
    """Keep this process and all its later threads on processors such as "0,1"; "" for any."""
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(cpu) for cpu in cpus.split(",")})


def protected_streams() -> tuple[TextIO, TextIO]:
    """Commands and answers on files of their own.

    What libraries print to standard output goes to standard error instead, and none of them can
    read a command from standard input.
    """
    commands = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return commands, answers


@final
class Worker:
    """One engine's session, opened, stepped and timed on command."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._steps: Steps | None = None
        self._length: TrainingLength | None = None
        self._turn = 1  # steps that belong together: one for each batch size

    def open(
        self, experiment: str, engine: str, batch_sizes: Sequence[int] = (), table: str = ""
    ) -> Answer:
        """Import the framework, then open the experiment (JSON text) in the engine, each timed.

        With `batch_sizes`, steps take batches of these sizes in turn. `table` is a
        file with the data, if it has been read already. A session opened before goes.
        """
        from dataclasses import asdict

        from twofold.engines import registry
        from twofold.problem.data import prepare
        from twofold.problem.problem import initial_state
        from twofold.spec.experiment import Experiment
        from twofold.timing import clock, timed_engine

        self._session = self._steps = self._length = None
        timed_engine.thaw_garbage()
        system = clock.SystemClock()
        given = prepare(Experiment.model_validate_json(experiment), stored_table(table))
        problem, dropped_partial_batch = timed_engine.whole_batches(given)
        owner, _ = registry.find_engine(engine)
        registry.require_framework(owner)
        import_s = timed_engine.timed_import(owner.opener, system)
        start = system.nanoseconds()
        session = self._session = registry.open_session(problem, engine)
        session.synchronize()
        open_s = clock.seconds_since(system, start)
        self._length = timed_engine.TrainingLength(
            problem.total_steps, lambda: session.load_state(initial_state(problem))
        )
        rows: float = timed_engine.rows_per_step(problem)
        self._steps, self._turn = self._session, max(1, len(batch_sizes))
        if batch_sizes:
            batches = timed_engine.batches_of(problem, batch_sizes)
            self._steps = timed_engine.VaryingBatches(self._session, batches)
            rows = sum(batch_sizes) / len(batch_sizes)
        return {
            "import_s": import_s,
            "open_s": open_s,
            "rows_per_step": rows,
            "dropped_partial_batch": dropped_partial_batch and not batch_sizes,
            "clock_reading_s": clock.reading_cost(system),
            "built": asdict(self._session.build_time()),
        }

    def first_step(self) -> Answer:
        """Time the first training step, or the first of each size: compiling included."""
        from dataclasses import asdict

        from twofold.timing import clock, timed_engine

        session = self._opened()
        assert self._steps is not None  # set with the session
        assert self._length is not None
        self._length.make_room(self._turn)
        block = timed_engine.first_block(
            self._steps, self._turn, clock.SystemClock(), session.build_time
        )
        timed_engine.freeze_garbage()
        return asdict(block)

    def block(self, steps: int, slow_down: float = 0.0) -> Answer:
        """Time some steps together, after a lead-in that is not timed, then wait until the
        framework's threads are at rest.

        Before a block that would go beyond the experiment's end, training begins anew. Steps are
        rounded up to whole turns through the batch sizes. `slow_down` makes them take longer by
        that share, to try out the harness.
        """
        from twofold.timing import clock, timed_engine

        self._opened()
        assert self._steps is not None  # set with the session
        assert self._length is not None
        system, given = clock.SystemClock(), self._steps
        if slow_down:
            given = timed_engine.SlowedDown(given, slow_down, system)
        whole = -(-steps // self._turn) * self._turn
        lead_in = timed_engine.lead_in_of(whole, self._turn)
        self._length.make_room(lead_in + whole)
        block = timed_engine.timed_block(given, whole, system, lead_in)
        return {
            "steps": block.steps,
            "seconds": block.seconds,
            "compilations": block.compilations,
            "settled": timed_engine.settle(system),
        }

    def roofline(self, precision: str, threads: int) -> Answer:
        """What this machine can do at best: matrix products and memory traffic."""
        from dataclasses import asdict

        from twofold.timing import clock, roofline

        return asdict(roofline.measure_roofline(precision, threads, clock.SystemClock()))

    def describe(self) -> Answer:
        """Peak memory, compilations and building so far, and what the backend says of itself."""
        from dataclasses import asdict

        from twofold.engines import registry
        from twofold.results.json_files import to_plain
        from twofold.timing.memory import peak_memory_bytes

        session = self._opened()
        owner, _ = registry.find_engine(session.engine)
        return {
            "peak_memory_bytes": peak_memory_bytes(),
            "compilations": session.compilations(),
            "built": asdict(session.build_time()),
            "framework": to_plain(registry.probe(owner)),
        }

    def certify(
        self,
        experiment: str,
        engine: str,
        precisions: Sequence[Precision],
        steps: int,
        ladder: LadderName,
        table: str = "",
    ) -> Answer:
        """Climb a parity ladder; answers the report, as `ParityReport.to_json` has it.

        `table` as in `open`.
        """
        from twofold.parity.certify import certify
        from twofold.parity.ladder.rungs import LADDERS
        from twofold.results.json_files import to_plain
        from twofold.spec.experiment import Experiment

        report = certify(
            Experiment.model_validate_json(experiment),
            engines=[engine],
            precisions=precisions,
            steps=steps,
            ladder=LADDERS[ladder],
            table=stored_table(table),
        )
        return {**report.to_json(), "environment": to_plain(report.environment)}

    def _opened(self) -> Session:
        if self._session is None:
            raise RuntimeError("no session: send the command open first")
        return self._session


def stored_table(path: str) -> Table | None:
    """The table in a file; None where there is no file, so that the source is read."""
    from pathlib import Path

    from twofold.problem.stored_table import read_table

    return read_table(Path(path)) if path else None


def serve(worker: Worker, commands: TextIO, answers: TextIO) -> None:
    """Answer each command in turn; an error in one is an answer too."""
    for line in lines_until_close(commands):
        command = json.loads(line)
        name = command.pop("command")
        answers.write(json.dumps(_answer_to(worker, name, command)) + "\n")
        answers.flush()


def lines_until_close(commands: TextIO) -> Iterator[str]:
    """The commands before `close`; a thread waits for the end of the input all the time."""
    inbox: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in iter(commands.readline, ""):
            inbox.put(line)
        end_at_once()

    threading.Thread(target=read, daemon=True).start()
    while json.loads(line := inbox.get())["command"] != "close":
        yield line


def end_at_once() -> None:
    """End this process and, where it leads a group of its own, the compilers that it started."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _answer_to(worker: Worker, name: str, arguments: Mapping[str, Any]) -> Answer:
    from twofold.errors import DeviceUnavailable, FrameworkMissing

    table: dict[str, Callable[..., Answer]] = {
        "open": worker.open,
        "first_step": worker.first_step,
        "block": worker.block,
        "describe": worker.describe,
        "certify": worker.certify,
        "roofline": worker.roofline,
    }
    try:
        return {"answer": table[name](**arguments)}
    except (DeviceUnavailable, FrameworkMissing) as error:
        return {"error": {"kind": type(error).__name__, "message": str(error)}}
    except MemoryError as error:
        return {"error": {"kind": "MemoryError", "message": f"out of memory: {error}".rstrip(": ")}}
    except Exception as error:  # whatever a framework raises is what the person must read
        import traceback

        traceback.print_exc()
        return {"error": {"kind": type(error).__name__, "message": _one_line(error)}}


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
