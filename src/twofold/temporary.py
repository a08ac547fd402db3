"""Temporary files and folders, named after the process that made them.

A process that is killed leaves what it made. So each name tells the machine, the process and when
that process started (numbers of processes are given out again). What a dead process of the same
user left is removed when the next one makes something in the same folder, and when a command
starts (`twofold.commands`).
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_NAME: Final = re.compile(r"\.?twofold-([0-9a-f]{8})-(\d+)-(\d+)-[a-z0-9_]{8}(\.tmp)?", re.ASCII)
_ENDED: Final = "ZX"  # states in /proc/PID/stat: ended and not waited for, dead


@contextmanager
def temporary_folder(within: Path | None = None) -> Iterator[Path]:
    """A new folder, which is removed with all that is in it when the block ends.

    It lies where the system keeps temporary files, or hidden within a given folder.
    """
    _clear_once(tempfile.gettempdir() if within is None else str(within))
    prefix = _prefix() if within is None else f".{_prefix()}"
    with tempfile.TemporaryDirectory(
        prefix=prefix, dir=within, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def temporary_file(folder: Path) -> tuple[int, Path]:
    """A new empty file in a folder: its open descriptor and its path. Raises OSError.

    Only its owner may read it. Whoever asks for it renames or removes it.
    """
    _clear_once(str(folder))
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{_prefix()}", suffix=".tmp")
    return descriptor, Path(name)


def clear_leftovers(folder: str | os.PathLike[str]) -> None:
    """Remove what dead processes of this user on this machine left in a folder; never raises."""
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        found = [(entry, match) for entry in entries if (match := _NAME.fullmatch(entry.name))]
    for entry, match in found:
        with suppress(OSError):
            if match[1] == _machine():
                _clear(entry, int(match[2]), int(match[3]))


@functools.cache
def _clear_once(folder: str) -> None:
    clear_leftovers(folder)


def _clear(entry: os.DirEntry[str], pid: int, start: int) -> None:
    """Remove one leftover if it is this user's and its process is dead."""
    owner = entry.stat(follow_symlinks=False).st_uid
    if owner != _user() or _start_of(pid) == start:
        return
    if _start_of(os.getpid()) is None:  # this system does not tell which processes live
        return
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path, ignore_errors=True)
    elif entry.is_file(follow_symlinks=False):
        os.unlink(entry.path)


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0  # st_uid is 0 on Windows


def _prefix() -> str:
    """`twofold-MACHINE-PID-START-`; without the start where the system does not tell it.

    What has no start in its name is never cleared.
    """
    start = _start_of(os.getpid())
    return f"twofold-{_machine()}-{os.getpid()}-" + ("" if start is None else f"{start}-")


@functools.cache
def _machine() -> str:
    """Eight hexadecimal digits for where numbers of processes mean the same processes.

    That is one host, and on Linux one namespace of process numbers: a container has its own.
    """
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    with suppress(OSError):
        parts.append(Path("/etc/machine-id").read_text(encoding="utf-8"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _start_of(pid: int) -> int | None:
    """When a process started, in a unit of the system's own; None where none of that number lives.

    On Linux in clock ticks since the machine started, which no change of the clock moves: field 22
    of /proc/PID/stat (`man 5 proc_pid_stat`).
    """
    if platform.system() == "Linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0].decode() in _ENDED else int(fields[19])
    return _start_by_psutil(pid)


def _start_by_psutil(pid: int) -> int | None:
    """When a process started, in milliseconds since 1970."""
    import psutil

    try:
        process = psutil.Process(pid)
        ended = process.status() == psutil.STATUS_ZOMBIE
        return None if ended else round(process.create_time() * 1000)
    except psutil.NoSuchProcess:
        return None
    except psutil.Error as error:
        raise PermissionError(str(error)) from error
