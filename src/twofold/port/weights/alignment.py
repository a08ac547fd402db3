"""Two sequences of uses, aligned: which matrix stands against which, or against how many.

A dynamic program over both orders of first use. A matrix may answer to two, three or four that
follow each other on the other side and take its place together: packed projections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

Match = tuple[tuple[int, ...], tuple[int, ...]]
"""Places on the left and on the right; one of the two has one place."""

_GAP: Final = 1.0
_PACKED: Final = 0.1
_PARTS: Final = (3, 2, 4)
_NEVER: Final = float("inf")


def align(
    cost: Callable[[int, int], float | None],
    packs: Callable[[int, tuple[int, ...], bool], bool],
    left: Sequence[float],
    right: Sequence[float],
) -> list[Match]:
    """The cheapest alignment of two sequences.

    `left` and `right` are what it costs to leave each place without a partner. `cost(i, j)` is what
    a pair costs, None if it cannot be; `packs(i, js, turned)` says whether the matrix i of the left
    (of the right if turned) can be those of the other side taken together.
    """
    rows, columns = len(left), len(right)
    best = np.full((rows + 1, columns + 1), _NEVER)
    step = np.zeros((rows + 1, columns + 1, 2), np.int64)
    best[0, 0] = 0.0
    for i in range(rows + 1):
        for j in range(columns + 1):
            for price, a, b in _steps(cost, packs, left, right, i, j):
                total = best[i - a, j - b] + price
                if total < best[i, j] - 1e-12:
                    best[i, j] = total
                    step[i, j] = a, b
    return _path(step, rows, columns)


def _steps(
    cost: Callable[[int, int], float | None],
    packs: Callable[[int, tuple[int, ...], bool], bool],
    left: Sequence[float],
    right: Sequence[float],
    i: int,
    j: int,
) -> list[tuple[float, int, int]]:
    """Ways to come to the place (i, j): the price, and how many places each side moves on."""
    steps: list[tuple[float, int, int]] = []
    if i and j:
        price = cost(i - 1, j - 1)
        if price is not None:
            steps.append((price, 1, 1))
        for parts in _PARTS:
            if j >= parts and packs(i - 1, tuple(range(j - parts, j)), False):
                steps.append((_PACKED, 1, parts))
            if i >= parts and packs(j - 1, tuple(range(i - parts, i)), True):
                steps.append((_PACKED, parts, 1))
    if i:
        steps.append((left[i - 1], 1, 0))
    if j:
        steps.append((right[j - 1], 0, 1))
    return steps


def _path(step: np.ndarray, i: int, j: int) -> list[Match]:
    found: list[Match] = []
    while i or j:
        a, b = int(step[i, j, 0]), int(step[i, j, 1])
        if a and b:
            found.append((tuple(range(i - a, i)), tuple(range(j - b, j))))
        i, j = i - a, j - b
    return found[::-1]


def assign(cost: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of rows and columns with the least total cost; infinite costs are never taken.

    The Hungarian method with potentials (Kuhn 1955; Jonker and Volgenant 1987), in O(n^2 m).
    """
    if cost.shape[0] > cost.shape[1]:
        return [(row, column) for column, row in assign(cost.T)]
    rows, columns = cost.shape
    finite = cost[np.isfinite(cost)]
    wall = 1.0 + 4.0 * float(np.abs(finite).sum()) if finite.size else 1.0
    plain = np.where(np.isfinite(cost), cost, wall)
    u, v = np.zeros(rows + 1), np.zeros(columns + 1)
    owner = np.zeros(columns + 1, np.int64)  # row + 1 that a column belongs to; column 0 is a start
    for row in range(1, rows + 1):
        owner[0] = row
        column = 0
        least = np.full(columns + 1, _NEVER)
        came = np.zeros(columns + 1, np.int64)
        done = np.zeros(columns + 1, bool)
        while True:
            done[column] = True
            here = owner[column]
            reduced = plain[here - 1] - u[here] - v[1:]
            better = ~done[1:] & (reduced < least[1:])
            least[1:][better] = reduced[better]
            came[1:][better] = column
            open_columns = np.where(done, _NEVER, least)
            following = int(np.argmin(open_columns))
            delta = open_columns[following]
            u[owner[done]] += delta
            v[done] -= delta
            least[~done] -= delta
            column = following
            if owner[column] == 0:
                break
        while column:
            before = int(came[column])
            owner[column] = owner[before]
            column = before
    pairs = [
        (int(owner[column]) - 1, column - 1) for column in range(1, columns + 1) if owner[column]
    ]
    return sorted((row, column) for row, column in pairs if np.isfinite(cost[row, column]))
