"""Fingerprints of arrays: numbers that stay the same whatever the order of elements and axes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final, TypeAlias, final

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
QUANTILES: Final = 9
CLOSE: Final = 1e-10
"""Share of the largest element by which fingerprints of one tensor may be apart: rounding of
float64 is far below it, and a float32 constant above."""


def fingerprint(value: Array) -> Array | None:
    """Count, infinities, largest size, sums in units of it, quantiles; None if empty or nan."""
    flat = np.asarray(value, np.float64).reshape(-1)
    if not flat.size or np.isnan(flat).any():
        return None
    infinite = np.isinf(flat)
    ordered = np.sort(np.where(infinite, 0.0, flat))
    size = max(abs(ordered[0]), abs(ordered[-1]))
    places = np.linspace(0, flat.size - 1, QUANTILES).astype(int)
    shares = ordered / size if size else ordered  # within 1: no sum of theirs overflows
    sums = shares.sum(), np.abs(shares).sum(), np.square(shares).sum()
    return np.array([flat.size, infinite.sum(), size, *sums, *ordered[places]])


def _room(found: Array) -> Array:
    """How far each number of a fingerprint may be off."""
    count, _, size = found[:3]
    return CLOSE * np.array([0.0, 0.0, size, count, count, count, *[size] * QUANTILES])


@final
class Known:
    """The fingerprints of one run, to be asked for those of another."""

    def __init__(self, prints: Iterable[Array]) -> None:
        by_size: dict[int, list[Array]] = defaultdict(list)
        for found in prints:
            by_size[int(found[0])].append(found)
        self._by_size = {size: np.stack(several) for size, several in by_size.items()}

    def holds(self, found: Array) -> bool:
        """Whether a tensor with the same numbers is known."""
        several = self._by_size.get(int(found[0]))
        if several is None:
            return False
        with np.errstate(over="ignore"):  # numbers of opposite signs near the largest of float64
            apart = np.abs(several - found)
        return bool((apart <= _room(found)).all(axis=1).any())
