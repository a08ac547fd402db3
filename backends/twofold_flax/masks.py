"""Dropout masks in JAX, drawn on the device with `jax.random`.

`jax.random.bernoulli` draws float64 numbers, and so other masks, where x64 is enabled (JAX 0.10,
`jax.random.uniform`). The masks are therefore made from `jax.random.bits` and an integer threshold,
which give the same masks in both precisions.
"""

from __future__ import annotations

from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twofold.problem import threefry


def root_key(seed: int) -> Array:
    """`jax.random.key(seed)` for any seed of an experiment, 0 to 2**32 - 1.

    Wrapped from its words, whatever generator is JAX's default in this process.
    """
    words = jnp.asarray(np.array(threefry.root_key(seed), np.uint32))
    key: Array = jax.random.wrap_key_data(words, impl="threefry2x32")
    return key


def dropout_key(seed: int) -> Array:
    """The key of the dropout stream: `fold_in(key(seed), DROPOUT)`."""
    return jax.random.fold_in(root_key(seed), threefry.DROPOUT)


def step_key(stream: Array, step: Array) -> Array:
    """The key of a step of the dropout stream; `step` is uint32."""
    return jax.random.fold_in(stream, step)


@final
class SharedMasks:
    """Draws which hidden units dropout keeps, for every hidden layer of a model."""

    def __init__(self, widths: tuple[int, ...], dropout: float) -> None:
        self.widths = widths
        self.threshold = threefry.keep_threshold(dropout)

    def __call__(self, key: Array, rows: int) -> tuple[Array, ...]:
        """For each hidden layer bool (rows, hidden); `key` is that of the step."""
        threshold = jnp.uint32(self.threshold)
        return tuple(
            jax.random.bits(jax.random.fold_in(key, layer), (rows, width), "uint32") >> 9
            < threshold
            for layer, width in enumerate(self.widths)
        )
