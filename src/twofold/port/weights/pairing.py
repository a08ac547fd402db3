"""Which node of the original is which node of the port.

In this order: the only one of its layer type and size; the same path; the order of first use in
both programs, with packed projections, surroundings in the flow of data and shared words of paths;
for what no program uses, paths and the order of definition.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, final

import numpy as np

from twofold.port.weights.alignment import align, assign
from twofold.port.weights.axes import Axes
from twofold.port.weights.cells import twin_of
from twofold.port.weights.compose import ways
from twofold.port.weights.context import anchors, colours, unlikeness
from twofold.port.weights.links import How
from twofold.port.weights.nodes import Node
from twofold.port.weights.packing import Sizes, can_pack, output_axis, split
from twofold.port.weights.paths import Likeness, twins, words
from twofold.port.weights.pieces import Piece

_SURROUNDINGS: Final = 9.0
_WORDS: Final = 6.0
_NEIGHBOURS: Final = 6.0
_SLIGHT: Final = 0.05

_Packed: TypeAlias = tuple[dict[int, tuple[int, Sizes]], dict[int, tuple[int, Sizes]]]


@final
@dataclass(frozen=True)
class Pair:
    """A node of the original and one of the port, and how they found each other.

    `equal` names two originals that could be exchanged as well, as "a and b".
    """

    original: Node
    port: Node
    how: How
    equal: str | None = None


@final
@dataclass
class Pairing:
    """The state of the search: nodes of both sides, and the pairs found so far by index."""

    a: list[Node]
    b: list[Node]
    found: dict[int, tuple[int, How]] = field(default_factory=dict)
    equal: dict[int, str] = field(default_factory=dict)

    def fit(self, i: int, j: int) -> tuple[Axes, ...]:
        """The ways in which two nodes can hold the same numbers; () if they cannot."""
        one, other = self.a[i], self.b[j]
        if one.role and other.role and one.role != other.role:
            return ()
        return ways(one.part.reading, one.shape, other.part.reading, other.shape)

    def free(self) -> tuple[list[int], list[int]]:
        taken = {j for j, _ in self.found.values()}
        return (
            [i for i in range(len(self.a)) if i not in self.found],
            [j for j in range(len(self.b)) if j not in taken],
        )

    def pairs(self) -> list[Pair]:
        return [
            Pair(self.a[i], self.b[j], how, self.equal.get(i))
            for i, (j, how) in sorted(self.found.items())
        ]


def pair_nodes(
    a: Sequence[Node], b: Sequence[Node], given: Iterable[tuple[Piece, Piece]] = ()
) -> Pairing:
    """Pair the nodes of two programs, some of which are given; what stays free has no partner."""
    state = Pairing(list(a), list(b))
    places = [{node.part.pieces: index for index, node in enumerate(side)} for side in (a, b)]
    for one, other in given:
        i, j = places[0].get((one,)), places[1].get((other,))
        if i is not None and j is not None:
            state.found[i] = j, "given"
    _by_path(state)
    state = _packed(state)
    _by_layer_type(state)
    _by_use(state)
    _merge_lone_biases(state)
    return state


def _merge_lone_biases(state: Pairing) -> None:
    """A cell's second bias without a partner is added to that of the first one.

    Not a GRU's: its reset gate multiplies a part of one of the two.
    """
    partners = set(state.found), {j for j, _ in state.found.values()}
    for nodes, free, paired in zip((state.a, state.b), state.free(), partners, strict=True):
        place = {node.part.pieces: index for index, node in enumerate(nodes)}
        for index in free:
            [piece, *more] = nodes[index].part.pieces
            twin = twin_of(piece.name, nodes[index].owner)
            if twin is None or more or "GRU" in nodes[index].owner:
                continue
            first = place.get((replace(piece, name=twin),))
            if first in paired and first is not None:
                both = (*nodes[first].part.pieces, piece)
                nodes[first] = replace(nodes[first], part=replace(nodes[first].part, pieces=both))


def _by_layer_type(state: Pairing) -> None:
    """Nodes of which there is only one that fits, on both sides."""
    free_a, free_b = state.free()
    partners: dict[int, list[int]] = {i: _fitting(state, i, free_b) for i in free_a}
    count: dict[int, int] = defaultdict(int)
    for fitting in partners.values():
        for j in fitting:
            count[j] += 1
    for i, fitting in partners.items():
        if len(fitting) == 1 and count[fitting[0]] == 1:
            typed = state.a[i].role and state.b[fitting[0]].role
            state.found[i] = fitting[0], "layer type" if typed else "shape"


def _fitting(state: Pairing, i: int, candidates: Iterable[int]) -> list[int]:
    size = state.a[i].size
    return [j for j in candidates if state.b[j].size == size and state.fit(i, j)]


def _by_path(state: Pairing) -> None:
    """Nodes whose paths are the same words, where they fit."""
    paths = [[node.part.path for node in side if not node.alias] for side in (state.a, state.b)]
    places = [
        [index for index, node in enumerate(side) if not node.alias] for side in (state.a, state.b)
    ]
    free = [set(side) for side in state.free()]
    for left, right in twins(*paths):
        i, j = places[0][left], places[1][right]
        if i in free[0] and j in free[1] and state.fit(i, j):
            state.found[i] = j, "path"


def _packed(state: Pairing) -> Pairing:
    """Find matrices that stand against several, and split them and their biases."""
    heavy_a, heavy_b = (
        [i for i, node in enumerate(side) if node.heavy and node.use is not None]
        for side in (state.a, state.b)
    )
    partner = {i: j for i, (j, _) in state.found.items()}
    taken = set(partner.values())

    def cost(left: int, right: int) -> float | None:
        i, j = heavy_a[left], heavy_b[right]
        if i in partner or j in taken:
            return -1.0 if partner.get(i) == j else None
        one, other = state.a[i], state.b[j]
        if one.size != other.size or not state.fit(i, j):
            return None
        return _SLIGHT * ((not one.role) + (not other.role) + one.alias + other.alias)

    def packs(whole: int, parts: tuple[int, ...], turned: bool) -> bool:
        one, other = (heavy_b, heavy_a) if turned else (heavy_a, heavy_b)
        nodes, others = (state.b, state.a) if turned else (state.a, state.b)
        known, free = (taken, partner) if turned else (partner, taken)
        if one[whole] in known or any(other[part] in free for part in parts):
            return False
        return can_pack(nodes[one[whole]], [others[other[part]] for part in parts])

    gaps = [
        [0.0 if side[i].alias else 1.0 for i in heavy]
        for side, heavy in ((state.a, heavy_a), (state.b, heavy_b))
    ]
    wide: _Packed = ({}, {})
    members: list[tuple[int, list[int], bool]] = []
    for lefts, rights in align(cost, packs, gaps[0], gaps[1]):
        if len(lefts) == len(rights):
            continue
        turned = len(lefts) > 1
        side, others = (state.b, state.a) if turned else (state.a, state.b)
        whole = heavy_b[rights[0]] if turned else heavy_a[lefts[0]]
        parts = [heavy_a[p] for p in lefts] if turned else [heavy_b[p] for p in rights]
        if not turned:
            parts = _in_order_of_names(others, parts)
        rest = side[whole].size // side[whole].shape[output_axis(side[whole]) or 0]
        wide[turned][whole] = len(members), tuple(others[part].size // rest for part in parts)
        for bias in _biases(side, whole):
            wide[turned][bias] = wide[turned][whole]
        members.append((whole, parts, turned))
    return _with_packs(state, wide, members)


def _biases(nodes: Sequence[Node], kernel: int) -> list[int]:
    axis = output_axis(nodes[kernel])
    size = nodes[kernel].shape[axis] if axis is not None else 0
    return [
        index
        for index, node in enumerate(nodes)
        if node.after == {kernel} and node.size == size and node.role in ("bias", "")
        if not node.heavy and not node.alias
    ][:1]


def _in_order_of_names(nodes: Sequence[Node], parts: list[int]) -> list[int]:
    """Query, key, value where the paths say so; else in the order of use."""
    names = ("query", "key", "value")
    said = {name: part for part in parts for name in names if name in words(nodes[part].part.path)}
    return [said[name] for name in names] if len(parts) == len(said) == 3 else parts


def _with_packs(
    state: Pairing,
    wide: _Packed,
    members: Iterable[tuple[int, list[int], bool]],
) -> Pairing:
    a, places_a = split(state.a, wide[0])
    b, places_b = split(state.b, wide[1])
    new = Pairing(a, b)
    for i, (j, how) in state.found.items():
        if len(places_a[i]) == len(places_b[j]) == 1:
            new.found[places_a[i][0]] = places_b[j][0], how
    for whole, parts, turned in members:
        pieces = (places_b if turned else places_a)[whole]
        for piece, part in zip(pieces, parts, strict=True):
            other = (places_a if turned else places_b)[part][0]
            i, j = (other, piece) if turned else (piece, other)
            new.found[i] = j, "first use"
    return new


def _by_use(state: Pairing) -> None:
    """The least total cost of what is left, matrices first, then vectors beside them."""
    near = _Nearness(state)
    for heavy in (True, False):
        by_size: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for side, free in enumerate(state.free()):
            for index in free:
                node = (state.a, state.b)[side][index]
                if node.heavy or not heavy:
                    by_size[node.size][side].append(index)
        partner = {i: j for i, (j, _) in state.found.items()}
        for rows, columns in by_size.values():
            if rows and columns:
                cost = near.costs(rows, columns, partner)
                for row, column in assign(cost):
                    _take(state, rows[row], columns[column])
                _name_equals(state, rows, columns, cost)


def _take(state: Pairing, i: int, j: int) -> None:
    used = state.a[i].use is not None and state.b[j].use is not None
    state.found[i] = j, "first use" if used else "shape"


@final
class _Nearness:
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
    price = 4.0 * (one.alias + other.alias)
    if one.use is None or other.use is None:
        return price + (0.0 if one.use is other.use else 20.0)
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
    from bisect import bisect_left

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


def _name_equals(
    state: Pairing, rows: Sequence[int], columns: Sequence[int], cost: np.ndarray
) -> None:
    """Note pairs that could be exchanged at no cost: two candidates equally good."""
    column = {j: place for place, j in enumerate(columns)}
    chosen = [
        (place, column[state.found[i][0]]) for place, i in enumerate(rows) if i in state.found
    ]
    for index, (p, q) in enumerate(chosen):
        for r, s in chosen[index + 1 :]:
            if abs(cost[p, s] + cost[r, q] - cost[p, q] - cost[r, s]) < 1e-9:
                state.equal[rows[p]] = (
                    f"{state.a[rows[p]].part.pieces[0]} and {state.a[rows[r]].part.pieces[0]}"
                )
