"""Pieces of tensors: a whole one, or a part along its first or second axis, as NumPy writes it.

"blocks.0.attn.in_proj_weight[0:64]"   "layers.kernel[3]"   "qkv.kernel[:, 64:128]"
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from twofold.errors import BadInput
from twofold.port.side import Array

Index: TypeAlias = tuple[int | tuple[int, int], ...]
"""One entry an axis: a number takes one place, (start, stop) a range; (0, -1) takes all."""

ALL: Final = (0, -1)
_REFERENCE: Final = re.compile(r"(?P<name>[^\[\]]+?)\s*(?:\[(?P<index>[^\[\]]*)\])?")
_ENTRY: Final = re.compile(r"(?P<one>\d+)|(?P<start>\d*)\s*:\s*(?P<stop>\d*)")


@final
@dataclass(frozen=True, order=True)
class Piece:
    """A tensor's name and the part of it that is meant; `index` () is the whole tensor."""

    name: str
    index: Index = ()

    def __str__(self) -> str:
        if not self.index:
            return self.name
        entries = (
            str(e) if isinstance(e, int) else ":" if e == ALL else f"{e[0]}:{e[1]}"
            for e in self.index
        )
        return f"{self.name}[{', '.join(entries)}]"

    def view(self, array: Array) -> Array:
        """The part of an array that the piece means, as a view. Raises BadInput."""
        if not self.fits(array.shape):
            raise BadInput(f"{self}: the tensor has shape {array.shape}")
        picks = tuple(e if isinstance(e, int) else _slice(e) for e in self.index)
        return array[(*picks, ...)]  # the dots keep a view where all axes are gone

    def fits(self, whole: Sequence[int]) -> bool:
        """Whether a tensor of this shape has such a piece."""
        if len(self.index) > len(whole):
            return False
        for entry, size in zip(self.index, whole, strict=False):
            last = entry + 1 if isinstance(entry, int) else entry[1]
            if last > size or (not isinstance(entry, int) and entry != ALL and entry[0] >= last):
                return False
        return True

    def meets(self, other: Piece) -> bool:
        """Whether two pieces have elements of one tensor in common."""
        if self.name != other.name:
            return False
        for a, b in zip(self.index, other.index, strict=False):
            low, high = (e if not isinstance(e, int) else (e, e + 1) for e in (a, b))
            if ALL not in (low, high) and (low[1] <= high[0] or high[1] <= low[0]):
                return False
        return True

    def shape(self, whole: Sequence[int]) -> tuple[int, ...]:
        """The shape of the piece of a tensor of this shape."""
        kept = []
        for axis, size in enumerate(whole):
            entry = self.index[axis] if axis < len(self.index) else ALL
            if not isinstance(entry, int):
                kept.append(size if entry == ALL else entry[1] - entry[0])
        return tuple(kept)


def _slice(entry: tuple[int, int]) -> slice:
    return slice(None) if entry == ALL else slice(*entry)


def along(name: str, axis: int, start: int, stop: int) -> Piece:
    """The piece of a tensor from start to stop along one axis."""
    return Piece(name, (*[ALL] * axis, (start, stop)))


def parse(text: str) -> Piece:
    """The piece that a text such as "qkv.kernel[:, 64:128]" means. Raises BadInput."""
    match = _REFERENCE.fullmatch(text.strip())
    if match is None:
        raise BadInput(
            f"{text!r}: no tensor; allowed is a name, name[0:64], name[:, 0:64], name[3]"
        )
    if match["index"] is None:
        return Piece(match["name"])
    return Piece(match["name"], tuple(_entry(part, text) for part in match["index"].split(",")))


def _entry(part: str, text: str) -> int | tuple[int, int]:
    match = _ENTRY.fullmatch(part.strip())
    if match is None:
        raise BadInput(f"{text!r}: cannot read [{part.strip()}]; allowed is 3, 0:64 or :")
    if match["one"]:
        return int(match["one"])
    if not match["start"] and not match["stop"]:
        return ALL
    start, stop = int(match["start"] or 0), int(match["stop"] or -1)
    if stop <= start:
        raise BadInput(f"{text!r}: [{part.strip()}] is empty or open; allowed is such as 0:64")
    return start, stop
