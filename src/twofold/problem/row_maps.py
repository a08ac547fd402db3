"""Arrays in a file that is mapped into memory: rows are taken from it, and let go again."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from twofold.problem.state import Array

BYTES_AT_ONCE: Final = 2**23
ROWS_AT_ONCE: Final = 256
"""Taking a row brings up to 16 pages of its file into this process (Linux: fault_around_bytes)."""


def is_mapped(array: Array) -> bool:
    """Whether an array lies in a file that is mapped into memory."""
    return isinstance(array, np.memmap)


def mapped_file(array: Array) -> Path:
    """The file that a mapped array lies in. Raises ValueError for another array."""
    if not isinstance(array, np.memmap) or array.filename is None:
        raise ValueError("array: in memory; allowed is an array that is mapped from a file")
    return Path(str(array.filename))


def let_go(array: Array) -> None:
    """Give the memory of a mapped array back; its file keeps the values. Of others nothing.

    MADV_DONTNEED of a shared mapping loses nothing that was written: madvise(2).
    """
    found = _mapping_of(array) if is_mapped(array) else None
    if found is not None and hasattr(mmap, "MADV_DONTNEED"):
        found.madvise(mmap.MADV_DONTNEED)


def taken(array: Array, rows: npt.NDArray[np.integer]) -> Array:
    """A copy of some rows of an array, in their order; a mapped one is let go meanwhile."""
    if not is_mapped(array):
        return np.asarray(array[rows])
    found = np.empty((len(rows), *array.shape[1:]), array.dtype)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        np.take(array, rows[part], axis=0, out=found[part])
        let_go(array)
    return found


def steps_at_once(inputs: Array, batch_size: int) -> int:
    """How many batches of a mapped array's rows are brought to a device together."""
    row = inputs.itemsize * inputs.shape[1]
    return max(1, int(BYTES_AT_ONCE // (row * batch_size)))


def in_order(array: Array, size: int) -> Iterator[Array]:
    """Consecutive rows of an array, `size` at a time; a mapped one is let go meanwhile."""
    for start in range(0, len(array), size):
        yield array[start : start + size]
        let_go(array)


def _mapping_of(array: Array) -> mmap.mmap | None:
    """The mapping that holds an array: the base of its bases, as NumPy's memmap makes it."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
