"""Which of several lines are lowest, and from where on: late starts against short steps."""

from __future__ import annotations

from collections.abc import Sequence


def lower_envelope(lines: Sequence[tuple[float, float]]) -> list[tuple[int, float]]:
    """The lines that are lowest for some n of 1 or more, each with the n from which it is.

    A line (first, slope) has the value first + (n - 1) * slope. Answers (index, n) in rising order
    of n; of lines that meet, the one that is lower afterwards comes.
    """
    if not lines:
        return []
    here = min(range(len(lines)), key=lambda index: lines[index])
    found = [(here, 1.0)]
    while rivals := [index for index, line in enumerate(lines) if line[1] < lines[here][1]]:
        met = {index: crossing(lines[here], lines[index]) for index in rivals}
        here = min(rivals, key=lambda index: (met[index], lines[index][1]))
        found.append((here, met[here]))
    return found


def crossing(line: tuple[float, float], flatter: tuple[float, float]) -> float:
    """The n at which two lines have the same value."""
    return 1 + (flatter[0] - line[0]) / (line[1] - flatter[1])
