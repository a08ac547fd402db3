"""Nested values, as models take and return them: arrays by path, and arrays exchanged in place.

A path is "" for a single array, "0" in a tuple, "logits" in a mapping or dataclass, "past.0.key" in
what is nested deeper.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from copy import copy
from typing import Any

import numpy as np

from twofold.errors import BadInput


def leaves(
    value: Any, is_array: Callable[[Any], bool], path: str = ""
) -> Iterator[tuple[str, Any]]:
    """Every array and number of a nested value with its path; None is left out. Raises BadInput."""
    if value is None:
        return
    if is_array(value) or isinstance(value, bool | int | float | np.generic | np.ndarray):
        yield path, value
        return
    children = _children(value)
    if children is None:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise BadInput(
            f"output{'.' if path else ''}{path}: a {kind} was returned; allowed are arrays, and "
            "tuples, lists, mappings and dataclasses of them; give call=, which returns those"
        )
    for name, child in children:
        yield from leaves(child, is_array, f"{path}.{name}" if path else str(name))


def _children(value: Any) -> list[tuple[object, Any]] | None:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return list(zip(value._fields, value, strict=True))
    if isinstance(value, tuple | list):
        return list(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return None


def mapped(value: Any, change: Callable[[str, Any], Any], path: str = "") -> Any:
    """A nested value with each leaf exchanged by `change(path, leaf)`; its structure stays."""
    if isinstance(value, Mapping):
        new = {key: mapped(item, change, _below(path, key)) for key, item in value.items()}
        return new if type(value) is dict else _refilled(value, new)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(
            *(mapped(v, change, _below(path, k)) for k, v in zip(value._fields, value, strict=True))
        )
    if isinstance(value, tuple | list):
        return type(value)(mapped(item, change, _below(path, i)) for i, item in enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        other = copy(value)
        for name, item in _children(value) or ():
            # A frozen one as well: the copy is not shared yet.
            object.__setattr__(other, str(name), mapped(item, change, _below(path, name)))
        return other
    return change(path, value)


def _refilled(value: Mapping[Any, Any], new: dict[Any, Any]) -> Any:
    """A mapping of the same kind, which may answer to more than its keys; else a dictionary."""
    if not isinstance(value, MutableMapping):
        return new
    other = copy(value)
    for key, item in new.items():
        other[key] = item
    return other


def _below(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
