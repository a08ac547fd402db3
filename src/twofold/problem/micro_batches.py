"""Micro-batches: a batch cut into parts whose gradients add up to the batch's own."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Part:
    """The rows `start` to before `stop` of a batch, and which `share` of it they are."""

    start: int
    stop: int
    share: float

    @property
    def rows(self) -> slice:
        """What picks these rows out of an array (batch, ...)."""
        return slice(self.start, self.stop)


def parts_of(
    rows: int, micro_batches: int, weights: npt.NDArray[np.floating] | None = None
) -> tuple[Part, ...]:
    """Cut `rows` rows into consecutive parts, as equal as can be, larger ones first.

    There are `micro_batches` parts, or as many as rows if those are fewer: no part is empty. The
    loss l of a batch of n rows is a mean, so with l_i the mean over part i of n_i rows

        l = sum_i (n_i / n) l_i    and so    grad l = sum_i (n_i / n) grad l_i,

    whatever the sizes: n_i / n is the part's share. Dividing by the number of parts is right for
    equal parts alone.

    Where l is a weighted mean, with `weights` (rows,) those of the rows, a part's share is its part
    of their sum; its share of the rows is right for equal weights alone.
    """
    count = min(rows, micro_batches)
    size, larger = divmod(rows, count)
    ends = [number * size + min(number, larger) for number in range(count + 1)]
    pairs = itertools.pairwise(ends)
    if weights is None:
        return tuple(Part(start, stop, (stop - start) / rows) for start, stop in pairs)
    whole = weights.sum()
    return tuple(
        Part(start, stop, float(weights[start:stop].sum() / whole)) for start, stop in pairs
    )
