"""Rows as training takes them, in a folder of the cache: written once, whole or not at all.

A folder is named after all that its rows depend on: the bytes of the table, and the options. It is
made under another name and renamed when every byte is on the disk, so that no half of one is ever
read, and of two processes the second takes what the first has written.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, final

import numpy as np

from twofold.cache import cache_folder, elsewhere
from twofold.errors import DataError
from twofold.files import write_atomically
from twofold.problem.description import Description, described_in_json, described_of
from twofold.problem.problem import Batch
from twofold.problem.splits import Rows
from twofold.problem.state import Array
from twofold.spec.data import file_type
from twofold.spec.experiment import Experiment
from twofold.temporary import temporary_folder

SCHEMA: Final = "twofold.rows/1"
SPLITS: Final = ("train", "validation", "test")
ABOUT: Final = "about.json"
NOT_OF_ROWS: Final = frozenset(
    {"source", "batch_size", "shuffle", "drop_last", "memory_map", "most_values"}
)


@dataclass(frozen=True, eq=False)
class Prepared:
    """The rows of the splits, in mapped files, and what they stand for."""

    batches: Mapping[str, Batch]
    description: Description


def folder_of(experiment: Experiment, table: Path) -> Path:
    """The folder for an experiment's rows. Raises OSError where the table cannot be read."""
    with table.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    depends_on = {
        "schema": SCHEMA,
        "version": version("twofold"),
        "content": content,
        "type": file_type(str(table)),
        "data": experiment.data.model_dump(mode="json", exclude=set(NOT_OF_ROWS)),
        "seed": experiment.seed,
        "loss": experiment.loss.kind,
        "out_features": experiment.model.out_features,
        "dtype": str(experiment.parameter_dtype),
    }
    text = json.dumps(depends_on, sort_keys=True)
    return cache_folder() / "tables" / hashlib.sha256(text.encode()).hexdigest()[:32]


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `folder` at the end unless another process has made it.

    Raises DataError where nothing can be written, or no more.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder.parent) as place:
            new = place / "rows"
            new.mkdir()
            yield new
            (new / "columns").unlink(missing_ok=True)
            with suppress(FileExistsError, NotADirectoryError):
                _rename(new, folder)
    except OSError as error:
        if error.filename is not None and not str(error.filename).startswith(str(folder.parent)):
            raise  # of reading the table
        raise DataError(
            f"data.memory_map: {folder.parent}: cannot be written: {error.strerror or error}; "
            "allowed is a folder with room for the columns of the table, 8 bytes a number, and for "
            f"the rows as training takes them; make room{elsewhere()}"
        ) from error


def _rename(new: Path, folder: Path) -> None:
    for each in new.iterdir():
        with each.open("r+b") as file:  # Windows flushes no other
            os.fsync(file.fileno())
    try:
        new.rename(folder)
    except OSError:
        if not (folder / ABOUT).is_file():  # another process was first where it is
            raise


@final
class RowWriter:
    """Writes the rows of the splits one piece after the other, as `.npy` files."""

    def __init__(self, folder: Path, rows: Rows) -> None:
        self._folder = folder
        self._rows = {name: getattr(rows, name) for name in SPLITS}
        self._files: dict[str, IO[bytes]] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._open.close()

    def write(self, part: slice, inputs: Array, targets: Array) -> None:
        """Write the rows `part` of the table: inputs (rows, in_features) and their targets."""
        for name, rows in self._rows.items():
            first, last = np.searchsorted(rows, (part.start, part.stop))
            own = rows[first:last] - part.start
            for what, values in (("inputs", inputs), ("targets", targets)):
                stream = self._stream(f"{name}_{what}.npy", len(rows), values)
                stream.write(np.ascontiguousarray(values[own]).tobytes())

    def _stream(self, name: str, rows: int, like: Array) -> IO[bytes]:
        """The file of that name, for so many rows like those given."""
        if name not in self._files:
            stream = self._open.enter_context((self._folder / name).open("wb"))
            described = np.lib.format.dtype_to_descr(like.dtype)
            header = {"descr": described, "fortran_order": False, "shape": (rows, *like.shape[1:])}
            np.lib.format.write_array_header_2_0(stream, header)
            self._files[name] = stream
        return self._files[name]


def write_about(folder: Path, rows: Rows, description: Description) -> None:
    """Write what the rows stand for, last of all. Raises OSError."""
    about = {
        "schema": SCHEMA,
        "rows": {name: len(getattr(rows, name)) for name in SPLITS},
        "description": described_in_json(description),
    }
    write_atomically(folder / ABOUT, json.dumps(about).encode("utf-8"))


def read(folder: Path) -> Prepared:
    """The rows in a folder. Raises DataError where they are not as they were written."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        batches = {name: _batch(folder, name, about["rows"][name]) for name in SPLITS}
        return Prepared(batches, described_of(about["description"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"data.memory_map: {folder}: damaged ({error}); remove that folder, and the table is "
            "read again"
        ) from error


def _batch(folder: Path, name: str, rows: int) -> Batch:
    arrays = [_mapped(folder / f"{name}_{what}.npy", rows) for what in ("inputs", "targets")]
    return Batch(*arrays)


def _mapped(path: Path, rows: int) -> Any:
    found = np.load(path, mmap_mode="r" if rows else None, allow_pickle=False)
    if len(found) != rows:
        raise ValueError(f"{path.name} has {len(found)} rows, not {rows}")
    return found
