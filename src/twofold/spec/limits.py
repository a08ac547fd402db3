"""How large the values of a spec may be, and how values and names are shortened in messages.

TOML itself sets few limits, and Python's parser none: numbers of thousands of digits, tables
nested a thousand deep and names of a hundred thousand parts take it seconds, or end in errors of
Python's own. No experiment needs any of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from twofold.errors import SpecError

MOST_CHARACTERS: Final = 1_000_000
LONGEST_TEXT: Final = 4096  # as long as a path may be on Linux
DEEPEST: Final = 64
MOST_PARTS: Final = 32
SMALLEST: Final = -(2**63)
LARGEST: Final = 2**63 - 1
LONGEST_SHOWN: Final = 60
LONGEST_NAME: Final = 200
MOST_NAMES: Final = 20

_PART: Final = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_MANY_PARTS: Final = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{MOST_PARTS}}}")


def shown(value: object, most: int = LONGEST_SHOWN) -> str:
    """A value as a person would write it in TOML, cut when long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and not SMALLEST <= value <= LARGEST:
        return f"a whole number of {value.bit_length():,} bits"
    try:
        return cut(repr(value), most)
    except (ValueError, RecursionError):  # numbers of too many digits, or nested too deep
        return f"a {type(value).__name__} too large to be shown"


def named(name: object) -> str:
    """A name in quotes, such as that of a column, cut when it is far too long."""
    return shown(str(name), LONGEST_NAME)


def cut(text: str, most: int = LONGEST_SHOWN) -> str:
    """A text of at most so many characters, its end cut off when it is longer."""
    return text if len(text) <= most else text[: most - 3] + "..."


def listed(names: Iterable[object]) -> str:
    """Names after each other, each cut when long; of more than MOST_NAMES the first ones."""
    every = [cut(str(name), LONGEST_NAME) for name in names]
    more = f", and {len(every) - MOST_NAMES:,} more" if len(every) > MOST_NAMES else ""
    return ", ".join(every[:MOST_NAMES]) + more


def require_short(text: str, where: str) -> None:
    """Refuse TOML text that is too long, or has dotted keys of too many parts, before it is parsed.

    Raises SpecError.
    """
    if len(text) > MOST_CHARACTERS:
        raise SpecError(
            f"{where}: {len(text):,} characters given; allowed are at most {MOST_CHARACTERS:,}"
        )
    if (found := _MANY_PARTS.search(text)) is not None:
        raise SpecError(
            f"{where}: line {text.count(chr(10), 0, found.start()) + 1}: a key of more than "
            f"{MOST_PARTS} parts given, {cut(found[0])}; allowed are at most {MOST_PARTS}"
        )


def require_bounded(values: Mapping[str, Any], where: str) -> None:
    """Refuse values that are nested too deep, and numbers and texts that are too large.

    Raises SpecError.
    """
    left: list[tuple[str, object, int]] = [("", values, 0)]
    while left:
        place, value, depth = left.pop()
        if depth > DEEPEST:
            raise SpecError(
                f"{where}: {cut(place)}: nested more than {DEEPEST} deep; allowed is {DEEPEST}"
            )
        if isinstance(value, Mapping):
            for key in value:
                _require_text(f"{where}: a key", str(key))
            left.extend((_below(place, str(key)), item, depth + 1) for key, item in value.items())
        elif isinstance(value, list | tuple):
            left.extend((f"{place}[{i}]", item, depth + 1) for i, item in enumerate(value))
        elif isinstance(value, str):
            _require_text(f"{where}: {cut(place)}", value)
        elif isinstance(value, int) and not SMALLEST <= value <= LARGEST:
            raise SpecError(
                f"{where}: {cut(place)}: {shown(value)} given; allowed are whole numbers from "
                f"{SMALLEST} to {LARGEST}"
            )


def _below(place: str, key: str) -> str:
    return cut(f"{place}.{key}".removeprefix("."), LONGEST_TEXT)


def _require_text(what: str, text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise SpecError(
            f"{what}: a text of {len(text):,} characters given, {cut(text)!r}; allowed are at most "
            f"{LONGEST_TEXT:,}"
        )
