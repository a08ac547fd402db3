"""A module's output in the layout of the other side, where no mapping says how it lies there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Final, final

import numpy as np

from twofold.port.side import Array

MOST_AXES: Final = 5


@final
@dataclass(frozen=True)
class Turn:
    """Axes in another order, then another shape."""

    order: tuple[int, ...]
    shape: tuple[int, ...]

    def __call__(self, value: Array) -> Array:
        return np.transpose(value, self.order).reshape(self.shape)


def turn_between(original: Array, port: Array) -> Turn | None:
    """How an output of the original lies in the port; None where the counts are unlike.

    Of the orders of axes that give the port's shape the one whose numbers are nearest.
    """
    if original.size != port.size:
        return None
    turns = list(_candidates(original.shape, port.shape))
    if len(turns) == 1:
        return turns[0]
    return min(turns, key=lambda turn: _distance(turn(original), port))


def _candidates(first: tuple[int, ...], second: tuple[int, ...]) -> Iterator[Turn]:
    """The order as it is comes first, so that it stays where others are as near."""
    axes = tuple(range(len(first)))
    fitting = [
        order
        for order in permutations(axes)
        if len(axes) <= MOST_AXES and tuple(first[axis] for axis in order) == second
    ]
    for order in fitting or [axes]:
        yield Turn(order, second)


def _distance(first: Array, second: Array) -> float:
    with np.errstate(invalid="ignore"):
        apart = np.abs(np.where(first == second, 0.0, first - second))
    return float(np.mean(np.nan_to_num(apart, nan=0.0, posinf=1e300)))
