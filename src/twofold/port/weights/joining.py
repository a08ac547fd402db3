"""Moves of neighbouring pieces as one: four gates that lie alike on both sides are one tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from twofold.port.weights.axes import Axes, Group
from twofold.port.weights.links import Move
from twofold.port.weights.pieces import ALL, Index, Piece

Shapes = Mapping[str, tuple[int, ...]]


def joined(moves: Iterable[Move], original: Shapes, port: Shapes) -> tuple[Move, ...]:
    """The same moves, with those joined whose pieces follow each other on both sides alike."""
    result: list[Move] = []
    last: dict[tuple[str, str, bool], int] = {}
    for move in moves:
        key = move.original.name, move.port.name, move.merged
        before = last.get(key)
        both = _join(result[before], move) if before is not None else None
        if both is not None and before is not None:
            result[before] = both
        else:
            last[key] = len(result)
            result.append(move)
    return tuple(
        replace(m, original=_whole(m.original, original), port=_whole(m.port, port)) for m in result
    )


def _join(one: Move, other: Move) -> Move | None:
    if one.how != other.how or _pattern(one.axes) != _pattern(other.axes):
        return None
    places = _range(one.original.index), _range(one.port.index)
    following = _range(other.original.index), _range(other.port.index)
    names = []
    for place, after, groups in zip(
        places, following, (one.axes.left, one.axes.right), strict=True
    ):
        if place is None or after is None:
            return None
        if place[0] != after[0] or place[2] != after[1]:
            return None
        names.append(groups[place[0]][0].name)
    if names[0] != names[1] or not names[0]:
        return None
    left = _longer(one.original, other.original)
    right = _longer(one.port, other.port)
    if left is None or right is None:
        return None
    return replace(one, original=left, port=right)


def _pattern(axes: Axes) -> tuple[tuple[Group, ...], tuple[Group, ...]]:
    return axes.left, axes.right


def _range(index: Index) -> tuple[int, int, int] | None:
    """The one axis with a range, as the dimension of the piece, its start and stop."""
    found = None
    dimension = 0
    for entry in index:
        if isinstance(entry, int):
            continue
        if entry != ALL:
            if found is not None:
                return None
            found = dimension, *entry
        dimension += 1
    return found


def _longer(one: Piece, other: Piece) -> Piece | None:
    """The piece of both together; None where they differ in more than one range."""
    if len(one.index) != len(other.index):
        return None
    entries: list[int | tuple[int, int]] = []
    for a, b in zip(one.index, other.index, strict=True):
        if a == b:
            entries.append(a)
        elif isinstance(a, int) or isinstance(b, int):
            return None
        else:
            entries.append((a[0], b[1]))
    return Piece(one.name, tuple(entries))


def _whole(piece: Piece, shapes: Shapes) -> Piece:
    """The piece without ranges that take all of an axis."""
    shape = shapes[piece.name]
    entries = [
        ALL if entry == (0, size) else entry
        for entry, size in zip(piece.index, shape, strict=False)
    ]
    while entries and entries[-1] == ALL:
        entries.pop()
    return Piece(piece.name, tuple(entries))
