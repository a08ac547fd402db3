"""The lines at which two runs of one module part, from fingerprints of all that they compute."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from twofold.port.where.operations import Operation
from twofold.port.where.prints import Known


def departure(
    operations: Sequence[Operation],
    own: Callable[[str], bool],
    other: Known,
    end: Callable[[str], bool] | None = None,
) -> str:
    """The line of the first operation whose numbers the other side never has; "" if unknown.

    Only operations of one place count (`own` tells by module), and of them what leads to the last
    one of its `end`. What the other side computes in
    another way between two values that both have is no departure. Where every value is known to
    the other side, something is missing at the end: then the last line.
    """
    places = [i for i, operation in enumerate(operations) if own(operation.module)]
    if not places:
        return ""
    ends = [i for i in places if end is None or end(operations[i].module)] or places
    last = next((i for i in reversed(ends) if operations[i].prints), ends[-1])
    leading = _leading_to(last, operations)
    agreed = _agreed(operations, set(places), other)
    for i in places:
        if i in leading and i not in agreed and not operations[i].moves:
            return operations[i].line
    return operations[last].line


def _leading_to(last: int, operations: Sequence[Operation]) -> set[int]:
    found, open_places = {last}, [last]
    while open_places:
        for i in operations[open_places.pop()].after:
            if i not in found:
                found.add(i)
                open_places.append(i)
    return found


def _agreed(operations: Sequence[Operation], places: Collection[int], other: Known) -> set[int]:
    """Operations with a value that the other side has, and those that lead to such a value."""
    agreed: set[int] = set()
    for i in sorted(places, reverse=True):
        operation = operations[i]
        if i in agreed or any(other.holds(found) for found in operation.prints):
            agreed.add(i)
            agreed.update(j for j in operation.after if j in places)
    return agreed
