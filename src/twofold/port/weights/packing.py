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
    if part_axis(whole, len(parts)) is not None:
        return all(part.size == parts[0].size for part in parts)
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


def part_axis(node: Node, parts: int) -> int | None:
    """An axis of the outputs that counts the parts: (in, 3, heads, dim)."""
    reading = node.part.reading or ()
    several = [axis for axis, label in enumerate(reading) if label.startswith("out.")]
    counting = [axis for axis in several if node.shape[axis] == parts]
    return counting[0] if len(several) > 1 and counting and len(node.part.pieces) == 1 else None


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
        for part, size in enumerate(sizes):
            pairwise = len(before) == 1 and len(before[0]) == len(sizes)
            own = frozenset((before[0][part],)) if pairwise else after
            counting = part_axis(node, len(sizes))
            piece = (
                _range(node, start, start + size)
                if counting is None
                else _one(node, counting, part)
            )
            result.append(replace(piece, pack=number, after=own))
            start += size
    return result, places


def _range(node: Node, start: int, stop: int) -> Node:
    """The part of a node from start to stop along its outputs."""
    axis = output_axis(node)
    assert axis is not None, "only nodes with outputs along one axis are packed so"
    [piece] = node.part.pieces
    lead = sum(isinstance(entry, int) for entry in piece.index)
    index = (*piece.index, *[ALL] * (lead + axis - len(piece.index)), (start, stop))
    shape = tuple(stop - start if a == axis else size for a, size in enumerate(node.shape))
    part = replace(node.part, pieces=(Piece(piece.name, index),))
    return replace(node, part=part, shape=shape)


def _one(node: Node, axis: int, place: int) -> Node:
    """The part of a node at one place of the axis that counts the parts."""
    [piece] = node.part.pieces
    lead = sum(isinstance(entry, int) for entry in piece.index)
    index = (*piece.index, *[ALL] * (lead + axis - len(piece.index)), place)
    reading = node.part.reading or ()
    part = replace(
        node.part,
        pieces=(Piece(piece.name, index),),
        reading=(*reading[:axis], *reading[axis + 1 :]),
    )
    return replace(node, part=part, shape=(*node.shape[:axis], *node.shape[axis + 1 :]))
