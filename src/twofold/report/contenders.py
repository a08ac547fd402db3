"""Which engines must be measured before a framework counts as timed at its best.

Each backend names those that have been its fastest in a stored run on a processor: step times of
experiments, of sweeps and of calibrations in `comparisons/results`. A test computes it again from
those files, and fails when another engine was ever ahead of all of these. Nothing is known of other
devices, so no framework counts as timed at its best there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from twofold.backends.installed import backends


def best_somewhere() -> Mapping[str, tuple[str, ...]]:
    """The contenders of each backend that has any."""
    return {
        owner.name: tuple(map(owner.full_name, owner.best_engines))
        for owner in backends()
        if owner.best_engines
    }


def contenders_of(backend: str) -> tuple[str, ...]:
    """The engines of a backend that have been its fastest somewhere; none for an unknown one."""
    return best_somewhere().get(backend, ())


def lacking(measured: Iterable[str], backend: str | None = None) -> tuple[str, ...]:
    """The contenders, of one backend or of all, that are not among the engines measured."""
    found, known = set(measured), best_somewhere()
    names = known if backend is None else (backend,)
    return tuple(name for one in names for name in known.get(one, ()) if name not in found)
