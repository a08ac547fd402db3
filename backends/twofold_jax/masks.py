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

from twofold.spec import threefry


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
    """Draws which features are kept, for every dropout layer of a model.

    `dropouts` are the features and the rate of each.
    """

    def __init__(self, dropouts: tuple[tuple[int, float], ...]) -> None:
        self.layers = tuple((width, threefry.keep_threshold(rate)) for width, rate in dropouts)

    def __call__(self, key: Array, rows: int) -> tuple[Array, ...]:
        """For each dropout layer bool (rows, features); `key` is that of the step."""
        return tuple(
            jax.random.bits(jax.random.fold_in(key, layer), (rows, width), "uint32") >> 9
            < jnp.uint32(threshold)
            for layer, (width, threshold) in enumerate(self.layers)
        )
