"""Temporary files and folders: gone when they should be, left alone when they are not ours."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from twofold import temporary
from twofold.files import write_atomically
from twofold.temporary import clear_leftovers, temporary_file, temporary_folder

PROJECT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary things that nothing was cleared in yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield tmp_path
    temporary._clear_once.cache_clear()


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_folder_lasts_as_long_as_its_block(place: Path) -> None:
    with temporary_folder() as folder:
        (folder / "inside").mkdir()
        (folder / "inside" / "file").write_text("text")
        assert folder.parent == place
    assert names(place) == []
    with pytest.raises(KeyboardInterrupt), temporary_folder():
        raise KeyboardInterrupt
    assert names(place) == []


MAKES = """
import os, sys
from pathlib import Path
from twofold.temporary import temporary_file, temporary_folder
with temporary_folder() as folder:
    (folder / "inside").mkdir()
    (folder / "inside" / "file").write_text("text")
    temporary_file(Path(sys.argv[1]))
    print("made", flush=True)
    sys.stdin.read()
"""


def start_maker(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", MAKES, str(folder)], stdin=-1, stdout=-1, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "made\n"
    return process


def test_what_a_killed_process_left_goes_at_the_next_start_and_no_sooner(place: Path) -> None:
    results = place / "results"
    results.mkdir()
    with start_maker(results) as living, start_maker(results) as killed:
        assert len(names(place)) == 3
        assert len(names(results)) == 2
        clear_leftovers(place)
        clear_leftovers(results)
        assert len(names(place)) == 3
        assert len(names(results)) == 2
        killed.kill()
        wait_for_zombie(killed.pid)  # nobody has waited for it: its number is still there
        with temporary_folder() as own:
            assert sum(f"-{living.pid}-" in name for name in names(place)) == 1
            assert sum(f"-{killed.pid}-" in name for name in names(place)) == 0
            assert own.is_dir()
        write_atomically(results / "result.json", b"{}")
        assert [f"-{living.pid}-" in name for name in names(results)] == [True, False]
        living.communicate()  # ends it
    assert names(place) == ["results"]
    assert len(names(results)) == 2  # the file was handed over, and its maker forgot it
    clear_leftovers(results)
    assert names(results) == ["result.json"]


def wait_for_zombie(pid: int) -> None:
    deadline = time.monotonic() + 30
    while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def dead_name(**changes: object) -> str:
    """The name of a folder whose process has this one's number and started earlier."""
    start = temporary._start_of(os.getpid())
    assert start is not None
    parts = {"machine": temporary._machine(), "pid": os.getpid(), "start": start - 1} | changes
    return "twofold-{machine}-{pid}-{start}-abcdefgh".format(**parts)


def test_a_number_that_was_given_out_again_is_another_process(place: Path) -> None:
    (place / dead_name()).mkdir()
    clear_leftovers(place)
    assert names(place) == []


def test_only_what_is_ours_and_dead_goes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    precious = place / "precious"
    precious.mkdir()
    (precious / "file").write_text("text")
    living = dead_name(start=temporary._start_of(os.getpid()))
    kept = [
        living,
        dead_name(machine="00000000"),
        dead_name() + "-notes",
        "my-" + dead_name(),
        "twofold-results",
        "twofold-1a2b3c4d-x-y-abcdefgh",
        dead_name(pid="\u0661"),  # a digit, but not ours
    ]
    for name in kept:
        (place / name).mkdir()
    (place / dead_name()).symlink_to(precious)
    clear_leftovers(place)
    assert names(place) == sorted([*kept, "precious", dead_name()])
    assert (precious / "file").read_text() == "text"
    (place / dead_name()).unlink()
    (place / dead_name()).mkdir()
    monkeypatch.setattr(temporary, "_user", lambda: os.geteuid() + 1)
    clear_leftovers(place)
    assert dead_name() in names(place)


def test_where_the_system_tells_no_start_nothing_is_cleared(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / dead_name()).mkdir()
    left = dead_name()
    monkeypatch.setattr(temporary, "_start_of", lambda _: None)
    clear_leftovers(place)
    assert names(place) == [left]
    with temporary_folder() as folder:
        assert temporary._NAME.fullmatch(folder.name) is None


def test_a_folder_that_is_not_there_has_no_leftovers(tmp_path: Path) -> None:
    clear_leftovers(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    clear_leftovers(tmp_path / "file")


def test_both_ways_to_tell_a_start_know_the_living_and_the_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as process:
        for start_of in (temporary._start_of, temporary._start_by_psutil):
            assert start_of(process.pid) is not None
            assert start_of(process.pid) == start_of(process.pid)
            assert start_of(process.pid) != start_of(os.getpid())
        process.kill()
        wait_for_zombie(process.pid)
        for start_of in (temporary._start_of, temporary._start_by_psutil):
            assert start_of(process.pid) is None
    for start_of in (temporary._start_of, temporary._start_by_psutil):
        assert start_of(process.pid) is None


def test_a_temporary_file_is_its_owners_alone(tmp_path: Path) -> None:
    descriptor, path = temporary_file(tmp_path)
    os.close(descriptor)
    assert path.stat().st_mode & 0o777 == 0o600
    clear_leftovers(tmp_path)
    assert names(tmp_path) == [path.name]


WORKS = """
import sys, time
from pathlib import Path
from twofold.commands import run_command
from twofold.temporary import temporary_folder
def main():
    try:
        with temporary_folder() as folder:
            (folder / "file").write_text("text")
            print("working", flush=True)
            time.sleep(600)
    finally:
        print("cleaning", flush=True)
        sys.stdin.readline()
run_command(main)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_interrupts_a_command(number: signal.Signals, place: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WORKS], stdin=-1, stdout=-1, stderr=-1, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        assert len(names(place)) == 1
        process.send_signal(number)
        assert process.stdout.readline() == "cleaning\n"
        if number != signal.SIGINT:
            process.send_signal(number)  # who is impatient does not break off the cleaning up
        _, errors = process.communicate("\n", timeout=60)
    assert process.returncode == 130
    assert errors == "interrupted\n"
    assert names(place) == []


def test_a_signal_that_is_ignored_stays_so() -> None:
    """As under `nohup`."""
    code = (
        "import os, signal; from twofold.commands import run_command\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "run_command(lambda: os.kill(os.getpid(), signal.SIGHUP) or 7)"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=False)
    assert ran.returncode == 7


def test_an_error_of_ours_is_a_sentence_in_every_script() -> None:
    code = (
        "from twofold import errors; from twofold.commands import run_command\n"
        "def main(): raise errors.ResultError('it is full')\n"
        "run_command(main)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (2, "error: it is full\n")


SOURCES = [
    path
    for room in ("src", "backends", "comparisons")
    for path in sorted((PROJECT / room).rglob("*.py"))
]
OTHER_WAYS = {
    "TemporaryDirectory",
    "NamedTemporaryFile",
    "SpooledTemporaryFile",
    "mkdtemp",
    "mkstemp",
    "mktemp",
    "write_text",
    "write_bytes",
}
IN_OTHER_WORDS = {
    "src/twofold/temporary.py": {"TemporaryDirectory", "mkstemp"},
    # Several files take their places together, each written in full before.
    "src/twofold/report/output.py": {"replace"},
    # A page that shows how both frameworks' own users store a model.
    "comparisons/atlas/side_by_side/state_and_checkpoints.py": {"TemporaryDirectory"},
    # Broken files, in the temporary folder of a process that is watched.
    "comparisons/evidence/attacks/checkpoints.py": {"write_bytes"},
    "comparisons/evidence/attacks/results.py": {"write_bytes", "write_text"},
    "comparisons/evidence/attacks/specs.py": {"write_bytes"},
    "comparisons/evidence/attacks/tables.py": {"write_bytes"},
}


def test_there_is_one_way_to_write_and_to_make_temporary_things() -> None:
    """Methods and functions by name; the function `write_text` of `twofold.files` is ours."""
    assert len(SOURCES) > 200
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.attr if isinstance(node, ast.Attribute) else ""
            name = name or (node.id if isinstance(node, ast.Name) else "")
            ours = isinstance(node, ast.Name) and name == "write_text"
            replaced = isinstance(node, ast.Attribute) and ast.unparse(node) == "os.replace"
            if (name in OTHER_WAYS and not ours) or replaced:
                found.setdefault(path.relative_to(PROJECT).as_posix(), set()).add(name)
    assert found.pop("src/twofold/files.py") == {"replace"}
    assert found == IN_OTHER_WORDS


def test_every_script_answers_signals() -> None:
    """What runs under `__main__` begins a command, or is a worker that its parent ends."""
    others = {}
    for path in SOURCES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
                text = ast.unparse(node.body)
                if text not in ("run_command(main)", "show(TOPIC)"):
                    others[path.relative_to(PROJECT).as_posix()] = text
    assert others == {
        "src/twofold/__main__.py": "main()",  # that of the command line
        "src/twofold/cli/main.py": "main()",
        "src/twofold/timing/worker.py": "sys.exit(main())",
        "comparisons/loops/worker.py": "sys.exit(main())",
        "comparisons/evidence/attacks/child.py": "sys.exit(main())",
        "comparisons/evidence/random_problems.py": (
            "print(describe(draw(int(sys.argv[1]), 'float32')))"
        ),
        "comparisons/sweep.py": "main()",  # that of the command line
    }
