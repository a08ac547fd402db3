"""Packed matrices found in the order of use, and split so that each part has a partner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Final, TypeAlias

from twofold.port.weights.alignment import Match, align
from twofold.port.weights.nodes import Node
from twofold.port.weights.packing import Sizes, can_pack, output_axis, split
from twofold.port.weights.pairs import Pairing
from twofold.port.weights.paths import words

_SLIGHT: Final = 0.05
_Packed: TypeAlias = tuple[dict[int, tuple[int, Sizes]], dict[int, tuple[int, Sizes]]]


def with_packs(state: Pairing) -> Pairing:
    """Find matrices that stand against several, and split them and their biases."""
    heavy_a, heavy_b = (
        [i for i, node in enumerate(side) if node.heavy and node.use is not None]
        for side in (state.a, state.b)
    )
    wide: _Packed = ({}, {})
    members: list[tuple[int, list[int], bool]] = []
    for lefts, rights in _aligned(state, heavy_a, heavy_b):
        if len(lefts) == len(rights):
            continue
        turned = len(lefts) > 1
        side, others = (state.b, state.a) if turned else (state.a, state.b)
        whole = heavy_b[rights[0]] if turned else heavy_a[lefts[0]]
        parts = [heavy_a[p] for p in lefts] if turned else [heavy_b[p] for p in rights]
        if not turned:
            parts = _in_order_of_names(others, parts)
        wide[turned][whole] = len(members), _sizes(side[whole], [others[part] for part in parts])
        for bias in _biases(side, whole):
            wide[turned][bias] = wide[turned][whole]
        members.append((whole, parts, turned))
    return _split(state, wide, members)


def _aligned(state: Pairing, heavy_a: Sequence[int], heavy_b: Sequence[int]) -> list[Match]:
    """The matrices of both sides in the order of use, aligned."""
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
    return align(cost, packs, gaps[0], gaps[1])


def _sizes(whole: Node, parts: Sequence[Node]) -> Sizes:
    """How many outputs each part has."""
    outputs = prod(
        size
        for label, size in zip(whole.part.reading or (), whole.shape, strict=False)
        if label.startswith("out")
    )
    rest = whole.size // (outputs if whole.part.reading else whole.shape[output_axis(whole) or 0])
    return tuple(part.size // rest for part in parts)


def _biases(nodes: Sequence[Node], kernel: int) -> list[int]:
    size = sum(_sizes(nodes[kernel], [nodes[kernel]]))
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


def _split(
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
