"""Outputs of a model's modules while it is traced: kept, or exchanged for given ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

from twofold.port.trees import leaves, mapped
from twofold_jax.port.arrays import is_array
from twofold_jax.port.operations import Operations
from twofold_jax.port.wide import current_trace


@final
class Places:
    """What modules returned, by place. A module's second call is named "path@2", and so on.

    What is traced inside a loop or a compiled part of its own must not leave it, and is not kept.
    What `jax.vmap` runs leaves it with the mapped axis in front; see `through_vmap`.
    """

    def __init__(
        self, forced: Mapping[str, Any], *, keep: bool, operations: Operations | None = None
    ) -> None:
        self.found: dict[str, Any] = {}
        self.inputs: dict[str, Any] = {}
        self.operations = operations
        self._counts: Counter[str] = Counter()
        self._forced = forced
        self._keep = keep
        self._outside = current_trace()

    @contextmanager
    def running(self, name: str, inputs: Any) -> Iterator[str]:
        """While a module runs with these arguments; gives the place of this call."""
        self._counts[name] += 1
        count = self._counts[name]
        place = name if count == 1 else f"{name}@{count}"
        first = next((v for v in jax.tree_util.tree_leaves(inputs) if is_array(v)), None)
        if self._keep and first is not None and current_trace() is self._outside:
            self.inputs[place] = first
        modules = [] if self.operations is None else self.operations.running
        modules.append(place)
        try:
            yield place
        finally:
            modules.pop()

    @contextmanager
    def inside(self, forced: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """While `jax.vmap` traces one row; gives what is kept of outputs and inputs there."""
        around = self.found, self.inputs, self._forced, self._outside
        self.found, self.inputs, self._forced, self._outside = {}, {}, forced, current_trace()
        try:
            yield self.found, self.inputs
        finally:
            self.found, self.inputs, self._forced, self._outside = around

    def can_leave(self) -> bool:
        """Whether what is made here may be kept."""
        return current_trace() is self._outside

    def rows_of(self, size: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Given outputs that can be those of `size` rows, and all others."""
        rows = {k: v for k, v in self._forced.items() if np.ndim(v) and np.shape(v)[0] == size}
        return rows, {k: v for k, v in self._forced.items() if k not in rows}

    def exchanged(self, place: str, output: Any) -> Any:
        """The output to go on with: the module's own, or the given one in its place."""
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
            given = jnp.reshape(self._forced[key], value.shape).astype(value.dtype)
            if self.operations is not None:
                self.operations.recorder.source(given)
            return given

        return mapped(output, change)


@contextmanager
def intercepted(
    modules: Mapping[int, str], classes: Iterator[type], places: Places
) -> Iterator[None]:
    """Every `__call__` of these classes watched; `modules` has the paths of modules by identity."""
    depth: Counter[int] = Counter()
    changed: dict[type, Any] = {}

    def watched(original: Any) -> Any:
        @wraps(original)  # the judge passes by its signature what a model takes
        def call(self: Any, *args: Any, **keywords: Any) -> Any:
            name = modules.get(id(self), "")
            if not name or depth[id(self)]:  # a call of super(): the outer one tells
                return original(self, *args, **keywords)
            depth[id(self)] += 1
            try:
                with places.running(name, (args, keywords)) as place:
                    output = original(self, *args, **keywords)
            finally:
                depth[id(self)] -= 1
            return places.exchanged(place, output)

        return call

    for base in classes:
        if "__call__" in vars(base) and base not in changed:
            changed[base] = vars(base)["__call__"]
    try:
        for base, original in changed.items():
            setattr(base, "__call__", watched(original))  # noqa: B010
        yield
    finally:
        for base, original in changed.items():
            setattr(base, "__call__", original)  # noqa: B010


@contextmanager
def through_vmap(places: Places) -> Iterator[None]:
    """Modules inside `jax.vmap` watched as well, at whatever depth, where it is called by name.

    Their outputs and inputs come out with the mapped axis in front, and given ones go in so.
    """
    plain = jax.vmap

    def vmap(fun: Any, in_axes: Any = 0, out_axes: Any = 0, **named: Any) -> Any:
        @wraps(fun, updated=())
        def run(*args: Any, **keywords: Any) -> Any:
            size = _mapped_size(args, in_axes)
            if size is None or not places.can_leave():
                return plain(fun, in_axes, out_axes, **named)(*args, **keywords)
            rows, rest = places.rows_of(size)
            order: list[str] = []

            def one_row(row: Any, *own: Any, **more: Any) -> Any:
                with places.inside({**rest, **row}) as kept:
                    output = fun(*own, **more)
                order[:] = kept[0]  # a dictionary comes out of vmap sorted
                return output, *kept

            axes = in_axes if isinstance(in_axes, tuple | list) else [in_axes] * len(args)
            watched = plain(one_row, (0, *axes), (out_axes, 0, 0), **named)
            output, found, inputs = watched(rows, *args, **keywords)
            places.found.update((name, found[name]) for name in order)
            places.inputs.update(inputs)
            return output

        return run

    setattr(jax, "vmap", vmap)  # noqa: B010 - mypy knows another signature
    try:
        yield
    finally:
        setattr(jax, "vmap", plain)  # noqa: B010


def _mapped_size(args: tuple[Any, ...], in_axes: Any) -> int | None:
    """The size of the mapped axis; None where axes are given for parts of an argument."""
    axes = in_axes if isinstance(in_axes, tuple | list) else [in_axes] * len(args)
    if not all(axis is None or isinstance(axis, int) for axis in axes):
        return None
    for value, axis in zip(args, axes, strict=False):
        leaves_of = jax.tree_util.tree_leaves(value)
        if axis is not None and leaves_of and np.ndim(leaves_of[0]) > axis:
            return int(np.shape(leaves_of[0])[axis])
    return None


def exchanging(places: Places) -> Any:
    """What `flax.linen.intercept_methods` takes to watch every `__call__`."""

    def exchange(next_function: Any, args: Any, keywords: Any, context: Any) -> Any:
        name = ".".join(context.module.path)
        if context.method_name != "__call__" or not name:
            return next_function(*args, **keywords)
        with places.running(name, (args, keywords)) as place:
            output = next_function(*args, **keywords)
        return places.exchanged(place, output)

    return exchange
