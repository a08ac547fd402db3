"""Figures as a person reads them."""

from __future__ import annotations

from typing import Final

from comparisons.claims.claim import Figure
from twofold.report.wording import duration, significant

VERDICTS: Final = ("confirmed", "depends", "refuted", "not testable here", "not measured yet")


def value_text(figure: Figure) -> str:
    """`1.84 times (1.71 to 1.97)`."""
    text = number(figure.value, figure)
    if figure.low is None or figure.high is None:
        return text
    return f"{text} ({number(figure.low, figure)} to {number(figure.high, figure)})"


def number(value: float | str, figure: Figure) -> str:
    """One number in the unit that fits."""
    if isinstance(value, str):
        return value
    if figure.unit == "s":
        return duration(value)
    if figure.unit == "times":
        return f"{significant(value)}×"
    if figure.unit == "share":
        return f"{significant(100 * value)} %"
    if figure.unit == "accuracy":
        return f"{value:.4f}"
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{int(value):,}"
    return significant(value)


def figure_text(figure: Figure) -> str:
    return f"{figure.label}: {value_text(figure)}"
