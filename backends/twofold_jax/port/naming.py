"""What Flax's modules are called, and the plain values that they were built with."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import jax.numpy as jnp


def kind(module: Any, library: ModuleType, prefix: str) -> str:
    """Such as "flax.nnx.Linear", also for subclasses of it; a person's own class by its name."""
    for base in type(module).__mro__:
        public = getattr(library, base.__name__, None)
        if public is base and base is not getattr(library, "Module", None):
            return f"{prefix}.{base.__name__}"
    return f"{type(module).__module__}.{type(module).__qualname__}"


def plain_attributes(values: Mapping[str, Any]) -> Mapping[str, object]:
    """Numbers, texts and tuples of them; types of numbers and functions by their names."""
    found: dict[str, object] = {}
    for name, value in values.items():
        if name.startswith("_") or name in ("name", "parent", "scope"):
            continue
        if _is_plain(value):
            found[name] = value
        elif callable(value) and hasattr(value, "__name__"):
            found[name] = value.__name__
        elif name.endswith("dtype"):
            found[name] = str(jnp.dtype(value))
    return found


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)
