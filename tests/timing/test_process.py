"""Real processes that crash, hang, chatter and obey; no framework is needed for any of it."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from twofold.errors import DeviceUnavailable, EngineFailed, FrameworkMissing
from twofold.parity.judging.verdict import Explanation, Worst
from twofold.results.environment import usable_cpus
from twofold.spec.experiment import Experiment
from twofold.timing import worker
from twofold.timing.process import ProcessWorker, worker_environment
from twofold.timing.protocol import Certification, Limits, Opened

CPU = usable_cpus()[0]  # not always 0: a container may have been given others

SCRIPT = """
import json, math, os, signal, sys, time
from twofold.spec.experiment import Experiment
from twofold.parity.judging.verdict import Explanation, ParityReport, Rung, Worst
from twofold.errors import DeviceUnavailable, FrameworkMissing
from twofold.timing import worker

class Fake:
    def open(self, experiment, engine, batch_sizes=()):
        print("a library says hello")
        os.system("echo so does its child")
        sys.stdout.flush()
        {open}
        return dict(import_s=0.1, open_s=0.2, rows_per_step=8, dropped_partial_batch=False,
                    clock_reading_s=1e-7)
    def first_step(self): return dict(steps=1, seconds=0.5, compilations=1)
    def block(self, steps, slow_down=0.0):
        {block}
        return dict(steps=steps, seconds=steps * 1e-3, compilations=0, settled=True)
    def roofline(self, precision, threads):
        return dict(precision=precision, threads=threads, flops_per_s=1e9, bandwidth=[[1, 2e9]])
    def describe(self):
        threads = os.environ["OMP_NUM_THREADS"]
        return dict(affinity=sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
                    else None, threads=threads, stdin=sys.stdin.read())
    def certify(self, experiment, engine, precisions, steps, ladder):
        rung = Rung("update", engine, precisions[0], "diverges", math.inf,
                    Worst("loss", (0, 1), math.nan, 1.0, 0.5), f"{{steps}} {{ladder}}",
                    Explanation("a", "b", "c", "d", 2.0), ("said", "more"))
        return ParityReport(Experiment(), {{"backends": {{}}}}, (rung,)).to_json()

worker.confine(os.environ[worker.CPUS_VARIABLE])
worker.serve(Fake(), *worker.protected_streams())
"""

Start = Callable[..., ProcessWorker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[ProcessWorker] = []

    def build(
        open_: str = "pass", block: str = "pass", limit_s: float = 30.0, stopped_s: float = 10.0
    ) -> ProcessWorker:
        script = tmp_path / f"worker{len(started)}.py"
        script.write_text(textwrap.dedent(SCRIPT).format(open=open_, block=block))
        limits = Limits(limit_s, limit_s, limit_s, stopped_s)
        process = ProcessWorker(
            "torch:eager", "{}", [CPU], limits=limits, command=[sys.executable, str(script)]
        )
        started.append(process)
        return process

    yield build
    for process in started:
        process.close()


def test_answers_come_through_whatever_libraries_print(start: Start) -> None:
    process = start()
    assert process.open() == Opened(0.1, 0.2, 8, False, 1e-7)
    assert process.first_step().seconds == 0.5
    assert process.block(20).step_s == pytest.approx(1e-3)


def test_a_report_comes_through_whole_with_numbers_that_are_not_finite(start: Start) -> None:
    asked = Certification(("float64",), steps=7, ladder="one step")
    report = start().certify(asked)
    (rung,) = report.rungs
    assert report.experiment == Experiment()
    assert (rung.engine, rung.precision, rung.note) == ("torch:eager", "float64", "7 one step")
    assert rung.worst_ratio == math.inf
    assert rung.worst is not None
    assert math.isnan(rung.worst.computed)
    assert replace(rung.worst, computed=0.0) == Worst("loss", (0, 1), 0.0, 1.0, 0.5)
    assert rung.explanation == Explanation("a", "b", "c", "d", 2.0)
    assert rung.diagnosis == ("said", "more")
    assert not report.engine_passed("torch:eager")


def test_the_worker_is_confined_and_reads_nothing_but_commands(start: Start) -> None:
    process = start()
    process.open()
    about = process.describe()
    assert about["threads"] == "1"
    assert about["stdin"] == ""
    assert about["affinity"] in ([CPU], None)


def test_a_crash_is_told_with_the_exit_code_and_the_last_words(start: Start) -> None:
    process = start(block="print('the pool burst', file=sys.stderr, flush=True); os._exit(7)")
    process.open()
    with pytest.raises(EngineFailed, match="'block' with exit code 7; its last words: the pool"):
        process.block(1)


def test_a_kill_is_told_with_its_signal(start: Start) -> None:
    process = start(block="os.kill(os.getpid(), signal.SIGKILL)")
    process.open()
    with pytest.raises(EngineFailed, match="SIGKILL, as Linux does when memory runs out"):
        process.block(1)


def test_a_hang_is_ended(start: Start) -> None:
    process = start(block="time.sleep(600)", limit_s=3.0)
    process.open()
    with pytest.raises(EngineFailed, match="no answer to 'block' for 3 s"):
        process.block(1)
    assert process._process is not None
    assert process._process.poll() is not None


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system stops no processes")
def test_a_stopped_process_is_ended_soon_and_the_reason_told(start: Start) -> None:
    process = start(block="os.kill(os.getpid(), signal.SIGSTOP)", limit_s=600.0, stopped_s=0.5)
    process.open()
    with pytest.raises(
        EngineFailed, match=r"^stopped by a signal such as SIGSTOP for \d+ s; ended"
    ):
        process.block(1)
    assert process._process is not None
    assert process._process.poll() == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system stops no processes")
def test_a_process_that_goes_on_again_is_not_ended(start: Start) -> None:
    command = "(sleep 0.2; kill -CONT $PPID) & kill -STOP $PPID"
    process = start(block=f"os.system({command!r})", stopped_s=30.0)
    process.open()
    assert process.block(3).steps == 3


def test_an_error_is_an_answer_and_the_worker_lives_on(start: Start) -> None:
    process = start(block="\n        if steps > 5: raise ValueError('too many\\nand more')")
    process.open()
    with pytest.raises(EngineFailed, match=r"^ValueError: too many$"):
        process.block(6)
    assert process.block(5).steps == 5


def test_running_out_of_memory_is_named(start: Start) -> None:
    process = start(block="raise MemoryError")
    process.open()
    with pytest.raises(EngineFailed, match=r"^out of memory$"):
        process.block(1)


@pytest.mark.parametrize("kind", [FrameworkMissing, DeviceUnavailable])
def test_what_cannot_exist_here_is_told_apart_from_what_broke(
    start: Start, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="not here"):
        start(open_=f"raise {kind.__name__}('not here')").open()


def test_a_worker_that_ignores_the_end_is_killed(start: Start) -> None:
    process = start(block="os.close(0); os.fork() or time.sleep(600)")
    process.open()
    process.close()
    process.close()
    assert process._process is not None
    with pytest.raises(ProcessLookupError):
        os.kill(process._process.pid, 0)


PARENT = """
import sys
from twofold.results.environment import usable_cpus
from twofold.timing.process import ProcessWorker

cpus = usable_cpus()[:1]
worker = ProcessWorker("torch:eager", "{}", cpus, command=[sys.executable, sys.argv[1]])
worker.open()
print(worker._process.pid, flush=True)
worker.block(1)
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups here")
@pytest.mark.parametrize("busy", ["while True: pass", "os.system('sleep 600')"])
def test_a_worker_ends_when_its_parent_is_killed_whatever_it_is_doing(
    tmp_path: Path, busy: str
) -> None:
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(SCRIPT).format(open="pass", block=busy))
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(script)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 60.0
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    orphaned = is_running(pid)
    if orphaned:
        os.killpg(pid, signal.SIGKILL)
    assert not orphaned


def is_running(pid: int) -> bool:
    """Whether a process lives; one that has ended but was not waited for does not count."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_limits_of_the_machine_are_asked_for_like_anything_else(start: Start) -> None:
    limits = start().roofline("float64")
    assert (limits.precision, limits.threads, limits.flops_per_s) == ("float64", 1, 1e9)
    assert limits.bandwidth == ((1, 2e9),)


def test_a_slow_down_and_another_experiment_reach_the_worker(start: Start) -> None:
    process = start(
        open_="sizes = batch_sizes; name = experiment",
        block="steps = 100 if slow_down == 0.25 else steps",
    )
    process.open()
    process.take_up('{"name": "other"}')
    process.open()
    assert process.block(1, slow_down=0.25).steps == 100
    assert process.block(1).steps == 1


def test_a_kept_compile_cache_outlives_the_process(tmp_path: Path) -> None:
    variables = worker_environment([0], str(tmp_path), keep=True)
    assert variables["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path)
    assert Path(variables["JAX_COMPILATION_CACHE_DIR"]).parent == tmp_path
    process = ProcessWorker("torch:eager", "{}", [CPU], cache=str(tmp_path))
    process.close()
    assert tmp_path.is_dir()


def test_every_worker_gets_the_same_threads_and_an_empty_compile_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/somewhere/warm")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    variables = worker_environment([2, 5], "/empty")
    assert variables["OMP_NUM_THREADS"] == variables["OPENBLAS_NUM_THREADS"] == "2"
    assert variables[worker.CPUS_VARIABLE] == "2,5"
    assert variables["TORCHINDUCTOR_CACHE_DIR"] == "/empty"
    assert "JAX_COMPILATION_CACHE_DIR" not in variables


def test_a_worker_may_keep_bytecode_as_an_installed_package_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert "PYTHONDONTWRITEBYTECODE" not in worker_environment([0], "/empty")
