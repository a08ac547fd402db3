"""A tensor seen through views while a program is traced: what became of its dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final


@final
@dataclass(frozen=True)
class Seen:
    """A tensor behind a view; `dims` has for each dimension of the view the tensor's own.

    None in `dims` is an added axis of size 1; `dims` None says that the dimensions are lost track
    of. `part` is the layer of a stack that the view is, whose own rank `rank` then is.
    """

    name: str
    dims: tuple[int | None, ...] | None
    rank: int
    part: int | None = None

    @classmethod
    def whole(cls, name: str, rank: int) -> Seen:
        """The tensor as it is."""
        return cls(name, tuple(range(rank)), rank)

    @property
    def is_whole(self) -> bool:
        """Whether nothing was moved or taken away yet."""
        return self.part is None and self.dims == tuple(range(self.rank))

    def layer(self, part: int) -> Seen:
        """One layer of a stack, along the leading axis."""
        return Seen(self.name, tuple(range(self.rank - 1)), self.rank - 1, part)

    def lost(self) -> Seen:
        return replace(self, dims=None)

    def permuted(self, order: Sequence[int]) -> Seen:
        """With its dimensions in another order."""
        return self._with([self.dims[axis] for axis in order] if self.dims is not None else None)

    def placed(self, places: Sequence[int], rank: int) -> Seen:
        """With its dimensions at these places of a view of a rank, the others of size 1."""
        if self.dims is None:
            return self
        dims: list[int | None] = [None] * rank
        for dim, place in zip(self.dims, places, strict=True):
            dims[place] = dim
        return self._with(dims)

    def without(self, axis: int) -> Seen:
        """With one place taken along an axis."""
        if self.dims is None:
            return self
        return self._with([dim for place, dim in enumerate(self.dims) if place != axis])

    def reshaped(self, old: Sequence[int], new: Sequence[int]) -> Seen:
        """In another shape: dimensions are kept if only axes of size 1 come or go."""
        if self.dims is None or len(self.dims) != len(old):
            return self.lost()
        if [size for size in old if size > 1] != [size for size in new if size > 1]:
            return self.lost()
        kept = iter([dim for dim, size in zip(self.dims, old, strict=True) if size > 1])
        return self._with([next(kept) if size > 1 else None for size in new])

    def axes(self, labels: Sequence[str]) -> tuple[str, ...]:
        """Labels of the view's dimensions as those of the tensor itself; () if they are lost."""
        if self.dims is None or len(self.dims) != len(labels):
            return ()
        found = {
            dim: label for dim, label in zip(self.dims, labels, strict=True) if dim is not None
        }
        return tuple(found[dim] for dim in range(self.rank)) if len(found) == self.rank else ()

    def _with(self, dims: Sequence[int | None] | None) -> Seen:
        return replace(self, dims=None if dims is None else tuple(dims))
