"""How near two nodes are to each other in their programs, as the cost of pairing them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final, final

import numpy as np

from twofold.port.weights.alignment import align
from twofold.port.weights.context import anchors, colours, unlikeness
from twofold.port.weights.pairs import Pairing
from twofold.port.weights.paths import Likeness

_SURROUNDINGS: Final = 9.0
_WORDS: Final = 6.0
_NEIGHBOURS: Final = 6.0
_ALIAS: Final = 4.0
_UNUSED: Final = 20.0


@final
class Nearness:
    """What it costs to pair nodes: displacement, surroundings, words of paths, neighbours."""

    def __init__(self, state: Pairing) -> None:
        self._state = state
        self._place = _warp(state)
        self._colours = colours(state.a), colours(state.b)
        self._anchors = anchors(state.a), anchors(state.b)
        self._likeness = Likeness(
            [node.part.path for node in state.a], [node.part.path for node in state.b]
        )

    def costs(
        self, rows: Sequence[int], columns: Sequence[int], partner: Mapping[int, int]
    ) -> np.ndarray:
        """(rows, columns); infinite where a pair cannot be."""
        around = unlikeness(self._colours[0], rows, self._colours[1], columns)
        single = [
            [
                _cost(self._state, self._place, i, j) + self._strangeness(i, j, partner)
                for j in columns
            ]
            for i in rows
        ]
        return np.asarray(_SURROUNDINGS * around + np.array(single))

    def _strangeness(self, i: int, j: int, partner: Mapping[int, int]) -> float:
        """By paths that share no words, and by neighbours upstream that are no partners."""
        words = _WORDS * (1 - self._likeness.of(i, j))
        known = {partner[k] for k in self._anchors[0][i] if k in partner}
        others = self._anchors[1][j] & set(partner.values())
        both = len(known | others)
        return words + (_NEIGHBOURS * (1 - len(known & others) / both) if both else 0.0)


def _cost(state: Pairing, place: np.ndarray, i: int, j: int) -> float:
    one, other = state.a[i], state.b[j]
    if not state.fit(i, j):
        return float("inf")
    price = _ALIAS * (one.alias + other.alias)
    if one.use is None or other.use is None:
        return price + (0.0 if one.use is other.use else _UNUSED)
    return price + float(abs(place[i] - j))


def _warp(state: Pairing) -> np.ndarray:
    """Where on the right each node of the left is expected, from the pairs that are known.

    Pairs that would turn the order round are left out: the longest rising sequence is kept.
    """
    used_a = sum(node.use is not None for node in state.a)
    used_b = sum(node.use is not None for node in state.b)
    known = _order_of_matrices(state)
    rising = _rising(known)
    xs = [-1, *(i for i, _ in rising), used_a]
    ys = [-1, *(j for _, j in rising), used_b]
    return np.interp(np.arange(len(state.a)), xs, ys)


def _order_of_matrices(state: Pairing) -> list[tuple[int, int]]:
    """Known pairs, and free matrices aligned in order, as marks to measure places from."""
    known = [(i, j) for i, (j, _) in sorted(state.found.items()) if state.a[i].use is not None]
    free_a, free_b = state.free()
    heavy_a = [i for i in free_a if state.a[i].heavy and state.a[i].use is not None]
    heavy_b = [j for j in free_b if state.b[j].heavy and state.b[j].use is not None]
    if not heavy_a or not heavy_b:
        return known

    def cost(left: int, right: int) -> float | None:
        return 0.0 if state.fit(heavy_a[left], heavy_b[right]) else None

    ones = [1.0] * len(heavy_a), [1.0] * len(heavy_b)
    matches = align(cost, lambda *_: False, *ones)
    return sorted([*known, *((heavy_a[p[0]], heavy_b[q[0]]) for p, q in matches)])


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest sequence of pairs that rises on both sides."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for index, (_, j) in enumerate(pairs):
        where = bisect_left(tails, j)
        tails[where:] = [j, *tails[where + 1 :]]
        ends[where:] = [index, *ends[where + 1 :]]
        before.append(ends[where - 1] if where else -1)
    chain: list[tuple[int, int]] = []
    index = ends[-1] if ends else -1
    while index >= 0:
        chain.append(pairs[index])
        index = before[index]
    return chain[::-1]
