"""Which backend has which side, and which side a person's bare model makes."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from twofold.backends.description import Backend, PortSide
from twofold.backends.installed import backends
from twofold.errors import BadInput, FrameworkMissing
from twofold.port.side import Side


def names() -> tuple[str, ...]:
    """The names of all sides that the installed backends describe."""
    return tuple(side.name for _, side in _described())


def load(name: str) -> Any:
    """The class of a side. Raises FrameworkMissing, and KeyError for a name that no backend has."""
    for owner, side in _described():
        if side.name == name:
            return _part(owner, side.target)
    raise KeyError(name)


def step(function: Any, state: Any) -> Side:
    """A black-box training step, `function(state, batch) -> state, loss`, with its first state.

    The state is any tree of tensors of one framework that a backend describes. Raises BadInput.
    """
    able = [owner for owner in backends() if owner.port_steps]
    packages = {_package(leaf) for leaf in _leaves(state)}
    found = [owner for owner in able if packages & set(owner.port_tensors)]
    if len(found) != 1:
        given = " and ".join(owner.title for owner in found) or "no tensors"
        allowed = " or ".join(owner.port_tensors[0] for owner in able)
        raise BadInput(f"Step: state: {given} given; allowed are tensors of {allowed} alone")
    owner = found[0]
    side: Side = _part(owner, owner.port_steps)(function, state)
    return side


def side_of(value: Any, place: str) -> Side:
    """The side of what a person gives: a side, a module, or a pair with its weights."""
    if isinstance(value, Side):
        return value
    paired = isinstance(value, tuple) and len(value) == 2
    given = value if paired else (value,)
    found = _taking(given[0], with_weights=paired)
    if found is not None:
        side: Side = _part(*found)(*given)
        return side
    raise BadInput(
        f"{place}: {type(value).__name__} given; allowed are a module of {_packages(False)}, "
        f"(module, variables) of {_packages(True)}, (function, parameters), or a side such as "
        "port.Torch(module, loss=...)"
    )


def _taking(model: Any, *, with_weights: bool) -> tuple[Backend, str] | None:
    """The side of a model by its class's packages; a function's is the side that names none."""
    able = [(owner, side) for owner, side in _described() if side.with_weights == with_weights]
    for owner, side in able:
        if side.takes and any(base.startswith(side.takes) for base in _bases(model)):
            return owner, side.target
    for owner, side in able:
        if not side.takes and callable(model):
            return owner, side.target
    return None


def _packages(with_weights: bool) -> str:
    able = (side for _, side in _described() if side.with_weights == with_weights)
    return " or ".join(side.takes for side in able if side.takes)


def _described() -> Iterator[tuple[Backend, PortSide]]:
    for owner in backends():
        for side in owner.port_sides:
            yield owner, side


def _part(owner: Backend, target: str) -> Any:
    """A class or function of a backend by its "module:name". Raises FrameworkMissing."""
    module, name = target.split(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise FrameworkMissing(
            f"{name}: {error.name} is not installed; install with: "
            f"pip install 'twofold[{owner.extra}]'"
        ) from error


def _bases(value: Any) -> set[str]:
    """The packages that the classes of a value come from, two names deep."""
    return {".".join(base.__module__.split(".")[:2]) for base in type(value).__mro__}


def _package(leaf: Any) -> str:
    return type(leaf).__module__.partition(".")[0]


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, tuple | list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]
