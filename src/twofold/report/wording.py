"""Numbers and lists as a person reads them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final

BARE_BAR: Final = re.compile(r"(?<!\\)((?:\\\\)*)\|")
"""A bar after an even number of backslashes: nothing escapes it."""


def duration(seconds: float | None) -> str:
    """Three significant digits in the unit that fits: `312 µs`, `1.84 ms`, `12.3 s`."""
    if seconds is None:
        return "–"
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if abs(seconds) * factor < 999.5:
            return f"{significant(seconds * factor)} {unit}"
    return f"{significant(seconds)} s"


def interval(low: float | None, high: float | None) -> str:
    """Both ends of an interval of seconds: `301 µs to 325 µs`."""
    return "–" if low is None or high is None else f"{duration(low)} to {duration(high)}"


def significant(value: float, digits: int = 3) -> str:
    """A number rounded to significant digits, without exponent between 0.001 and a billion."""
    if not math.isfinite(value):
        return "infinite" if math.isinf(value) else "not a number"
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e9:
        return f"{value:.{digits - 1}e}"
    places = digits - 1 - int(f"{value:.{digits - 1}e}".partition("e")[2])
    rounded = round(value, places)
    return f"{rounded:,.{max(places, 0)}f}"


def steps(number: float) -> str:
    """A number of steps, two significant digits: `2,300`."""
    number = max(1.0, number)
    return significant(number, digits=2) if number >= 10 else f"{number:.0f}"


def listing(items: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`; `none` for nothing."""
    words = list(items)
    if len(words) < 2:
        return words[0] if words else "none"
    return f"{', '.join(words[:-1])} and {words[-1]}"


def counted(number: int, noun: str) -> str:
    """`1 rung`, `2 rungs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def threads(number: int | None) -> str:
    """`1 thread`, `2 threads`; results of older versions may not say it."""
    return "threads unknown" if number is None else counted(number, "thread")


def sentence(text: str) -> str:
    """The text with one full stop at its end."""
    return text.rstrip(". ") + "."


def cell(text: str) -> str:
    """Text that cannot break a Markdown table: one line, no bare bars."""
    return BARE_BAR.sub(r"\1\\|", " ".join(text.split()))
