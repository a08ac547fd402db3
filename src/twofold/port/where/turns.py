"""A module's output in the layout of the other side, where no mapping says how it lies there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Final, final

import numpy as np

from twofold.port.side import Array

MOST_AXES: Final = 5
NEAR: Final = 1e-6
"""Share of the size of the numbers up to which two arrays are taken for the same ones."""


@final
@dataclass(frozen=True)
class Turn:
    """Axes in another order, then another shape."""

    order: tuple[int, ...]
    shape: tuple[int, ...]

    def __call__(self, value: Array) -> Array:
        return np.transpose(value, self.order).reshape(self.shape)


def turn_between(original: Array, port: Array) -> Turn | None:
    """How an array of the original lies in the port; None where the counts are unlike."""
    return turns_between({"": (original, port)}).get("")


def turns_between(pairs: Mapping[str, tuple[Array, Array]]) -> dict[str, Turn]:
    """How the arrays of the original lie in the port, without those whose counts are unlike.

    Of the orders of axes that give the port's shape the one with the same numbers; where there is
    none, since the numbers are wrong, the one that most of the others have.
    """
    found: dict[str, Turn] = {}
    votes: Counter[tuple[int, ...]] = Counter()
    open_pairs: dict[str, list[Turn]] = {}
    for name, (original, port) in pairs.items():
        if original.size != port.size:
            continue
        turns = list(turns_of(original.shape, port.shape))
        near = [turn for turn in turns if _is_near(turn(original), port)]
        if len(turns) == 1 or near:
            found[name] = near[0] if near else turns[0]
            votes[found[name].order] += 1
        else:
            open_pairs[name] = turns
    for name, turns in open_pairs.items():
        found[name] = max(turns, key=lambda turn: votes[turn.order])
    return {name: found[name] for name in pairs if name in found}


def turns_of(first: tuple[int, ...], second: tuple[int, ...]) -> Iterator[Turn]:
    """Every turn that gives a shape.

    The order as it is comes first, then channels moved to the end or the front, then all others.
    """
    axes = tuple(range(len(first)))
    moved = [(0, *axes[2:], 1), (0, axes[-1], *axes[1:-1])] if len(axes) > 2 else []
    others = permutations(axes) if len(axes) <= MOST_AXES else iter([axes])
    orders = dict.fromkeys([axes, *moved, *others])
    fitting = [order for order in orders if tuple(first[axis] for axis in order) == second]
    for order in fitting or [axes]:
        yield Turn(order, second)


def _is_near(first: Array, second: Array) -> bool:
    with np.errstate(invalid="ignore"):
        apart = np.where(first == second, 0.0, np.abs(first - second))
    size = np.abs(second[np.isfinite(second)]).max(initial=0.0)
    return bool((apart <= NEAR * size).all())
