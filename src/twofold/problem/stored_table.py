"""A table on disk as it was read, so that further processes need no library to read it again.

Importing scikit-learn takes a process 1.3 s, and pandas parses a large CSV file far more slowly
than NumPy reads numbers.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Final

import numpy as np

from twofold.problem.table import Table

ARRAYS: Final = ("inputs", "targets")
REST: Final = "rest"


def write_table(table: Table, path: Path) -> None:
    """Write a table to an `.npz` file: its arrays, and all else as JSON. Raises OSError."""
    names = [field.name for field in fields(table) if field.name not in ARRAYS]
    rest = {name: getattr(table, name) for name in names}
    rest["texts"] = sorted(table.texts.items())  # JSON has no keys that are numbers
    arrays = {name: getattr(table, name) for name in ARRAYS}
    # Not by np.savez: NumPy below 2.2 leaves the file open where a disk is full.
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in {**arrays, REST: np.array(json.dumps(rest))}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_table(path: Path) -> Table:
    """The table that `write_table` wrote. Raises OSError or ValueError for anything else."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in ARRAYS}
        rest = json.loads(str(archive[REST]))
    return Table(
        **arrays,
        where=rest["where"],
        columns=tuple(rest["columns"]),
        classes=rest["classes"],
        class_names=tuple(rest["class_names"]),
        texts={column: tuple(texts) for column, texts in rest["texts"]},
        target_texts=tuple(rest["target_texts"]),
    )
