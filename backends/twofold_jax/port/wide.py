"""JAX while it traces: casts kept in float64, dropout masks exchanged, draws named.

What a model narrows itself (`astype(float32)`, a frozen `dtype` of nnx.Embed or of a Linen module,
float32 constants, `preferred_element_type`) is kept in float64 and reported with its line. Every
operation, of the backward pass too, goes through `jax._src.core.Primitive.bind`. That name is
private (JAX 0.10.2) and stands in this file alone; `tests/port/test_private_names.py` says when it
is gone. What is traced so has a context of its own in JAX's caches (`jax.make_user_context`), and
so no program of the person's is exchanged.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from types import FrameType
from typing import Any, Final, final

import jax
import jax.numpy as jnp
import numpy as np
from jax._src.core import Primitive, trace_ctx
from jax.extend import core

from twofold.port.calling import own_line
from twofold.port.side import Cast, Mask, MasksDoNotFit
from twofold_jax.port.operations import Operations
from twofold_jax.port.sites import Sites
from twofold_jax.port.tables import RunTables

NARROW: Final = (jnp.dtype("float32"), jnp.dtype("bfloat16"), jnp.dtype("float16"))
TYPE_PARAMETERS: Final = ("new_dtype", "dtype", "preferred_element_type")
LEFT_ALONE: Final = frozenset({"bitcast_convert_type", "random_bits", "threefry2x32", "copy_p"})
DRAWS: Final = frozenset({"random_bits", "random_gamma", "threefry2x32", "rng_uniform"})
CONTEXT: Final = jax.make_user_context(None)  # type: ignore[no-untyped-call]
LINEN_PARAM: Final = os.path.join("flax", "core", "scope.py")
ONE_BY_ONE: Final = 0
"""The context of uncompiled runs: single operations, compiled once for all of them."""
_numbers: Final = count(1)


def current_trace() -> object:
    """What is being traced now; values must not leave it."""
    return trace_ctx.trace


@final
class Watch:
    """What a program does while it is traced; one for each program, whose masks come as arrays."""

    def __init__(
        self,
        *,
        wide: bool,
        operations: Operations | None = None,
        sites: Sites | None = None,
        tables: RunTables | None = None,
    ) -> None:
        self.operations = operations
        self._sites = sites
        self._tables = tables
        self.places: tuple[str, ...] = ()
        self.found: Counter[tuple[str, str, str]] = Counter()
        self.drawn: list[str] = []
        self.masks: list[tuple[Any, float]] = []
        self.kept_narrow = False
        self._wide = wide
        alone = operations is None and tables is None
        self._number = next(_numbers) if alone else ONE_BY_ONE
        self._given: Sequence[Any] | None = ()

    @property
    def casts(self) -> tuple[Cast, ...]:
        """Every place that narrowed, with how often it did."""
        return tuple(Cast(*place, times) for place, times in self.found.items())

    def expect(self, masks: Sequence[Any] | None) -> None:
        """Begin a trace with these masks: None draws, () keeps every unit."""
        self.found.clear()
        self.drawn.clear()
        self.masks.clear()
        self._given = masks

    def require_all_used(self) -> None:
        """Raise SideFailed if masks were given and not all of them were used."""
        if self._given and len(self.masks) != len(self._given):
            raise MasksDoNotFit(f"{len(self.masks)} dropouts ran; {len(self._given)} masks given")

    @contextmanager
    def on(self) -> Iterator[None]:
        """Watch what is traced inside."""
        bind, draw = Primitive.bind, jax.random.bernoulli

        def watched(primitive: Any, *args: Any, **params: Any) -> Any:
            name, given = primitive.name, args
            if name in DRAWS:
                self._drew(name)
            if self._wide and name not in LEFT_ALONE and not _has_program(params):
                params = self._wide_parameters(args, params)
                args = tuple(self._wide_operand(bind, item) for item in args)
            if self._sites is not None and not _has_program(params):
                args = self._sites.exchanged(name, args)
            if self._tables is not None and not _has_program(params):
                args = self._tables.exchanged(args)
            results = bind(primitive, *args, **params)  # type: ignore[no-untyped-call]
            if self.operations is not None and not _has_program(params):
                self.operations.ran(name, args, results)
            if self._tables is not None and not _has_program(params):
                self._tables.ran(given, args, results)
            return results

        def masked(
            key: Any, p: Any = 0.5, shape: Any = None, *args: Any, **named: Any
        ) -> jax.Array:
            size = tuple(shape) if shape is not None else jnp.shape(p)
            with self._silent():
                kept = self._mask(size, lambda: draw(key, p, shape, *args, **named))
            keep = float(p) if isinstance(p, int | float | np.floating) else float("nan")
            self.masks.append((kept, keep))
            return kept

        setattr(Primitive, "bind", watched)  # noqa: B010 - mypy forbids to assign to a method
        jax.random.bernoulli = masked
        try:
            with CONTEXT(self._number):
                yield
        finally:
            setattr(Primitive, "bind", bind)  # noqa: B010
            jax.random.bernoulli = draw

    @contextmanager
    def _silent(self) -> Iterator[None]:
        drawn = list(self.drawn)
        yield
        self.drawn[:] = drawn

    def _mask(self, size: tuple[int, ...], draw: Callable[[], jax.Array]) -> jax.Array:
        if self._given is None:
            return draw()
        if not self._given:
            return jnp.ones(size, dtype=bool)
        place = len(self.masks)
        if place >= len(self._given) or self._given[place].shape != size:
            raise MasksDoNotFit(f"dropout {place + 1} at {_line()}: no mask of shape {size} given")
        return jnp.asarray(self._given[place])

    def _drew(self, name: str) -> None:
        line = _line()
        if line:
            self.drawn.append(f"{name} at {line}")

    def _wide_parameters(self, args: tuple[Any, ...], params: dict[str, Any]) -> dict[str, Any]:
        changed = {}
        for key in TYPE_PARAMETERS:
            target = params.get(key)
            if target is not None and _is_narrow(target):
                changed[key] = jnp.dtype("float64")
                source = getattr(args[0], "dtype", None) if args else None
                if source is None or source != target:
                    self._note(source, target)
        return {**params, **changed} if changed else params

    def _wide_operand(self, bind: Any, value: Any) -> Any:
        if not _is_narrow(getattr(value, "dtype", None)):
            return value
        self._note(None, value.dtype)
        if isinstance(value, np.ndarray | np.generic):
            return np.asarray(value, np.float64)
        return bind(
            jax.lax.convert_element_type_p,
            value,
            new_dtype=jnp.dtype("float64"),
            weak_type=False,
            sharding=None,
        )

    def _note(self, source: Any, target: Any) -> None:
        where = _line()
        if where:  # the backward pass is traced without a line: its forward line is known already
            start = "constant" if source is None or source != jnp.float64 else str(source)
            self.found[where, start, str(jnp.dtype(target))] += 1


def recorded(watch: Watch, kept: Sequence[Any]) -> tuple[Mask, ...]:
    """The masks of a run as plain values."""
    return tuple(
        Mask(np.asarray(mask), keep) for mask, (_, keep) in zip(kept, watch.masks, strict=True)
    )


def _line() -> str:
    """The person's line; "" where Linen only asks for the shape that an initializer would make."""
    frame: FrameType | None = sys._getframe(1)
    at = frame
    while at is not None:
        if at.f_code.co_name == "param" and at.f_code.co_filename.endswith(LINEN_PARAM):
            return ""
        at = at.f_back
    return own_line(frame)


def _is_narrow(dtype: Any) -> bool:
    try:
        return dtype is not None and jnp.dtype(dtype) in NARROW
    except TypeError:  # a key type, which NumPy does not know
        return False


def _has_program(params: dict[str, Any]) -> bool:
    """Whether an operation carries a program of its own, whose operations come one by one."""
    return any(_is_program(value) for value in params.values())


def _is_program(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(_is_program(item) for item in value)
    return isinstance(value, core.Jaxpr | core.ClosedJaxpr) or callable(value)
