"""Which engines must be measured before a framework counts as timed at its best.

The engines below have each been the fastest of their framework in a stored run on a processor: step
times of experiments, of sweeps and of calibrations in `comparisons/results`. A test computes it
again from those files, and fails when another engine was ever ahead of all of these. Nothing is
known of other devices, so no framework counts as timed at its best there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

BEST_SOMEWHERE: Final[Mapping[str, tuple[str, ...]]] = {
    "torch": ("torch:compile-step", "torch:compile-epoch"),
    "flax": ("flax:jit", "flax:scan"),
}


def contenders_of(backend: str) -> tuple[str, ...]:
    """The engines of a backend that have been its fastest somewhere; none for an unknown one."""
    return BEST_SOMEWHERE.get(backend, ())


def lacking(measured: Iterable[str], backend: str | None = None) -> tuple[str, ...]:
    """The contenders, of one backend or of all, that are not among the engines measured."""
    found = set(measured)
    backends = BEST_SOMEWHERE if backend is None else (backend,)
    return tuple(name for one in backends for name in contenders_of(one) if name not in found)
