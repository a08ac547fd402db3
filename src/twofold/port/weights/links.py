"""Which part of the original is which part of the port, and the arrays carried over and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, final

import numpy as np

from twofold.errors import BadInput
from twofold.port.side import Array
from twofold.port.weights.axes import Axes
from twofold.port.weights.pieces import Piece

How: TypeAlias = Literal["layer type", "path", "first use", "shape", "float64", "given"]
Kind: TypeAlias = Literal["one", "packed", "tied", "merged"]
What: TypeAlias = Literal["values", "gradients"]


@final
@dataclass(frozen=True)
class Move:
    """A piece of the original and the piece of the port that holds the same numbers.

    Several moves to one piece of the port are added where they are `merged` and must be equal where
    they are not (tied in the port alone); several from one piece are copies (tied in the original).
    """

    original: Piece
    port: Piece
    axes: Axes
    how: How
    merged: bool = False

    @property
    def turned(self) -> Move:
        """The same between the sides exchanged."""
        return replace(self, original=self.port, port=self.original)


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
    pieces = {move.original for move in moves}, {move.port for move in moves}
    if any(move.merged for move in moves):
        kind: Kind = "merged"
    elif len(pieces[0]) < len(moves) or len(pieces[1]) < len(moves):
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
        written: set[Piece] = set()
        given: set[Piece] = set()
        for move in link.transform:
            _carry_one(move, tensors, result, written, given, what, back=back)
    return result


def _cannot_split(link: Link, back: bool) -> bool:
    """Whether a gradient here is the sum of several there, so that it says nothing of each."""
    if link.kind != "tied":
        return False
    shared = [move.port if back else move.original for move in link.transform]
    return len(set(shared)) < len(shared)


def _carry_one(
    move: Move,
    tensors: Mapping[str, Array],
    result: dict[str, Array],
    written: set[Piece],
    given: set[Piece],
    what: What,
    *,
    back: bool,
) -> None:
    source, target = (move.port, move.original) if back else (move.original, move.port)
    left = move.original.view((result if back else tensors)[move.original.name])
    right = move.port.view((tensors if back else result)[move.port.name])
    try:
        a, b = move.axes.views(left, right)
    except BadInput as error:
        raise BadInput(f"{move.original} and {move.port}: {error}") from error
    new, old = (b, a) if back else (a, b)
    first = target not in written
    written.add(target)
    if move.merged:
        if not back and what == "values":
            old[...] = new if first else old + new
        elif back and what == "values" and source in given:
            old[...] = 0
        elif back or first:
            old[...] = new
        given.add(source)
    elif first:
        old[...] = new
    elif what == "gradients":
        old += new
    elif not back and not np.array_equal(old, new, equal_nan=bool(np.isnan(new).any())):
        raise BadInput(
            f"{move.original}: its values are not those of the other tensors that become "
            f"{move.port}, which the port uses for all of them; allowed are equal values"
        )
