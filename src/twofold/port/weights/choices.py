"""What shapes and layer types leave open: candidate moves, among which the forward decides.

Tensors of the same kind and shape share a choice, as the code that uses them shares a convention.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Final, Literal, final

from twofold.port.weights.axes import Axes, Axis, Group
from twofold.port.weights.compose import ways
from twofold.port.weights.links import Move
from twofold.port.weights.nodes import Node
from twofold.port.weights.packing import output_axis
from twofold.port.weights.pairs import Pair, Pairing
from twofold.port.weights.pieces import Piece

_MOST: Final = 8


@final
@dataclass(frozen=True)
class Choice:
    """An open question: `candidates` are the moves of each answer, the most likely first.

    `kind` is "axes" (an order that shapes leave open), "packing" (how parts lie in one matrix) or
    "flattening" (whether a port flattens feature maps in its own layout, and its weights follow).
    """

    kind: Literal["axes", "packing", "flattening"]
    question: str
    candidates: tuple[tuple[Move, ...], ...]


def moves_and_choices(pairing: Pairing) -> tuple[tuple[Move, ...], tuple[Choice, ...]]:
    """Moves that are certain, and choices for the others."""
    pairs = pairing.pairs()
    certain: list[Move] = []
    choices: list[Choice] = []
    packs, plain = _separated(pairs)
    for choice in map(_packed, packs):
        if len(choice.candidates) > 1:
            choices.append(choice)
        else:
            certain += choice.candidates[0]
    usual = {(_kind(p), str(w[0])) for p in plain if len(w := _ways(p)) == 1}
    open_pairs: dict[tuple[object, ...], list[Pair]] = defaultdict(list)
    for pair in plain:
        flat = _flattened(pairing, pair)
        if flat:
            choices.append(
                Choice("flattening", f"order of what {pair.original.name} flattens", flat)
            )
        elif len(_ways(pair)) > 1:
            open_pairs[_kind(pair), pair.original.shape, pair.port.shape].append(pair)
        else:
            certain += _moves(pair, _ways(pair)[0])
    for same in open_pairs.values():
        order = sorted(_ways(same[0]), key=lambda way: (_kind(same[0]), str(way)) not in usual)
        candidates = tuple(
            tuple(move for pair in same for move in _moves(pair, way)) for way in order
        )
        choices.append(Choice("axes", f"axes of {same[0].original.name}", candidates))
    return tuple(certain), tuple(choices)


def _separated(pairs: Iterable[Pair]) -> tuple[list[list[list[Pair]]], list[Pair]]:
    """Packs, those of the same shape together, and the pairs in none."""
    packs: dict[tuple[bool, int], list[Pair]] = defaultdict(list)
    plain: list[Pair] = []
    for pair in pairs:
        pack = pair.original.pack if pair.original.pack is not None else pair.port.pack
        if pack is None or not _ways(pair):
            plain.append(pair)
        else:
            packs[pair.original.pack is None, pack].append(pair)
    same: dict[object, list[list[Pair]]] = defaultdict(list)
    for (turned, _), members in packs.items():
        shapes = tuple(
            (pair.original.shape, pair.port.shape, pair.original.role) for pair in members
        )
        same[turned, shapes].append(members)
    return list(same.values()), plain


def _kind(pair: Pair) -> tuple[object, ...]:
    one, other = pair.original, pair.port
    return one.owner, one.role, len(one.shape), other.owner, other.role, len(other.shape)


def _ways(pair: Pair) -> tuple[Axes, ...]:
    one, other = pair.original, pair.port
    return ways(one.part.reading, one.shape, other.part.reading, other.shape)


def _moves(pair: Pair, axes: Axes) -> Iterator[Move]:
    """One move, or one for each of the pieces that a sum is made of."""
    left, right = pair.original.part.pieces, pair.port.part.pieces
    merged = len(left) != len(right)
    if not merged:
        for one, other in zip(left, right, strict=True):
            yield Move(one, other, axes, pair.how)
        return
    for one, other in itertools.product(left, right):
        yield Move(one, other, axes, pair.how, merged=True)


# Packed matrices


def _packed(packs: Sequence[Sequence[Pair]]) -> Choice:
    """Side by side, or interleaved head by head; in other orders where names do not say it."""
    candidates = [tuple(m for members in packs for p in members for m in _moves(p, _ways(p)[0]))]
    for interleaved in _interleavings(packs):
        candidates.append(interleaved)
    names = [packs[0][0].original.name, packs[0][0].port.name]
    return Choice(
        "packing", f"parts of {names[packs[0][0].original.pack is None]}", tuple(candidates)
    )


def _interleavings(packs: Sequence[Sequence[Pair]]) -> Iterator[tuple[Move, ...]]:
    turned = packs[0][0].original.pack is None
    first = packs[0][0]
    fused = first.port if turned else first.original
    kernels = [pair for pair in packs[0] if pair.original.heavy]
    sizes = {_outputs(pair.port if turned else pair.original) for pair in kernels}
    if len(sizes) != 1 or fused.part.reading is None:
        return
    [size] = sizes
    for heads in _heads(first, size, turned):
        moves: list[Move] = []
        for members in packs:
            for pair in members:
                move = _interleaved(pair, heads, size, len(kernels), turned)
                if move is None:
                    return
                moves.append(move)
        yield tuple(moves)


def _outputs(node: Node) -> int:
    axis = output_axis(node)
    return node.shape[axis] if axis is not None else 0


def _heads(pair: Pair, size: int, turned: bool) -> list[int]:
    """How many heads there may be: as the other side's shape says, else every divisor."""
    other = pair.original if turned else pair.port
    reading = other.part.reading or ()
    parts = [n for label, n in zip(reading, other.shape, strict=True) if label.startswith("out.")]
    if len(parts) == 2:
        return [parts[0]]
    return [heads for heads in range(2, size + 1) if size % heads == 0][:_MOST]


def _interleaved(pair: Pair, heads: int, size: int, parts: int, turned: bool) -> Move | None:
    """The move of one part where the outputs are (heads, parts, size of a head)."""
    fused = pair.port if turned else pair.original
    piece, *more = fused.part.pieces
    entry = next((e for e in piece.index if not isinstance(e, int) and e != (0, -1)), None)
    axis = output_axis(fused)
    if entry is None or axis is None or more:
        return None
    start = entry[0] // size
    axes = _ways(pair)[0]
    sides = [list(axes.left), list(axes.right)]
    whole = sides[turned][axis]
    split = tuple(replace(a, size=None) for a in whole if a.name)
    if len(split) == 1:
        split = (Axis("heads"), Axis("dim", size // heads))
        for side in sides:
            for place, group in enumerate(side):
                side[place] = tuple(
                    x for a in group for x in (split if a.name == whole[0].name else (a,))
                )
    named = [axis for axis in sides[turned][axis] if axis.name]
    dim = Axis(named[-1].name, size // heads)
    sides[turned][axis] = (replace(named[0], size=None), Axis("", parts, index=start), dim)
    lead = tuple(e for e in piece.index if isinstance(e, int))
    new = Piece(piece.name, lead)
    one = pair.original.part.pieces[0] if turned else new
    other = new if turned else pair.port.part.pieces[0]
    return Move(one, other, Axes(tuple(sides[0]), tuple(sides[1])), pair.how)


# Feature maps that are flattened


def _flattened(pairing: Pairing, pair: Pair) -> tuple[tuple[Move, ...], ...]:
    """Ways of a matrix behind a convolution, whose inputs may be ordered by channel or by place."""
    left, right = pair.original.part.reading, pair.port.part.reading
    if left is None or right is None or not set(left) == set(right) == {"in", "out"}:
        return ()
    before, other = _maps_before(pairing.a, pair.original), _maps_before(pairing.b, pair.port)
    if before is None or other is None or before[0] != other[0]:
        return ()
    (channels, first), (_, second) = before, other
    inputs = pair.original.shape[left.index("in")]
    places = inputs // channels
    if inputs % channels or places == 1 or first == second:
        return ()
    found = [_ways(pair)[0]]
    for high, wide in _rectangles(places):
        found.append(_reordered(found[0], (channels, high, wide), channels_first=first))
    return tuple(tuple(_moves(pair, axes)) for axes in found)


def _maps_before(nodes: Sequence[Node], node: Node) -> tuple[int, bool] | None:
    """Channels of the convolution nearest upstream, and whether its kernel has channels first."""
    todo, seen = set(node.after), set(node.after)
    while todo:
        index = max(todo)
        todo.discard(index)
        near = nodes[index]
        if near.operation == "convolve" and near.part.reading and near.heavy:
            sizes = zip(near.part.reading, near.shape, strict=True)
            return prod(n for label, n in sizes if label.startswith("out")), (
                "in" in near.part.reading[-1] or "out" in near.part.reading[0]
            )
        if near.heavy:
            return None
        todo |= near.after - seen
        seen |= near.after
    return None


def _rectangles(places: int) -> list[tuple[int, int]]:
    """Heights and widths of so many places, the squarest first."""
    pairs = [(high, places // high) for high in range(1, places + 1) if places % high == 0]
    return sorted(pairs, key=lambda pair: abs(pair[0] - pair[1]))[:_MOST]


def _reordered(axes: Axes, sizes: tuple[int, int, int], *, channels_first: bool) -> Axes:
    """Inputs as (channels, height, width) on one side, (height, width, channels) on the other."""
    c, h, w = (Axis(name, size) for name, size in zip("chw", sizes, strict=True))
    orders: tuple[Group, Group] = ((c, h, w), (h, w, c))
    if not channels_first:
        orders = orders[::-1]
    return Axes(_with_inputs(axes.left, orders[0]), _with_inputs(axes.right, orders[1]))


def _with_inputs(side: tuple[Group, ...], order: Group) -> tuple[Group, ...]:
    inputs = (replace(order[0], size=None), *order[1:])
    return tuple(inputs if group[0].name == "in" else group for group in side)
