"""Layouts such as "NCHW->NHWC": parsed, applied and proposed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final, final

import numpy as np

from twofold.errors import BadInput
from twofold.port.side import Array

KNOWN: Final[Mapping[int, tuple[str, ...]]] = {
    3: ("NCL->NLC", "NLC->NCL"),
    4: ("NCHW->NHWC", "NHWC->NCHW"),
    5: ("NCDHW->NDHWC", "NDHWC->NCDHW"),
}
"""By number of axes: what PyTorch and Flax lay out differently."""


@final
@dataclass(frozen=True)
class Layout:
    """The order of the axes in the original and in the port, a letter for each axis."""

    original: str
    port: str

    @staticmethod
    def parse(text: str, where: str = "layouts") -> Layout:
        """Read "NCHW->NHWC". Raises BadInput."""
        original, arrow, port = (part.strip() for part in str(text).partition("->"))
        letters = set(original)
        if not arrow or len(letters) != len(original) or sorted(original) != sorted(port):
            raise BadInput(
                f"{where}: {text!r} given; allowed is the order of the axes in the original and in "
                'the port, with the same letters once on both sides, such as "NCHW->NHWC"'
            )
        return Layout(original, port)

    def __str__(self) -> str:
        return f"{self.original}->{self.port}"

    def to_port(self, array: Array, where: str) -> Array:
        """An array of the original in the port's order of axes. Raises BadInput."""
        return self._moved(array, self.original, self.port, where)

    def to_original(self, array: Array, where: str) -> Array:
        """An array of the port in the original's order of axes. Raises BadInput."""
        return self._moved(array, self.port, self.original, where)

    def _moved(self, array: Array, here: str, there: str, where: str) -> Array:
        if array.ndim != len(here):
            raise BadInput(
                f"{where}: shape {array.shape} has {array.ndim} axes; the layout {self} names "
                f"{len(here)}"
            )
        return np.transpose(array, [here.index(letter) for letter in there])


def propose(original: Sequence[int], port: Sequence[int]) -> str | None:
    """The layout that turns one shape into the other; None if there is none or nothing to turn."""
    if tuple(original) == tuple(port) or sorted(original) != sorted(port):
        return None
    for text in KNOWN.get(len(original), ()):
        layout = Layout.parse(text)
        order = [layout.original.index(letter) for letter in layout.port]
        if tuple(original[axis] for axis in order) == tuple(port):
            return text
    letters = "ABCDEFGH"[: len(original)]
    for order_found in permutations(range(len(letters))):
        if tuple(original[axis] for axis in order_found) == tuple(port):
            return f"{letters}->{''.join(letters[axis] for axis in order_found)}"
    return None
