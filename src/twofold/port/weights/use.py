"""What a traced program tells about a tensor: when it is used, after which others, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, final

Operation: TypeAlias = Literal["contract", "convolve", "gather", ""]


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
