"""Tables of a JAX run: found where they meet what is judged, and given other numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

from twofold.port.calling import own_line
from twofold.port.side import Array
from twofold.port.where.tables import Replacement, Tables


@final
class RunTables:
    """What `Watch` tells of each primitive as it runs uncompiled, so that tables are numbers."""

    def __init__(self, replacements: Sequence[Replacement] = ()) -> None:
        self.found = Tables()
        self._replacements = replacements
        self._shapes = {replacement.old.shape for replacement in replacements}

    def exchanged(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The operands of a primitive, with other numbers for tables."""
        return tuple(self._operand(value) for value in args) if self._replacements else args

    def _operand(self, value: Any) -> Any:
        if np.shape(value) not in self._shapes:
            return value
        numbers = _numbers(value)
        if numbers is None:
            return value
        new = (replacement.of(numbers) for replacement in self._replacements)
        found = next((item for item in new if item is not None), None)
        return value if found is None else jnp.asarray(found)

    def ran(self, given: tuple[Any, ...], args: tuple[Any, ...], results: Any) -> None:
        """One primitive with its operands, before and after they were kept wide, and its results.

        Tracers count too: what a gradient or a loop hands through is seen one by one.
        """
        if self._replacements:
            return
        outputs = results if isinstance(results, list | tuple) else [results]
        inputs = [
            (value, own_line() if _is_narrow(before) else "")
            for before, value in zip(given, args, strict=True)
        ]
        self.found.ran(
            [pair for pair in inputs if _is_known(pair[0]) or pair[1]],
            [value for value in outputs if isinstance(value, jax.Array)],
            line=own_line,
            numbers=_numbers,
        )


def _is_known(value: Any) -> bool:
    return isinstance(value, jax.Array | np.ndarray)


def _is_narrow(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    if dtype is None or jnp.issubdtype(dtype, jax.dtypes.extended):
        return False
    return bool(jnp.issubdtype(dtype, jnp.floating)) and jnp.dtype(dtype).itemsize < 8


def _numbers(value: Any) -> Array | None:
    if isinstance(value, jax.core.Tracer) or not hasattr(value, "dtype"):
        return None
    if jnp.issubdtype(value.dtype, jax.dtypes.extended):
        return None
    return np.asarray(value, np.float64) if jnp.issubdtype(value.dtype, jnp.floating) else None
