"""The mapping between two sides: what corresponds to what, carried over and back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any, Final, NoReturn, final

import numpy as np

from twofold.errors import BadInput
from twofold.port.side import Array, Tensor
from twofold.port.weights.choices import Choice
from twofold.port.weights.joining import joined
from twofold.port.weights.links import Link, Move, What, carry, links_of
from twofold.port.weights.pieces import Piece
from twofold.port.weights.states import arrays_of

ENOUGH: Final = 64.0
TRIALS: Final = 256


@final
@dataclass(frozen=True)
class Inventory:
    """What a side has, as far as a mapping needs it: shapes, second names, kinds of layers."""

    label: str
    shapes: Mapping[str, tuple[int, ...]]
    tied: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, tensors: Iterable[Tensor], label: str = "") -> Inventory:
        """Of a side's tensors."""
        every = list(tensors)
        tied = {tensor.name: tensor.tied_to for tensor in every if tensor.tied_to is not None}
        return cls(
            label,
            {t.name: tuple(t.value.shape) for t in every if t.name not in tied},
            tied,
            {t.module: t.owner for t in every if t.owner},
        )


@final
@dataclass(frozen=True)
class Weights:
    """Which tensor of the original is which of the port, and the arrays of one as the other's.

    `certain` are moves that are decided; `open_choices` has the candidates for the rest, of which
    `picks` says the one in use. `doubts` are sentences about what could as well be otherwise.
    """

    original: Inventory
    port: Inventory
    certain: tuple[Move, ...]
    open_choices: tuple[Choice, ...] = ()
    picks: tuple[int, ...] = ()
    doubts: tuple[str, ...] = ()

    @cached_property
    def moves(self) -> tuple[Move, ...]:
        """All moves in use, in the order in which the original defines its tensors."""
        chosen = (c.candidates[p] for c, p in zip(self.open_choices, self.picks, strict=True))
        moves = [*self.certain, *itertools.chain.from_iterable(chosen)]
        place = {name: index for index, name in enumerate(self.original.shapes)}
        moves.sort(key=lambda move: place[move.original.name])
        return joined(moves, self.original.shapes, self.port.shapes)

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """Moves taken together by the tensors that they share."""
        return links_of(self.moves)

    @cached_property
    def loose_original(self) -> Mapping[str, Array]:
        """Elements of the original without a partner: name to a mask of the tensor's shape."""
        return _loose(self.original.shapes, self.moves, port=False)

    @cached_property
    def loose_port(self) -> Mapping[str, Array]:
        """Elements of the port without a partner: name to a mask of the tensor's shape."""
        return _loose(self.port.shapes, self.moves, port=True)

    @property
    def left_over(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Tensors without a partner of the original and of the port, parts as "name[16:24]"."""
        return (
            tuple(map(str, _left_over(self.loose_original))),
            tuple(map(str, _left_over(self.loose_port))),
        )

    def to_port(self, tensors: Mapping[str, Array], what: What = "values") -> dict[str, Array]:
        """Tensors of the original in the names and layouts of the port.

        Links of which a tensor is missing are passed over. Raises BadInput for other shapes, and
        for tensors that differ where the port has only one.
        """
        self._require_shapes(tensors, self.original)
        return carry(self.links, tensors, self.port.shapes, what)

    def to_original(self, tensors: Mapping[str, Array], what: What = "values") -> dict[str, Array]:
        """Tensors of the port in the names and layouts of the original; as `to_port`, back."""
        self._require_shapes(tensors, self.port)
        return carry(self.links, tensors, self.original.shapes, what, back=True)

    def convert(self, state: Mapping[str, Any]) -> dict[str, Array]:
        """A state of the original, such as a PyTorch state dict, as the port's tensors.

        Arrays or anything with `numpy()`. Every tensor with a partner has to be there. What is left
        over on the port's side is not in the result. Raises BadInput.
        """
        return self.to_port(self._whole(state, self.original, self.loose_original))

    def convert_back(self, state: Mapping[str, Any]) -> dict[str, Array]:
        """The port's tensors as a state of the original. Raises BadInput."""
        return self.to_original(self._whole(state, self.port, self.loose_port))

    def settle(
        self,
        distance: Callable[[Weights], float],
        enough: float = ENOUGH,
    ) -> Weights:
        """Decide what is open: the candidates, most likely first, until `distance` is small.

        `distance` says how far the two forwards are apart with a mapping (the largest ratio in
        float64; not a number is never small). All combinations are tried up to a limit, beyond it
        one choice after the other. Of equally good ones the more likely stays.
        """
        if not self.open_choices:
            return self
        best, least = self, _number(distance(self))
        for picks in self._combinations():
            if least <= enough:
                break
            trial = replace(best, picks=picks)
            found = _number(distance(trial))
            if found < least:
                best, least = trial, found
        if least > enough:
            best, least = self._one_by_one(best, least, distance, enough)
        return best._decided() if least <= enough else best

    def _combinations(self) -> Iterator[tuple[int, ...]]:
        counts = [len(choice.candidates) for choice in self.open_choices]
        if prod(counts) > TRIALS:
            return
        every = itertools.product(*(range(count) for count in counts))
        yield from sorted(every, key=lambda picks: (sum(picks), picks))[1:]

    def _one_by_one(
        self, best: Weights, least: float, distance: Callable[[Weights], float], enough: float
    ) -> tuple[Weights, float]:
        for place, choice in enumerate(self.open_choices):
            for pick in range(len(choice.candidates)):
                if least <= enough:
                    return best, least
                picks = (*best.picks[:place], pick, *best.picks[place + 1 :])
                if picks == best.picks:
                    continue
                trial = replace(best, picks=picks)
                found = _number(distance(trial))
                if found < least:
                    best, least = trial, found
        return best, least

    def _decided(self) -> Weights:
        """With the choices made, and marked as found in float64."""
        chosen = (c.candidates[p] for c, p in zip(self.open_choices, self.picks, strict=True))
        moves = (replace(move, how="float64") for several in chosen for move in several)
        return replace(self, certain=(*self.certain, *moves), open_choices=(), picks=())

    def _require_shapes(self, tensors: Mapping[str, Array], side: Inventory) -> None:
        for name, array in tensors.items():
            if name in side.shapes and tuple(array.shape) != side.shapes[name]:
                raise BadInput(
                    f"{name}: shape {tuple(array.shape)} given; {side.label or 'the side'} "
                    f"has {side.shapes[name]}"
                )

    def _whole(
        self, state: Mapping[str, Any], side: Inventory, loose: Mapping[str, Array]
    ) -> dict[str, Array]:
        arrays = arrays_of(state, side.shapes, side.tied)
        missing = [
            name
            for name in side.shapes
            if name not in arrays and not (name in loose and loose[name].all())
        ]
        if missing:
            _missing(missing, side)
        return arrays


def _missing(names: Sequence[str], side: Inventory) -> NoReturn:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    raise BadInput(
        f"{names[0]}{more}: not in the state given; allowed is a state with every tensor of "
        f"{side.label or 'the side'} that has a partner"
    )


def _number(value: float) -> float:
    return float("inf") if np.isnan(value) else float(value)


def _loose(
    shapes: Mapping[str, tuple[int, ...]], moves: Iterable[Move], *, port: bool
) -> dict[str, Array]:
    """Masks of what no move reaches; whole tensors that move need none."""
    partly: dict[str, list[Move]] = {name: [] for name in shapes}
    for move in moves:
        piece, indices = move.port_part if port else move.original_part
        if piece.name in partly and not piece.index and not indices:
            del partly[piece.name]
        elif piece.name in partly:
            partly[piece.name].append(move)
    masks = {}
    for name, several in partly.items():
        mask = np.ones(shapes[name], bool)
        for move in several:
            move.elements(mask, port=port)[...] = False
        if mask.any() or not several:
            masks[name] = mask
    return masks


def _left_over(loose: Mapping[str, Array]) -> Iterator[Piece]:
    """Whole tensors by name, parts along the axis on which they lie."""
    for name, mask in loose.items():
        if mask.all():
            yield Piece(name)
            continue
        for axis in range(mask.ndim):
            rows = mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis))
            if not rows.all():
                edges = np.flatnonzero(np.diff(np.concatenate([[False], rows, [False]])))
                for start, stop in edges.reshape(-1, 2):
                    yield Piece(name, (*[(0, -1)] * axis, (int(start), int(stop))))
                break
