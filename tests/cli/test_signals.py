"""Real commands that are told to end: no child, no temporary folder and no traceback stay."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

PROJECT = Path(__file__).parents[2]
PATIENCE_S = 120.0
TIMES = (
    *("-m", "twofold.cli.main", "time", "lesson", "--engines", "torch:eager", "--threads", "1"),
    *("--unchecked", "--seconds", "100"),
)
SEARCHES = ("-m", "comparisons.false_alarms", "--seeds", "1266:100000", "--whole", "100000")


def start(arguments: tuple[str, ...], folder: Path) -> subprocess.Popen[str]:
    """A module's command whose temporary things are in a folder of their own."""
    _, module, *rest = arguments
    code = f"import runpy, sys; sys.argv[1:] = {rest}; runpy._run_module_as_main({module!r}, 0)"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(seen: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not seen():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ours(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if "twofold-" in entry.name]


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still live after a while: who lost its parent needs a moment to see it."""
    return psutil.wait_procs(processes, timeout=30)[1]


def start_timing(folder: Path) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A command that is timing, with the processes that it has started."""
    process = start(TIMES, folder)
    found: list[psutil.Process] = []

    def works() -> bool:
        found[:] = psutil.Process(process.pid).children(recursive=True)
        return bool(found and ours(folder))

    wait_until(works, process)
    return process, found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_timing_that_is_told_to_end_leaves_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    process, children = start_timing(tmp_path)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert living(children) == []
    assert ours(tmp_path) == []


def test_what_a_killed_timing_left_is_cleared_by_the_next_command(tmp_path: Path) -> None:
    process, children = start_timing(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    assert living(children) == []
    assert ours(tmp_path) != []
    following = start(("-m", "twofold.cli.main", "experiments"), tmp_path)
    following.communicate(timeout=60)
    assert following.returncode == 0
    assert ours(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_search_that_is_ended_has_stored_every_finished_problem(
    number: signal.Signals, tmp_path: Path
) -> None:
    """Seen by the file alone: two problems and more, long before a multiple of ten."""
    out = tmp_path / "out"
    process = start((*SEARCHES, "--engines", "torch:eager", "--out", str(out)), tmp_path)
    path = out / "torch-eager-float32-wide-1266.json"

    def stored() -> int:
        return int(json.loads(path.read_text())["experiments"]) if path.exists() else 0

    wait_until(lambda: stored() >= 2, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert stored() >= 2
    assert "Traceback" not in errors
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 130
        assert "interrupted; every finished problem is stored" in errors
        assert sorted(entry.name for entry in out.iterdir()) == [path.name]


PAIR = """
import os, sys, time
from pathlib import Path
from twofold.temporary import temporary_folder

def pair():
    with temporary_folder():
        Path(__file__).with_name("pid").write_text(f"{os.getpid()}\\n")
        time.sleep(600)
"""
JUDGES = """
import sys
from pathlib import Path
from twofold.commands import run_command
from twofold.port.child import map_file
run_command(lambda: map_file(Path(sys.argv[1])))
"""


def test_the_judge_of_a_file_ends_with_its_command(tmp_path: Path) -> None:
    file, pid = tmp_path / "mine.py", tmp_path / "pid"
    file.write_text(PAIR)
    with subprocess.Popen(
        [sys.executable, "-c", JUDGES, str(file)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"), process)
        child = psutil.Process(int(pid.read_text()))
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert living([child]) == []
    assert ours(tmp_path) == []


STUDIES = """
import os, sys, time
from comparisons.claims import studies

def endless(name, quick):
    print(os.getpid(), flush=True)
    time.sleep(600)

if __name__ == "__main__":
    from twofold.commands import run_command
    studies.run_here = endless
    run_command(lambda: studies.run_apart("any", True))
"""


def test_a_study_in_its_own_process_ends_with_its_command(tmp_path: Path) -> None:
    script = tmp_path / "studies.py"
    script.write_text(STUDIES)
    with subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        study = psutil.Process(int(process.stdout.readline()))
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "interrupted\n"
    assert living([study]) == []


SLOW_TO_IMPORT = """
import signal, sys, time
sys.stdout.write("importing\\n")
sys.stdout.flush()
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("words", "library", "code"),
    [
        (("-m", "twofold", "show", "lesson"), "typer", 130),
        (("-m", "comparisons.false_alarms"), "numpy", -signal.SIGINT),
    ],
    ids=["twofold", "comparisons"],
)
def test_ctrl_c_while_python_imports_has_no_traceback_and_never_code_1(
    tmp_path: Path, words: tuple[str, ...], library: str, code: int
) -> None:
    (tmp_path / library).mkdir()
    (tmp_path / library / "__init__.py").write_text(SLOW_TO_IMPORT)
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in errors


WAITS = """
import os, signal, sys
from twofold.commands import interruptions_wait, run_command

def main():
    with interruptions_wait() as look:
        look()
        os.kill(os.getpid(), signal.{name})
        print("goes on")
        if sys.argv[1] == "again":
            os.kill(os.getpid(), signal.{name})
            print("never said")
        look()
        print("never said")

run_command(main)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("times", ["once", "again"])
def test_an_interruption_waits_for_the_boundary_and_a_second_one_does_not(
    name: str, times: str
) -> None:
    script = [sys.executable, "-c", WAITS.format(name=name), times]
    done = subprocess.run(script, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "goes on\n")
    assert "again to stop at once" in done.stderr
    assert done.stderr.endswith("interrupted\n")


ENDS = """
import atexit, sys
from twofold.commands import run_command

def main():
    atexit.register(print, "Python takes itself apart")
    try:
        {how}
    finally:
        print("cleaned up")

run_command(main)
"""


@pytest.mark.parametrize(
    ("how", "code"),
    [("raise KeyboardInterrupt", 130), ("sys.exit(130)", 130), ("return 130", 130)],
)
def test_an_interrupted_command_ends_at_once_when_all_is_cleaned_up(how: str, code: int) -> None:
    """What JAX still computed ended 12 of 45 interrupted trainings by SIGSEGV before that."""
    done = _ended(how)
    assert (done.returncode, done.stdout) == (code, "cleaned up\n")


@pytest.mark.parametrize(("how", "code"), [("return 0", 0), ("sys.exit(2)", 2), ("sys.exit()", 0)])
def test_every_other_end_is_pythons_own(how: str, code: int) -> None:
    done = _ended(how)
    assert (done.returncode, done.stdout) == (code, "cleaned up\nPython takes itself apart\n")


def _ended(how: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, "-c", ENDS.format(how=how)]
    return subprocess.run(script, capture_output=True, text=True)
