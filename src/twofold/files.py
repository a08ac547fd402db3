"""Files that are written whole or not at all, in the place of nothing but files."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from twofold.errors import ResultError
from twofold.temporary import temporary_file

ALLOWED: Final = "allowed is a file in a folder that exists"
_LINKS: Final = 40  # as many as Linux follows
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


def write_atomically(target: Path, data: bytes) -> None:
    """Write beside the target, flush to the disk, then take the target's place.

    Folders are made. A symbolic link stays and its target is written. A file keeps its mode and,
    where this user may give it away, its owner. What cannot be replaced is written to directly: a
    character device, a pipe, an open file by its number (/dev/stdout). Raises OSError, for a
    folder, a disk and a socket too; whatever stood at the target is then still there.
    """
    descriptor = _descriptor_of(target)
    if descriptor is not None:
        _write_to(os.dup(descriptor), data)
        return
    before = _status_of(target)
    if before is None or stat.S_ISREG(before.st_mode):
        _replace(Path(os.path.realpath(target)), data, before)
    else:
        _write_to(os.open(target, os.O_WRONLY | getattr(os, "O_NOCTTY", 0)), data)


def write_text(target: Path, text: str) -> None:
    """Write a text in UTF-8 as `write_atomically` does. Raises ResultError, which says why not."""
    try:
        write_atomically(target, text.encode("utf-8"))
    except OSError as error:
        raise ResultError(f"{target}: cannot be written: {error.strerror or error}") from error


def require_writable(option: str, path: Path | None) -> None:
    """Refuse a target that cannot be written before any work is done. Raises ResultError."""
    try:
        if path is not None:
            _require_writable(path)
    except OSError as error:
        raise ResultError(f"{option}: {path} given: {error.strerror}; {ALLOWED}") from error


def _require_writable(path: Path) -> None:
    descriptor = _descriptor_of(path)
    if descriptor is not None:
        os.fstat(descriptor)
        return
    status = _status_of(path)
    if status is None or stat.S_ISREG(status.st_mode):
        folder = Path(os.path.realpath(path)).parent
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, "no such folder")
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, "nothing may be written in its folder")


def _status_of(target: Path) -> os.stat_result | None:
    """What stands at the target, links followed: a file, a character device or a pipe, or None.

    Raises OSError for all else, and for what may not be written to.
    """
    try:
        status = target.stat()
    except FileNotFoundError:
        return None
    kind = status.st_mode
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, "this is a folder")
    if stat.S_ISBLK(kind):
        raise OSError(errno.EINVAL, "this is a disk (a block device), which would be overwritten")
    if stat.S_ISSOCK(kind):
        raise OSError(errno.EINVAL, "this is a socket")
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "this file may not be written to")
    return status


def _descriptor_of(path: Path) -> int | None:
    """The number of the open file that a path such as /dev/stdout or /dev/fd/3 stands for.

    A file that is open must not be replaced: what else is written to it would be lost.
    """
    for _ in range(_LINKS):
        folder = os.path.realpath(path.parent)
        if folder in ("/dev/fd", f"/proc/{os.getpid()}/fd") and _NUMBER.fullmatch(path.name):
            return int(path.name)
        if not path.is_symlink():
            return None
        path = Path(folder, os.readlink(path))
    return None


def _write_to(descriptor: int, data: bytes) -> None:
    """Write to something open, after what this process printed before; closes it."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(data)


def _replace(place: Path, data: bytes, before: os.stat_result | None) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = temporary_file(place.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if before is not None and hasattr(os, "chown"):
            with suppress(PermissionError):  # only root gives a file to somebody else
                os.chown(temporary, before.st_uid, before.st_gid)
        mode = _mode_of_new_files() if before is None else before.st_mode & 0o777
        os.chmod(temporary, mode)
        os.replace(temporary, place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _mode_of_new_files() -> int:
    """What `open` would give: a temporary file may be read by its owner only."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
