"""Read the arrays `inputs` and `targets` of an `.npz` file; never a pickle.

What an array declares is read and checked first: what NumPy's own reader makes of a damaged header
ranges from errors of Python's parser to a request for more memory than there is.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from twofold.errors import DataError
from twofold.problem.file_size import numbers_declared, require_values
from twofold.problem.state import Array
from twofold.spec.limits import LONGEST_SHOWN, cut, listed

NAMES: Final = ("inputs", "targets")
SUFFIX: Final = ".npy"
COMPRESSIONS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MOST_DIMENSIONS: Final = 32
_OF_PYTHON: Final = (ValueError, EOFError, KeyError, OSError, RuntimeError, OverflowError)
_LONGEST_REASON: Final = 4 * LONGEST_SHOWN


def read_arrays(path: Path, where: str, most: int) -> tuple[Array, Array]:
    """Inputs and targets of a file, each of at most `most` numbers, of whatever type and shape.

    Raises DataError, or OSError when the file cannot be opened.
    """
    with path.open("rb") as file:
        _refuse_other(file, where)
        try:
            with zipfile.ZipFile(file) as archive:
                inputs, targets = (_array(archive, name, where, most) for name in NAMES)
                return inputs, targets
        except (*_OF_PYTHON, struct.error, zipfile.BadZipFile, zlib.error) as error:
            raise _unreadable(where, str(error) or type(error).__name__) from error


def _refuse_other(file: IO[bytes], where: str) -> None:
    start = file.read(6)
    file.seek(0)
    if start == b"\x93NUMPY":
        raise DataError(f"{where}: one bare array given; allowed is an .npz archive")


def _array(archive: zipfile.ZipFile, name: str, where: str, most: int) -> Array:
    members = {info.filename.removesuffix(SUFFIX): info for info in archive.infolist()}
    if name not in members:
        raise DataError(
            f"{where}: no array {name!r}; the arrays there are: {listed(members) or 'none'}; "
            "allowed is an .npz with inputs and targets"
        )
    info = members[name]
    if info.compress_type not in COMPRESSIONS or info.flag_bits & 1:
        how = "encrypted" if info.flag_bits & 1 else f"compressed by method {info.compress_type}"
        raise _unreadable(where, f"{name} is {how}; allowed is what np.savez_compressed writes")
    with archive.open(info) as member:
        shape, dtype = _declared(member, name, where)
        count, held = numbers_declared(shape, dtype), info.file_size - member.tell()
        require_values(f"{where}: {name}", count, most)
        if dtype.itemsize * int(np.prod(shape, dtype=object)) != held:
            raise _unreadable(where, f"{name} declares {dtype} {shape}, but has {held:,} bytes")
    with archive.open(info) as member:
        array: Array = np.lib.format.read_array(member, allow_pickle=False)
        member.read(1)  # the end, where zipfile compares the check sum
    return array


def _declared(member: IO[bytes], name: str, where: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype that an array's header declares."""
    try:
        version = np.lib.format.read_magic(member)
        reader = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = reader(member)
    except (zipfile.BadZipFile, zlib.error):
        raise
    except Exception as error:  # NumPy parses it with ast and tokenize, which raise what they like
        raise _unreadable(where, f"{name} has no header of an array: {error}") from error
    if len(shape) > MOST_DIMENSIONS or any(type(size) is not int or size < 0 for size in shape):
        raise _unreadable(where, f"{name} has the shape {shape}")
    if dtype.hasobject:
        raise _unreadable(where, f"{name} holds Python objects, which are never loaded")
    return shape, dtype


def _unreadable(where: str, reason: str) -> DataError:
    return DataError(
        f"{where}: not a readable .npz of plain arrays: {cut(reason, _LONGEST_REASON)}"
    )
