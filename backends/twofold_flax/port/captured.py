"""Outputs of a model's modules while it is traced: kept, or exchanged for given ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import jax.numpy as jnp

from twofold.port.trees import leaves, mapped
from twofold_flax.port.wide import current_trace


@final
class Places:
    """What modules returned, by place. A module's second call is named "path@2", and so on.

    What is traced inside a loop or a compiled part of its own must not leave it, and is not kept.
    """

    def __init__(self, forced: Mapping[str, Any], *, keep: bool) -> None:
        self.found: dict[str, Any] = {}
        self._forced = forced
        self._keep = keep
        self._outside = current_trace()

    def exchanged(self, name: str, count: int, output: Any) -> Any:
        """The output to go on with: the module's own, or the given one in its place."""
        from twofold_flax.port.model import is_array

        place = name if count == 1 else f"{name}@{count}"
        position = iter(range(len(list(leaves(output, is_array)))))
        outside = current_trace() is self._outside

        def change(_path: str, value: Any) -> Any:
            if not is_array(value):
                return value
            part = next(position)
            key = place if part == 0 else f"{place}.{part}"
            if self._keep and outside:
                self.found[key] = value
            if key not in self._forced:
                return value
            return jnp.reshape(self._forced[key], value.shape).astype(value.dtype)

        return mapped(output, change)
