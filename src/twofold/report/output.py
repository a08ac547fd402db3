"""Several files into one folder: all of them or none, and two writers do not mix theirs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from twofold.errors import BadInput
from twofold.files import write_atomically
from twofold.temporary import temporary_folder

if sys.platform != "win32":
    import fcntl


def write_together(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, given by their paths within the folder; the folder is made.

    They are written in full beside their places and then moved there. When a move fails, what was
    there before is put back. Raises BadInput, which says what cannot be written and why.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_folders(folder, files)
        with _alone(folder), temporary_folder(folder) as stage:
            new, old = stage / "new", stage / "old"
            for path, data in files.items():
                write_atomically(new / path, data)
            _move_all(list(files), new, folder, old)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(
            f"{folder}: the guide cannot be written there: {reason}; nothing was changed; "
            "give another folder with --out"
        ) from error


def _refuse_folders(folder: Path, files: Mapping[str, bytes]) -> None:
    """A folder that has the name of a file is not replaced."""
    for path in files:
        if (folder / path).is_dir():
            raise IsADirectoryError(0, f"{path} is a folder, but a file of that name is written")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other writer is at work in the folder."""
    if sys.platform == "win32":  # it has no such lock
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network drives have no locks: then each file is whole still
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _move_all(paths: list[str], new: Path, folder: Path, old: Path) -> None:
    """Move every file to its place; put everything back if one cannot be moved."""
    done: list[str] = []
    try:
        for path in paths:
            place, kept = folder / path, old / path
            place.parent.mkdir(parents=True, exist_ok=True)
            kept.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                shutil.copy2(place, kept)
            done.append(path)
            os.replace(new / path, place)
    except BaseException:
        for path in done:
            if (old / path).exists():
                os.replace(old / path, folder / path)
            else:
                (folder / path).unlink(missing_ok=True)
        raise
