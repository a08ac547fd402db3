"""Arrays between JAX and NumPy, in the precision of a question."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from twofold.port.side import Array


def is_array(value: Any) -> bool:
    """Whether a leaf is an array of JAX or NumPy."""
    return isinstance(value, jax.Array | np.ndarray)


def array(value: Any, dtype: Any) -> jax.Array:
    """A float array in the precision of the call; others in their own type."""
    given = np.asarray(value)
    # NumPy converts: JAX would compile a program for each shape.
    put: jax.Array = jax.device_put(
        given.astype(dtype, copy=False) if given.dtype.kind == "f" else given
    )
    return put


def numpy_value(value: Any) -> Array:
    """An array of the person's as NumPy; bfloat16 as float32."""
    plain = np.asarray(value)
    return plain.astype(np.float32) if plain.dtype.kind == "V" else plain


def number(value: Any) -> Array:
    """An array as NumPy, floats in float64."""
    is_float = jnp.issubdtype(value.dtype, jnp.floating)
    return np.asarray(value, np.float64) if is_float else np.asarray(value)
