"""What a text table looks like, for messages: the options of `[data]` that would read it.

Nothing is read by these guesses: a person sets the option, or leaves it.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from twofold.spec.data import Data

SEPARATORS: Final = (",", ";", "\t", "|", " ")
COMMENT_SIGNS: Final = ("#", "%")
FIRST_BYTES: Final = 2**16
FIRST_LINES: Final = 50
_DECIMAL_COMMA: Final = re.compile(r"\s*[-+]?\d+,\d+([eE][-+]?\d+)?\s*")
_DECIMAL_POINT: Final = re.compile(r"\s*[-+]?\d+\.\d+([eE][-+]?\d+)?\s*")


def has_decimal_comma(text: str) -> bool:
    """Whether a text is a number with a decimal comma, such as "0,5"."""
    return _DECIMAL_COMMA.fullmatch(text) is not None


def options_that_would_read(path: Path, data: Data) -> str:
    """What a file looks like and the options to set, as "; looks ...: set ..."; "" if none."""
    found: dict[str, tuple[str, str]] = {}  # option -> what it looks like, the value to set
    lines = _first_lines(path, data)
    comment = data.comment or _comment_sign(lines)
    if comment is not None and data.comment is None:
        found["comment"] = (f"looks as if lines that begin with {comment!r} are remarks", comment)
    rows = [line for line in lines if line.strip() and not line.startswith(comment or "\0")]
    separator = _separator(rows, data.field_separator)
    if separator != data.field_separator:
        found["separator"] = (f"looks separated by {separator!r}", separator)
    if data.decimal is None and separator != "," and _decimal_commas(rows, separator):
        found["decimal"] = ("its numbers look as if written with a decimal comma", ",")
    looks = ", and ".join(words for words, _ in found.values())
    options = " and ".join(f"data.{option} = {value!r}" for option, (_, value) in found.items())
    return f"; {looks}: set {options}" if found else ""


def encoding_that_would_read(path: Path) -> str:
    """An encoding to try for a text that is not in the one it was read with."""
    with path.open("rb") as file:
        start = file.read(2)
    utf_16 = start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return "utf-16" if utf_16 else "cp1252"


def _first_lines(path: Path, data: Data) -> list[str]:
    """The first lines of a file; none where it cannot be read."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            start = file.read(FIRST_BYTES)
    except (OSError, EOFError, zlib.error, ValueError):
        return []
    try:
        lines = start.decode(data.encoding or "utf-8-sig", errors="replace").splitlines()
    except UnicodeError:  # idna and others decode nothing but what is without a fault
        return []
    whole = lines if len(start) < FIRST_BYTES else lines[:-1]
    return whole[:FIRST_LINES]


def _comment_sign(lines: Sequence[str]) -> str | None:
    """The sign that the first line begins with, if it is one for remarks and not all do."""
    for sign in COMMENT_SIGNS:
        if lines and lines[0].startswith(sign) and not all(x.startswith(sign) for x in lines):
            return sign
    return None


def _separator(rows: Sequence[str], given: str) -> str:
    """The sign that cuts all rows into the same number of fields, two or more; else the given."""
    for sign in dict.fromkeys((given, *SEPARATORS)):
        sizes = {len(fields) for fields in csv.reader(rows, delimiter=sign)}
        if len(sizes) == 1 and sizes != {1}:
            return sign
    return given


def _decimal_commas(rows: Sequence[str], separator: str) -> bool:
    """Whether there are numbers with a decimal comma, and none with a decimal point."""
    cells = [cell for fields in csv.reader(rows[1:], delimiter=separator) for cell in fields]
    return any(map(has_decimal_comma, cells)) and not any(map(_DECIMAL_POINT.fullmatch, cells))
