"""Which node of the original is which node of the port.

In this order: the only one of its layer type and size; the same path; the order of first use in
both programs, with packed projections, surroundings in the flow of data and shared words of paths;
for what no program uses, paths and the order of definition.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from twofold.port.weights.alignment import assign
from twofold.port.weights.cells import twin_of
from twofold.port.weights.nearness import Nearness
from twofold.port.weights.nodes import Node
from twofold.port.weights.packs import with_packs
from twofold.port.weights.pairs import Pairing
from twofold.port.weights.paths import twins
from twofold.port.weights.pieces import Piece


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
    state = with_packs(state)
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


def _by_use(state: Pairing) -> None:
    """The least total cost of what is left, matrices first, then vectors beside them."""
    near = Nearness(state)
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
