"""How much a data file may hold: what it declares is compared with a limit before it is read.

A file of some hundred kilobytes can unpack to gigabytes, or declare more than any memory has.
`data.most_values` sets another limit for those who trust a file and have the memory.
"""

from __future__ import annotations

import errno
import gzip
import os
import stat
from pathlib import Path
from typing import Any, Final

import numpy as np

from twofold.errors import DataError
from twofold.spec.data import Data, file_type

MOST_VALUES: Final = 10**8  # 0.8 GB of float64
MOST_PER_BYTE: Final = 16
ALWAYS_ALLOWED: Final = 10**7
"""By default a file may hold MOST_PER_BYTE numbers for each of its bytes, but ALWAYS_ALLOWED in any
case, and never more than MOST_VALUES unless it is mapped into memory."""
MOST_COLUMNS: Final = 100_000
MOST_TEXT_COLUMNS: Final = 10_000
BYTES_A_VALUE: Final = 16
"""A text may be so many bytes for each number that is allowed."""
_CHUNK: Final = 2**20


def most_values(path: Path, data: Data) -> int:
    """How many numbers a file may hold. Raises OSError."""
    usual = max(ALWAYS_ALLOWED, MOST_PER_BYTE * path.stat().st_size)
    return data.most_values or (usual if data.memory_map else min(MOST_VALUES, usual))


def require_regular(path: Path, where: str) -> None:
    """Refuse what is no file: reading it may never end. Raises DataError or OSError."""
    kind = os.stat(path).st_mode
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(kind):
        raise DataError(f"{where}: cannot be read: not a regular file")


def require_values(where: str, found: int, most: int, *, may_be_mapped: bool = False) -> None:
    """Refuse more numbers than are allowed, with the way out. Raises DataError."""
    if found > most:
        way = ", or data.memory_map = true where it is larger than memory"
        mapped = way if may_be_mapped else ""
        raise DataError(
            f"{where}: {_many(found)} numbers in it; allowed are at most {most:,}; if you trust "
            f"the file and have the memory, set data.most_values = {_many(found, '')}{mapped}"
        )


def require_columns(where: str, found: int) -> None:
    """Refuse more columns than are allowed. Raises DataError."""
    if found > MOST_COLUMNS:
        raise DataError(
            f"{where}: {found:,} columns in it; allowed are at most {MOST_COLUMNS:,}; an .npz with "
            "the arrays inputs and targets may have more"
        )


def require_text_table(path: Path, where: str, data: Data) -> None:
    """Refuse a text table of too many fields, bytes or columns. Raises DataError or OSError.

    Fields are counted by their separators, also inside quotes, and unpacked as they are counted.
    EOFError and zlib.error tell of a damaged `.gz`.
    """
    most = most_values(path, data)
    separator = data.field_separator.encode()
    fields = read = carried = 0
    packed = file_type(str(path)).endswith(".gz")
    with gzip.open(path) if packed else path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            read += len(chunk)
            counts = [line.count(separator) for line in chunk.splitlines()]
            counts[0] += carried
            require_columns(where, max(counts) + 1)
            fields += sum(counts) - carried + len(counts)
            carried = counts[-1] if chunk[-1:] not in b"\r\n" else 0
            require_values(where, fields, most, may_be_mapped=not data.memory_map)
            if read > BYTES_A_VALUE * most:
                raise DataError(
                    f"{where}: more than {BYTES_A_VALUE * most:,} bytes of text in it; allowed are "
                    f"{BYTES_A_VALUE} for each of {most:,} numbers; set data.most_values higher if "
                    "you trust the file and have the memory"
                )


def require_parquet(metadata: Any, where: str, most: int, *, may_be_mapped: bool = False) -> None:
    """Refuse a Parquet file that declares too much; `metadata` as pyarrow reads it.

    Raises DataError.
    """
    require_columns(where, metadata.num_columns)
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    rows = max(metadata.num_rows, sum(group.num_rows for group in groups))
    numbers = rows * metadata.num_columns
    require_values(where, numbers, most, may_be_mapped=may_be_mapped)
    require_values(where, sum(group.total_byte_size for group in groups) // BYTES_A_VALUE, most)


def numbers_declared(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """How many float64 numbers an array is as large as, at least its elements."""
    count = 1
    for size in shape:
        count *= int(size)
    return max(count, count * dtype.itemsize // 8)


def _many(number: int, between: str = ",") -> str:
    """A number, also one of thousands of digits."""
    if number >= 10**30:
        return "more than 10**30"
    return f"{number:{between}}"
