"""Checkpoints that several processes write together: a folder with the parts of a state.

    step-00000400.parts/
        state/          what the engine's library wrote
        best/           likewise, with validation rows: the best epoch until then
        parts.json      schema, step, that of the best epoch, form; every file's size and SHA-256

It is written under a name that begins with a dot, flushed to the disk and renamed, so it is there
whole or not at all. `parts.json` has a digest of itself, too: SHA-256 of its other fields as JSON
texts are by Python's `json.dumps` with `sort_keys`. All files are compared with it before a library
reads any. That finds damage; it proves nothing about who wrote the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twofold.errors import DataError, ResultError
from twofold.results.json_files import read_json, write_json

SCHEMA: Final = "twofold.parts/1"
SEAL: Final = "parts.json"
STATE: Final = "state"
BEST: Final = "best"
NAME: Final = re.compile(r"step-([0-9]{8,19})\.parts")
_CHUNK: Final = 1 << 20
_LEFT: Final = ".*step-*.parts"
"""What is being written or removed; what an ended process left of that goes with the next."""


@dataclass(frozen=True)
class Sealed:
    """A folder of parts whose files are those that were written.

    `best` is the step of the best epoch's state, None without one; `fingerprint` are 32 bytes that
    differ where a single bit does.
    """

    path: Path
    step: int
    best: int | None
    form: str
    fingerprint: bytes


def path_of(checkpoints: Path, step: int) -> Path:
    """Where the parts of a step lie."""
    return checkpoints / f"step-{step:08d}.parts"


def under_way(checkpoints: Path, step: int) -> Path:
    """Where they lie while they are written."""
    return checkpoints / f".{path_of(checkpoints, step).name}"


def begin(checkpoints: Path, step: int) -> None:
    """Make the folder to be written, and remove what was left under way. Raises ResultError."""
    folder = under_way(checkpoints, step)
    with _told(folder, "written"):
        for left in checkpoints.glob(_LEFT):
            shutil.rmtree(left)
        folder.mkdir()


def seal(checkpoints: Path, step: int, best: int | None, form: str) -> Path:
    """Flush all that was written, note its digests, and give it its name. Raises ResultError."""
    folder, target = under_way(checkpoints, step), path_of(checkpoints, step)
    with _told(folder, "written"):
        files = {name: _described(path, flush=True) for name, path in _files(folder).items()}
        record = {"schema": SCHEMA, "step": step, "best": best, "form": form, "files": files}
        write_json(folder / SEAL, {**record, "digest": _digest(record)})
        for inside in (*(each for each in folder.rglob("*") if each.is_dir()), folder):
            _flush_folder(inside)
        if target.exists():  # a damaged one, for which this run began at an older step
            remove(target)
        os.rename(folder, target)
        _flush_folder(checkpoints)
    return target


def remove(path: Path) -> None:
    """Remove a folder of parts: its name goes first, at once. Raises ResultError."""
    gone = path.with_name(f"..{path.name}")
    with _told(path, "removed"):
        os.rename(path, gone)
        shutil.rmtree(gone)


def checked(path: Path, step: int) -> Sealed:
    """What lies in a folder, if all of it is as it was written. Raises DataError."""
    try:
        there = _files(path)
        record = read_json(path / SEAL, SCHEMA)
        digest, files = record.pop("digest"), record["files"]
        if digest != _digest(record):
            raise DataError(f"{path / SEAL}: damaged: its digest is not that of its fields")
        if record["step"] != step:
            raise DataError(f"{path}: its step is {record['step']}")
        for name in sorted({*there, *files}):
            if name not in there or name not in files:
                which = "not there" if name in files else "not among those that were written"
                raise DataError(f"{path}: damaged: {name} is {which}")
            if _described(there[name]) != files[name]:
                raise DataError(f"{there[name]}: damaged: its digest is not that of its bytes")
    except ResultError as error:
        raise DataError(str(error)) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (KeyError, TypeError) as error:
        raise DataError(f"{path / SEAL}: damaged: {error} is missing or wrong") from error
    return Sealed(path, step, record["best"], str(record["form"]), bytes.fromhex(digest))


def _files(folder: Path) -> dict[str, Path]:
    """All files but the seal, by their names within the folder. Raises DataError for others."""
    found: dict[str, Path] = {}
    for within, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(within, name)
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise DataError(f"{path}: neither a file nor a folder; allowed is nothing else")
        for name in names:
            path = Path(within, name)
            found[path.relative_to(folder).as_posix()] = path
    found.pop(SEAL, None)
    return found


def _described(path: Path, *, flush: bool = False) -> dict[str, Any]:
    """Size and SHA-256 of a file; with `flush` it is on the disk afterwards."""
    digest, size = hashlib.sha256(), 0
    # To flush it, Windows wants a file that may be written to.
    with path.open("r+b" if flush else "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
        if flush:
            os.fsync(file.fileno())
    return {"bytes": size, "sha256": digest.hexdigest()}


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _flush_folder(path: Path) -> None:
    """Have the names in a folder on the disk, where the system can do that."""
    if not hasattr(os, "O_DIRECTORY"):  # not on Windows
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told(folder: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResultError(f"{folder}: cannot be {what}: {error.strerror or error}") from error
