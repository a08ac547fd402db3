"""One run at a time in a folder: a lock that ends with the process that holds it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twofold.errors import ResultError

try:
    import fcntl
except ImportError:  # Windows has no such locks; there two runs in one folder are not found out
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder. Raises ResultError where another process holds it.

    The system lets it go when the process ends, in whatever way.
    """
    path = folder / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ResultError(f"{path}: cannot be written: {error.strerror or error}") from error
    try:
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ResultError(
                    f"--output: {folder} given, where another run is at work; wait for its end, "
                    "or give another folder"
                ) from error
        yield
    finally:
        os.close(descriptor)
