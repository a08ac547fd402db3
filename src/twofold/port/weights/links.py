"""Which part of the original is which part of the port, and the arrays carried over and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

import numpy as np

from twofold.errors import BadInput
from twofold.port.side import Array
from twofold.port.weights.axes import Axes, Group
from twofold.port.weights.pieces import Piece

How: TypeAlias = Literal["layer type", "path", "first use", "shape", "float64", "given"]
Kind: TypeAlias = Literal["one", "packed", "tied", "merged"]
Part: TypeAlias = tuple[Piece, tuple[str, ...]]
"""A piece and the indices that are taken of its interleaved axes: a set of elements."""
What: TypeAlias = Literal["values", "gradients"]


@final
@dataclass(frozen=True)
class Move:
    """A piece of the original and the piece of the port that holds the same numbers.

    Several moves to one piece are added where they are `merged`. Where they are not, the piece is
    one tensor that is several on the other side (tied): copies, which must be equal.
    """

    original: Piece
    port: Piece
    axes: Axes
    how: How
    merged: bool = False

    @property
    def original_part(self) -> Part:
        """The elements of the original that move."""
        return self.original, _indices(self.axes.left)

    @property
    def port_part(self) -> Part:
        """The elements of the port that they become."""
        return self.port, _indices(self.axes.right)

    def elements(self, array: Array, *, port: bool) -> Array:
        """A view of the elements of a tensor of one side that move. Raises BadInput."""
        piece = self.port if port else self.original
        return self.axes.elements(piece.view(array), right=port)


def _indices(groups: Sequence[Group]) -> tuple[str, ...]:
    """Which indices are taken of axes that are interleaved."""
    return tuple(str(axis) for group in groups for axis in group if axis.taken)


@final
@dataclass(frozen=True)
class Link:
    """Tensors that belong together, by name, with everything that moves between them.

    `kind` is "packed" where several tensors stand against one, "merged" where tensors are added,
    "tied" where one tensor has several names. `how` is the weakest way by which a part was found.
    """

    original: tuple[str, ...]
    port: tuple[str, ...]
    transform: tuple[Move, ...]
    kind: Kind
    how: How


_STRENGTH: Sequence[How] = ("given", "layer type", "path", "first use", "shape", "float64")


def links_of(moves: Iterable[Move]) -> tuple[Link, ...]:
    """Moves taken together by the tensors that they share, in the order of the moves."""
    groups: list[list[Move]] = []
    of_name: dict[tuple[bool, str], list[Move]] = {}
    for move in moves:
        keys = ((False, move.original.name), (True, move.port.name))
        near = [of_name[key] for key in keys if key in of_name]
        group = near[0] if near else []
        if not near:
            groups.append(group)
        if len(near) == 2 and near[1] is not group:
            group += near[1]
            groups = [other for other in groups if other is not near[1]]
        group.append(move)
        for each in group:
            of_name[False, each.original.name] = of_name[True, each.port.name] = group
    return tuple(_link(group) for group in groups)


def _link(moves: Sequence[Move]) -> Link:
    originals = tuple(dict.fromkeys(move.original.name for move in moves))
    ports = tuple(dict.fromkeys(move.port.name for move in moves))
    parts = {move.original_part for move in moves}, {move.port_part for move in moves}
    if any(move.merged for move in moves):
        kind: Kind = "merged"
    elif len(parts[0]) < len(moves) or len(parts[1]) < len(moves):
        kind = "tied"
    else:
        kind = "packed" if len(originals) + len(ports) > 2 else "one"
    how = max((move.how for move in moves), key=_STRENGTH.index)
    return Link(originals, ports, tuple(moves), kind, how)


def carry(
    links: Iterable[Link],
    tensors: Mapping[str, Array],
    shapes: Mapping[str, tuple[int, ...]],
    what: What = "values",
    *,
    back: bool = False,
) -> dict[str, Array]:
    """The tensors of one side in the names and layouts of the other.

    `shapes` are those of the other side. Links of which a tensor is missing are passed over. What
    no move reaches of a tensor is zero. Values of merged pieces are added, and back the first gets
    all; gradients are those of a function of the merged or tied tensor, so the other way round.
    Raises BadInput for shapes that do not fit, and for tied tensors that are not equal.
    """
    result: dict[str, Array] = {}
    for link in links:
        sources, targets = (link.port, link.original) if back else (link.original, link.port)
        if not all(name in tensors for name in sources):
            continue
        if what == "gradients" and _cannot_split(link, back):
            continue
        for name in targets:
            kinds = {tensors[source].dtype for source in sources}
            dtype = np.result_type(*kinds) if len(kinds) > 1 else kinds.pop()
            result[name] = np.zeros(shapes[name], dtype)
        _carry_link(link, tensors, result, what, back=back)
    return result


def _cannot_split(link: Link, back: bool) -> bool:
    """Whether a gradient here is the sum of several there, so that it says nothing of each."""
    if link.kind != "tied":
        return False
    shared = [move.port_part if back else move.original_part for move in link.transform]
    return len(set(shared)) < len(shared)


def _carry_link(
    link: Link,
    tensors: Mapping[str, Array],
    result: dict[str, Array],
    what: What,
    *,
    back: bool,
) -> None:
    shared = Counter(move.port_part for move in link.transform)
    written: set[Part] = set()
    given: set[Part] = set()
    for move in link.transform:
        source, target = move.original_part, move.port_part
        if back:
            source, target = target, source
        new, old = _views(move, tensors, result, back=back)
        adds = what == "gradients"
        if move.merged:
            to_sum = (shared[move.port_part] > 1) != back
            adds = to_sum and what == "values"
            if not to_sum and what == "values" and source in given:
                continue  # the first of several holds all of the sum, the others stay zero
        if target not in written:
            old[...] = new
        elif adds:
            old += new
        elif not move.merged and what == "values":
            _require_equal(move, new, old, back=back)
        written.add(target)
        given.add(source)


def _views(
    move: Move, tensors: Mapping[str, Array], result: Mapping[str, Array], *, back: bool
) -> tuple[Array, Array]:
    """What is given and where it goes, in the same order of axes."""
    left = move.original.view((result if back else tensors)[move.original.name])
    right = move.port.view((tensors if back else result)[move.port.name])
    try:
        a, b = move.axes.views(left, right)
    except BadInput as error:
        raise BadInput(f"{move.original} and {move.port}: {error}") from error
    return (b, a) if back else (a, b)


def _require_equal(move: Move, new: Array, old: Array, *, back: bool) -> None:
    if new.tobytes() != old.tobytes():
        source, target = (move.port, move.original) if back else (move.original, move.port)
        raise BadInput(
            f"{source}: its values are not those of the other tensors that become {target}, "
            "which the other side uses for all of them; allowed are equal values"
        )
