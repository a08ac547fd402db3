"""Starting processes and waiting for them, with small scripts in the place of the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from twofold.engines import launch as launching
from twofold.engines.launch import launch
from twofold.errors import BadInput, EngineFailed

HEAD = "import os, signal, sys, time; rank, folder = os.environ['RANK'], sys.argv[1]\n"
LONG_S = 60


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "GRACE_S", 0.5)


def started(script: str, folder: Path, processes: int) -> int:
    return launch([str(folder)], processes, [sys.executable, "-c", HEAD + script])


def test_every_process_is_told_its_place(tmp_path: Path) -> None:
    script = (
        "open(f'{folder}/{rank}', 'w').write(' '.join(os.environ[name] for name in "
        "('WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')))"
    )
    assert started(script, tmp_path, 3) == 0
    found = {each.name: each.read_text() for each in tmp_path.iterdir()}
    assert set(found) == {"0", "1", "2"}
    assert len(set(found.values())) == 1
    size, host, port = found["0"].split()
    assert (size, host) == ("3", "127.0.0.1")
    assert 1024 <= int(port) <= 65535


def test_the_first_process_alone_speaks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = "print('out', rank); print('err', rank, file=sys.stderr)"
    assert started(script, tmp_path, 3) == 0
    assert capfd.readouterr() == ("out 0\n", "err 0\n")


def test_a_killed_process_is_named_and_no_other_is_left(tmp_path: Path) -> None:
    script = (
        "open(f'{folder}/{rank}', 'w').write(str(os.getpid()))\n"
        f"time.sleep({LONG_S} if rank != '1' else 0.5)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    start = time.monotonic()
    with pytest.raises(EngineFailed, match=r"^process 1 of 3 was ended by SIGKILL; the others"):
        started(script, tmp_path, 3)
    assert time.monotonic() - start < LONG_S / 2
    pids = [int(each.read_text()) for each in tmp_path.iterdir()]
    assert len(pids) == 3
    assert not any(map(psutil.pid_exists, pids))


def test_a_process_that_breaks_is_named_with_its_last_words(tmp_path: Path) -> None:
    script = (
        "sys.exit(0 if rank == '0' else print('before\\nerror: it broke', file=sys.stderr) or 3)"
    )
    with pytest.raises(EngineFailed, match=r"process 1 of 2 ended with exit code 3 \(it broke\)"):
        started(script, tmp_path, 2)


def test_the_one_that_was_killed_is_named_not_those_that_broke_for_want_of_it(
    tmp_path: Path,
) -> None:
    script = (
        "time.sleep(0.3 * (rank == '2')); os.kill(os.getpid(), 9) if rank == '2' else sys.exit(3)"
    )
    with pytest.raises(EngineFailed, match="process 2 of 3 was ended by SIGKILL"):
        started(script, tmp_path, 3)


def test_the_mistake_that_all_find_is_told_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = "time.sleep(0.2 * (rank == '0')); print('error: wrong', file=sys.stderr); sys.exit(2)"
    assert started(script, tmp_path, 2) == 2
    assert capfd.readouterr().err == "error: wrong\n"


def test_the_mistake_that_another_process_found_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = "print('error: gone', file=sys.stderr) if rank == '1' else 0; sys.exit(2 * int(rank))"
    assert started(script, tmp_path, 2) == 2
    assert capfd.readouterr().err == "error: gone\n"


@pytest.mark.parametrize("processes", [0, -1, 65])
def test_a_number_of_processes_that_cannot_be_meant(processes: int) -> None:
    with pytest.raises(BadInput, match=f"--processes: {processes} given; allowed is 1 to 64"):
        launch([], processes)


@pytest.mark.skipif(not hasattr(os, "setsid"), reason="signals of POSIX")
def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    child = (
        HEAD + "from twofold.engines.launch import watch_starter; watch_starter()\n"
        "open(f'{folder}/{rank}', 'w').write(str(os.getpid()))\n"
        f"time.sleep({LONG_S})"
    )
    script = (
        "import sys; from twofold.engines.launch import launch\n"
        f"launch([{str(tmp_path)!r}], 2, [sys.executable, '-c', {child!r}])"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as starter:
        end = time.monotonic() + LONG_S / 2
        while len(pids := _written(tmp_path)) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        starter.send_signal(signal.SIGKILL)
    assert len(pids) == 2
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(psutil.pid_exists, pids))


def _written(folder: Path) -> list[int]:
    texts = [each.read_text() for each in folder.iterdir()]
    return [int(text) for text in texts if text]
