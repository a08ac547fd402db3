"""Find the mapping of two programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from twofold.port.weights.cells import has_cells
from twofold.port.weights.choices import Choice, moves_and_choices
from twofold.port.weights.links import Move
from twofold.port.weights.nodes import Program, nodes_of
from twofold.port.weights.pairing import pair_nodes
from twofold.port.weights.pairs import Pairing
from twofold.port.weights.paths import twins
from twofold.port.weights.weights import Inventory, Weights


def find(original: Program, port: Program, given: Sequence[Move] = ()) -> Weights:
    """Which tensor of the original is which of the port.

    `given` are moves that a person says; what they touch is theirs, the rest is found. What shapes
    leave open is in `open_choices`; `Weights.settle` decides it.
    """
    gates = has_cells(original.modules) and has_cells(port.modules)
    pairing = pair_nodes(
        nodes_of(original, gates=gates),
        nodes_of(port, gates=gates),
        [(move.original, move.port) for move in given],
    )
    certain, choices = moves_and_choices(pairing)
    certain, choices = _without(given, certain, choices)
    sides = [Inventory.of(program.tensors.values(), program.label) for program in (original, port)]
    equals = tuple(
        f"{pairing.equal[i]}: either could be {pairing.b[j].part.pieces[0]}; nothing tells them "
        "apart; name them in the mapping"
        for i, (j, _) in pairing.found.items()
        if i in pairing.equal
    )
    return Weights(
        original=sides[0],
        port=sides[1],
        certain=(*given, *_first_names(certain, sides)),
        open_choices=tuple(
            replace(c, candidates=tuple(tuple(_first_names(m, sides)) for m in c.candidates))
            for c in choices
        ),
        picks=(0,) * len(choices),
        doubts=(*equals, *_unfit(pairing)),
    )


def _unfit(pairing: Pairing) -> Iterator[str]:
    """Sentences on tensors that have the same path and cannot hold the same numbers."""
    free = pairing.free()
    nodes = [
        [side[index] for index in indices if not side[index].alias]
        for side, indices in zip((pairing.a, pairing.b), free, strict=True)
    ]
    for i, j in twins(*([node.part.path for node in side] for side in nodes)):
        one, other = nodes[0][i], nodes[1][j]
        yield (
            f"{one.part.pieces[0]} {one.shape} and {other.part.pieces[0]} {other.shape} have the "
            "same path, but such shapes cannot hold the same numbers"
        )


def _without(
    given: Sequence[Move], certain: Iterable[Move], choices: Iterable[Choice]
) -> tuple[tuple[Move, ...], tuple[Choice, ...]]:
    """What is found where nothing is given."""

    def kept(moves: Iterable[Move]) -> tuple[Move, ...]:
        return tuple(
            move
            for move in moves
            if not any(
                move.original.meets(other.original) or move.port.meets(other.port)
                for other in given
            )
        )

    left = (
        replace(choice, candidates=tuple(kept(several) for several in choice.candidates))
        for choice in choices
    )
    return kept(certain), tuple(choice for choice in left if any(choice.candidates))


def _first_names(moves: Iterable[Move], sides: list[Inventory]) -> list[Move]:
    """Moves under the first name of each tied tensor, once where both names move alike."""
    found: list[Move] = []
    for move in moves:
        one, other = move.original, move.port
        renamed = replace(
            move,
            original=replace(one, name=sides[0].tied.get(one.name, one.name)),
            port=replace(other, name=sides[1].tied.get(other.name, other.name)),
        )
        if not any(_repeats(renamed, earlier) for earlier in found):
            found.append(renamed)
    return found


def _repeats(move: Move, earlier: Move) -> bool:
    """Whether an earlier move says the same: counted twice, a gradient would be a sum."""
    same_pieces = move.original == earlier.original and move.port == earlier.port
    return same_pieces and move.axes.moves_as(earlier.axes)
