"""Which backend has which side, and which side a person's bare model makes."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Final

from twofold.errors import BadInput, FrameworkMissing
from twofold.port.side import Side

HOMES: Final[Mapping[str, str]] = {
    "Torch": "twofold_torch.port.model:Torch",
    "Nnx": "twofold_flax.port.nnx:Nnx",
    "Linen": "twofold_flax.port.linen:Linen",
    "Equinox": "twofold_equinox.port.equinox_module:Equinox",
    "Function": "twofold_jax.port.function:Function",
}
STEPS: Final[Mapping[str, str]] = {
    "torch": "twofold_torch.port.black_box:black_box",
    "jax": "twofold_jax.port.black_box:black_box",
}
EXTRAS: Final[Mapping[str, str]] = {
    "twofold_torch": "torch",
    "twofold_flax": "flax",
    "twofold_jax": "flax",
    "twofold_equinox": "equinox",
}


def load(target: str) -> Any:
    """A class of a backend by its "module:name". Raises FrameworkMissing."""
    module, name = target.split(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        extra = EXTRAS[module.partition(".")[0]]
        raise FrameworkMissing(
            f"{name}: {error.name} is not installed; install with: pip install 'twofold[{extra}]'"
        ) from error


def step(function: Any, state: Any) -> Side:
    """A black-box training step, `function(state, batch) -> state, loss`, with its first state.

    The state is any tree of tensors of PyTorch or of arrays of JAX. Raises BadInput.
    """
    frameworks = {_framework(leaf) for leaf in _leaves(state)} & set(STEPS)
    if len(frameworks) != 1:
        given = ", ".join(sorted(frameworks)) or "neither"
        raise BadInput(f"Step: state: {given}; allowed are tensors of PyTorch, or arrays of JAX")
    side: Side = load(STEPS[frameworks.pop()])(function, state)
    return side


def side_of(value: Any, place: str) -> Side:
    """The side of what a person gives: a side, a module, or a pair with its weights."""
    if isinstance(value, Side):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        kind = "Linen" if "flax.linen" in _bases(value[0]) else "Function"
        if kind == "Linen" or callable(value[0]):
            side: Side = load(HOMES[kind])(*value)
            return side
    for base, kind in (("torch.nn", "Torch"), ("flax.nnx", "Nnx"), ("equinox", "Equinox")):
        if any(name.startswith(base) for name in _bases(value)):
            found: Side = load(HOMES[kind])(value)
            return found
    raise BadInput(
        f"{place}: {type(value).__name__} given; allowed are an nn.Module of PyTorch, an "
        "nnx.Module, an eqx.Module, (linen module, variables), (function, parameters), or a side "
        "such as port.Torch(module, loss=...)"
    )


def _bases(value: Any) -> set[str]:
    """The packages that the classes of a value come from, two names deep."""
    return {".".join(base.__module__.split(".")[:2]) for base in type(value).__mro__}


def _framework(leaf: Any) -> str:
    name = type(leaf).__module__.partition(".")[0]
    return "jax" if name in ("jax", "jaxlib") else name


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, tuple | list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]
