"""One matrix against several: its nodes are split so that each stands against one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twofold.port.weights.nodes import Node
from twofold.port.weights.pieces import ALL, Piece

Sizes = tuple[int, ...]


def can_pack(whole: Node, parts: Sequence[Node]) -> bool:
    """Whether matrices can lie in another one side by side along its outputs."""
    if whole.alias or any(part.alias or part.role != parts[0].role for part in parts):
        return False
    if whole.role and parts[0].role and whole.role != parts[0].role:
        return False
    if sum(part.size for part in parts) != whole.size or whole.role == "embedding":
        return False
    axis = output_axis(whole)
    if axis is None or len(whole.part.pieces) > 1:
        return False
    rest = whole.size // whole.shape[axis]
    return all(part.size % rest == 0 and _inputs(part) in (None, rest) for part in parts)


def output_axis(node: Node) -> int | None:
    """The one axis along which outputs lie; guessed for a matrix of which nothing is known."""
    reading = node.part.reading
    if reading is not None:
        places = [axis for axis, label in enumerate(reading) if label == "out"]
        return places[0] if len(places) == 1 else None
    return {1: 0, 2: 1}.get(len(node.shape))


def _inputs(node: Node) -> int | None:
    """The size of everything but the outputs; None if unknown."""
    if node.part.reading is None or len(node.part.reading) != len(node.shape):
        return None
    size = 1
    for label, length in zip(node.part.reading, node.shape, strict=True):
        size *= 1 if label.startswith("out") else length
    return size


def split(
    nodes: Sequence[Node], packed: dict[int, tuple[int, Sizes]]
) -> tuple[list[Node], list[list[int]]]:
    """Nodes with some of them split along their outputs, and the new places of each old one.

    `packed` has the number of the pack and the sizes of its parts by the place of a node. A part
    that follows a node split in as many is linked to its own part of that.
    """
    places: list[list[int]] = []
    count = 0
    for index in range(len(nodes)):
        parts = len(packed[index][1]) if index in packed else 1
        places.append(list(range(count, count + parts)))
        count += parts
    result: list[Node] = []
    for index, node in enumerate(nodes):
        after = frozenset(new for old in node.after for new in places[old])
        if index not in packed:
            result.append(replace(node, after=after))
            continue
        number, sizes = packed[index]
        before = [places[old] for old in node.after]
        start = 0
        axis = output_axis(node)
        assert axis is not None, "only nodes with outputs along one axis are packed"
        for part, size in enumerate(sizes):
            pairwise = len(before) == 1 and len(before[0]) == len(sizes)
            own = frozenset((before[0][part],)) if pairwise else after
            piece = _piece(node, axis, start, start + size, own)
            result.append(replace(piece, pack=number))
            start += size
    return result, places


def _piece(node: Node, axis: int, start: int, stop: int, after: frozenset[int]) -> Node:
    [piece] = node.part.pieces
    lead = sum(isinstance(entry, int) for entry in piece.index)
    index = [*piece.index, *[ALL] * (lead + axis - len(piece.index)), (start, stop)]
    if len(piece.index) > lead + axis:  # already a range along this axis
        first = piece.index[lead + axis]
        base = 0 if isinstance(first, int) else first[0]
        index = [*piece.index[: lead + axis], (base + start, base + stop)]
    shape = tuple(stop - start if a == axis else size for a, size in enumerate(node.shape))
    part = replace(node.part, pieces=(Piece(piece.name, tuple(index)),))
    return replace(node, part=part, shape=shape, after=after)
