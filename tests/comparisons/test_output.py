"""The guide's files: all or none, whatever the folder, and two writers do not mix theirs."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from twofold.errors import BadInput
from twofold.report import output
from twofold.report.__main__ import main
from twofold.report.output import write_together

OLD = {"figures/a.svg": b"old a", "GUIDE.md": b"old guide"}
NEW = {"figures/a.svg": b"new a", "figures/b.svg": b"new b", "GUIDE.md": b"new guide"}


def held(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_files_are_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_together(tmp_path / "new" / "deep", OLD)
    write_together(tmp_path / "new" / "deep", NEW)
    assert held(tmp_path / "new" / "deep") == NEW
    assert {path.name for path in (tmp_path / "new" / "deep").iterdir()} == {"figures", "GUIDE.md"}


@pytest.mark.parametrize("number", range(3))
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write_together(tmp_path, OLD)
    whole, calls = output.write_atomically, iter(range(10))

    def full(path: Path, data: bytes) -> None:
        if next(calls) == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path, data)

    monkeypatch.setattr(output, "write_atomically", full)
    with pytest.raises(BadInput, match=r"No space left on device; nothing was changed"):
        write_together(tmp_path, NEW)
    assert held(tmp_path) == OLD


@pytest.mark.parametrize("number", range(3))
def test_a_move_that_fails_puts_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write_together(tmp_path, OLD)
    replace, calls = os.replace, []

    def refused(source: Path, target: Path) -> None:
        if "/new/" in str(source) and ".tmp" not in str(source):
            calls.append(target)
            if len(calls) == number + 1:
                raise PermissionError(errno.EACCES, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(output.os, "replace", refused)
    with pytest.raises(BadInput, match="Permission denied"):
        write_together(tmp_path, NEW)
    monkeypatch.undo()
    assert held(tmp_path) == OLD


def test_odd_places_are_refused_with_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    (tmp_path / "taken" / "GUIDE.md").mkdir(parents=True)
    places = {
        file: "exists|a directory",
        file / "below": "Not a directory",
        tmp_path / ("long" * 100): "too long",
        tmp_path / "null\0": "null",
        tmp_path / "taken": "GUIDE.md is a folder",
        Path("/proc/1/guide"): "",
    }
    for place, reason in places.items():
        with pytest.raises(BadInput, match=rf"(?i)cannot be written there: .*({reason})"):
            write_together(place, NEW)
    assert file.read_text() == "mine"
    assert not (tmp_path / "taken" / "figures").exists()


def test_the_command_says_it_in_one_line(
    results_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    sys_argv = ["report", str(results_folder), "--out", str(file)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", sys_argv)
        assert main() == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="limits on a file's size are POSIX")
def test_a_limit_on_file_size_is_a_sentence(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from twofold.errors import BadInput; from twofold.report.output import write_together\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    write_together(Path(sys.argv[1]), {'a': b'x' * 10, 'b': b'x' * 5000})\n"
        "except BadInput as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "File too large; nothing was changed" in done.stdout
    assert held(tmp_path) == {}


def test_two_writers_at_once_leave_the_files_of_one(tmp_path: Path) -> None:
    sets = [{f"f{n}": f"{writer}".encode() * 2000 for n in range(8)} for writer in "ABCD"]
    errors: list[BaseException] = []

    def write(files: dict[str, bytes]) -> None:
        try:
            for _ in range(8):
                write_together(tmp_path, files)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(files,)) for files in sets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert held(tmp_path) in sets


def test_what_a_killed_writer_left_is_cleared(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from twofold.temporary import temporary_folder\n"
        "with temporary_folder(Path(sys.argv[1])) as stage:\n"
        "    (stage / 'GUIDE.md').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert b"half" in held(tmp_path).values()
    write_together(tmp_path, NEW)
    assert held(tmp_path) == NEW
    assert sorted(path.name for path in tmp_path.iterdir()) == ["GUIDE.md", "figures"]
