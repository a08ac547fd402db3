"""Dropout masks in JAX, drawn on the device, equal bit for bit to `jax.random`.

`jax.random.bernoulli` draws float64 numbers, and so other masks, where x64 is enabled (JAX 0.10,
`jax.random.uniform`). The masks are therefore made from random bits and an integer threshold, which
give the same masks in both precisions.

The bits are those of `jax.random.bits`, but Threefry-2x32 (see `twofold.spec.threefry`) is written
out. JAX compiles its rounds into a loop on CPUs (JAX 0.10 to 0.12,
`jax/_src/random/threefry2x32.py`), and XLA fuses nothing with a loop: the masks of two layers,
(512, 1024), took two to three times as long.
"""

from __future__ import annotations

from functools import partial
from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from twofold.spec import threefry

Words = tuple[Array, Array]
"""The two words of a key, or of what it encrypts; uint32."""


def root_key(seed: int) -> Array:
    """`jax.random.key(seed)` for any seed of an experiment, 0 to 2**32 - 1.

    Wrapped from its words, whatever generator is JAX's default in this process.
    """
    return wrapped(threefry.root_key(seed))


def dropout_key(seed: int) -> Array:
    """The key of the dropout stream, `fold_in(key(seed), DROPOUT)`, folded on the host.

    JAX would compile a program for it, once a start.
    """
    return wrapped(threefry.stream_key(seed, threefry.DROPOUT))


def wrapped(words: threefry.Key) -> Array:
    """A key of JAX from its two words."""
    data = jax.device_put(np.array(words, np.uint32))
    key: Array = jax.random.wrap_key_data(data, impl="threefry2x32")
    return key


def step_key(stream: Array, step: Array) -> Array:
    """The key of a step of the dropout stream, `fold_in(stream, step)`; `step` is uint32."""
    words = threefry_2x32(words_of(stream), step)
    key: Array = jax.random.wrap_key_data(jnp.stack(words), impl="threefry2x32")
    return key


def words_of(key: Array) -> Words:
    """The two words of a key of JAX."""
    words = jax.random.key_data(key)  # (2,)
    return words[0], words[1]


@partial(jax.jit, inline=True)  # one program where nothing else compiles it
def threefry_2x32(keys: Words, low: Array) -> Words:
    """Encrypt the counters `(0, low)` under `keys`; uint32, `low` of any shape.

    In the operations of `lax`, since every start traces them: with `x + y` the first step of
    `lesson` makes 375,000 calls of Python instead of 332,000 (JAX 0.10).
    """
    parity = np.uint32(threefry.PARITY)
    schedule = (*keys, lax.bitwise_xor(lax.bitwise_xor(keys[0], keys[1]), parity))
    x, y = lax.broadcast(schedule[0], low.shape), lax.add(low, schedule[1])
    for group in range(5):
        for rotation in threefry.ROTATIONS[group % 2]:
            x = lax.add(x, y)
            y = lax.bitwise_xor(_rotated(y, rotation), x)
        x = lax.add(x, schedule[(group + 1) % 3])
        y = lax.add(y, lax.add(schedule[(group + 2) % 3], np.uint32(group + 1)))
    return x, y


def _rotated(word: Array, by: int) -> Array:
    left = lax.shift_left(word, np.uint32(by))
    return lax.bitwise_or(left, lax.shift_right_logical(word, np.uint32(32 - by)))


@final
class SharedMasks:
    """Draws which features are kept, for every dropout layer of a model.

    `dropouts` are the features and the rate of each.
    """

    def __init__(self, dropouts: tuple[tuple[int, float], ...]) -> None:
        self.layers = tuple((width, threefry.keep_threshold(rate)) for width, rate in dropouts)

    def __call__(self, key: Array, rows: int) -> tuple[Array, ...]:
        """For each dropout layer bool (rows, features); `key` is that of the step."""
        step = words_of(key)
        return tuple(
            _draws(threefry_2x32(step, jnp.uint32(layer)), rows, width) < jnp.uint32(threshold)
            for layer, (width, threshold) in enumerate(self.layers)
        )


def _draws(keys: Words, rows: int, width: int) -> Array:
    """The top bits of a layer's draws (rows, width), as in a uniform float32."""
    counts = lax.iota(jnp.uint32, rows * width).reshape(rows, width)
    x, y = threefry_2x32(keys, counts)
    top: Array = (x ^ y) >> jnp.uint32(32 - threefry.MANTISSA_BITS)
    return top
