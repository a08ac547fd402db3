"""What a traced program tells about a tensor: when it is used, after which others, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, final

Operation: TypeAlias = Literal["contract", "convolve", "gather", ""]
Front: TypeAlias = int
"""A set of uses as the bits of a number: those nearest upstream of a value."""


@final
@dataclass(frozen=True)
class Use:
    """One use of a tensor, in the order of the program.

    `name` is the side's own. `part` is the place along a leading axis where a program takes one
    layer of a stack (a scan over layers), None for a whole tensor. `after` has the places, in the
    sequence of uses, of the nearest uses upstream in the flow of data. `axes` says of each
    dimension what the operation does with it, as far as it shows: "out" (free in a product), "in"
    (summed), "h", "w" (moved along), "vocab" (looked up), with a minus where the operation runs
    along it backwards; () where nothing shows. A tensor that is used again in another kind of
    operation, as a tied embedding is, appears again with `again` set.
    """

    name: str
    part: int | None = None
    after: frozenset[int] = frozenset()
    operation: Operation = ""
    axes: tuple[str, ...] = ()
    again: bool = False


@final
class Recorder:
    """Collects uses while a program is traced, and keeps for each what is upstream of it."""

    def __init__(self) -> None:
        self._uses: list[Use] = []
        self._upstream: list[Front] = []
        self._first: dict[tuple[str, int | None], int] = {}

    @property
    def uses(self) -> tuple[Use, ...]:
        return tuple(self._uses)

    def nearest(self, *fronts: Front) -> Front:
        """The union of sets of uses, without those that are upstream of another one in it."""
        union = 0
        for front in fronts:
            union |= front
        if union & (union - 1) == 0:
            return union
        behind = 0
        for place in _bits(union):
            behind |= self._upstream[place]
        return union & ~behind

    def use(
        self,
        name: str,
        part: int | None,
        front: Front,
        operation: Operation = "",
        axes: tuple[str, ...] = (),
        *,
        other_name: str | None = None,
    ) -> Front:
        """Record a use whose other operands have this front; answers the front of the result.

        Of each tensor the first use is kept, and the first one in another kind of operation than
        that, under `other_name` if the tensor has one.
        """
        key = (name, part)
        if key not in self._first:
            return self._added(key, Use(name, part, _set(front), operation, axes), front)
        first = self._uses[self._first[key]]
        again = (f"{name}\0{operation}", part)
        if operation and first.operation and operation != first.operation:
            if again not in self._first:
                second = Use(other_name or name, part, _set(front), operation, axes, again=True)
                return self._added(again, second, front)
            return self.nearest(front, 1 << self._first[again])
        return self.nearest(front, 1 << self._first[key])

    def _added(self, key: tuple[str, int | None], use: Use, front: Front) -> Front:
        place = len(self._uses)
        self._uses.append(use)
        behind = front
        for each in _bits(front):
            behind |= self._upstream[each]
        self._upstream.append(behind)
        self._first[key] = place
        return 1 << place


def _bits(front: Front) -> list[int]:
    places = []
    while front:
        low = front & -front
        places.append(low.bit_length() - 1)
        front ^= low
    return places


def _set(front: Front) -> frozenset[int]:
    return frozenset(_bits(front))
