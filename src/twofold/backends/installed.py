"""The backends that are installed, found by their entry points in the group `twofold.backends`.

So a package of somebody else's adds one. Nothing here imports a framework: a backend's package
describes itself without one.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from typing import Any, Final, cast

from twofold.backends.description import Backend
from twofold.errors import BadInput, UnknownEngine

ENTRY_POINTS: Final = "twofold.backends"
OWN_DISTRIBUTION: Final = "twofold"


@lru_cache(maxsize=1)
def targets() -> Mapping[str, str]:
    """The "module:attribute" of each backend's description by name.

    Twofold's own come first, by their places, then those of other packages, each by name.

    Raises BadInput where two packages bring a backend of one name.
    """
    found: dict[str, metadata.EntryPoint] = {}
    for point in sorted(metadata.entry_points(group=ENTRY_POINTS), key=_rank):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise BadInput(
                f"backend {point.name}: both {other.value} and {point.value} are installed under "
                "this name; uninstall one of their packages"
            )
    if not found:
        raise BadInput(
            "backends: none installed; install Twofold as a package: pip install --editable ."
        )
    return {name: point.value for name, point in found.items()}


def _rank(point: metadata.EntryPoint) -> tuple[bool, int, str]:
    foreign = point.dist is None or point.dist.name != OWN_DISTRIBUTION
    return foreign, 0 if foreign else cast(Backend, point.load()).place, point.name


def load_part(target: str) -> Any:
    """A part of a backend by its "module:name"."""
    module, attribute = target.split(":")
    return getattr(importlib.import_module(module), attribute)


def backend_names() -> tuple[str, ...]:
    """The names of the installed backends, Twofold's own first."""
    return tuple(targets())


def backend(name: str) -> Backend:
    """The description of a backend. Raises UnknownEngine."""
    known = targets()
    if name not in known:
        raise UnknownEngine(f"backend: {name!r} given; allowed is {', '.join(known)}")
    return cast(Backend, load_part(known[name]))


def backends() -> tuple[Backend, ...]:
    """The descriptions of all installed backends, in the order of their names."""
    return tuple(map(backend, targets()))


def backend_of(engine: str) -> str:
    """The name of the backend that an engine, written `backend:engine`, belongs to."""
    return engine.partition(":")[0]


def engine_names() -> tuple[str, ...]:
    """Every engine as `backend:engine`, Twofold's own backends first."""
    return tuple(owner.full_name(engine.name) for owner in backends() for engine in owner.engines)


def packages() -> tuple[str, ...]:
    """The packages of all installed backends, each once."""
    return tuple(dict.fromkeys(name for owner in backends() for name in owner.packages))
