"""The keys and masks of JAX's backends are those of `jax.random`, which compiles another cipher."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twofold_jax.masks import SharedMasks, dropout_key, root_key, step_key

from twofold.spec import threefry

numbers = st.integers(0, 2**32 - 1)


@settings(max_examples=25, deadline=None)
@given(numbers)
def test_keys_of_a_seed(seed: int) -> None:
    root = jax.random.key(0)
    words = jax.random.wrap_key_data(np.array([0, seed], np.uint32), impl="threefry2x32")
    assert root.dtype == root_key(seed).dtype
    assert (root_key(seed) == words).all()
    assert (dropout_key(seed) == jax.random.fold_in(words, threefry.DROPOUT)).all()


@settings(max_examples=25, deadline=None)
@given(numbers, numbers)
def test_the_key_of_a_step(seed: int, step: int) -> None:
    stream = dropout_key(seed)
    assert (step_key(stream, jnp.uint32(step)) == jax.random.fold_in(stream, step)).all()


@settings(max_examples=15, deadline=None)  # JAX compiles every shape anew
@given(numbers, st.integers(1, 5), st.lists(st.integers(1, 9), min_size=1, max_size=3))
def test_masks_of_a_step(seed: int, rows: int, widths: list[int]) -> None:
    key = step_key(dropout_key(seed), jnp.uint32(3))
    drawn = SharedMasks(tuple((width, 0.25) for width in widths))(key, rows)
    with jax.threefry_partitionable(True):
        for layer, (width, mask) in enumerate(zip(widths, drawn, strict=True)):
            bits = jax.random.bits(jax.random.fold_in(key, layer), (rows, width), "uint32")
            assert (mask == (bits >> 9 < threefry.keep_threshold(0.25))).all()


def test_masks_of_wide_layers_in_one_program() -> None:
    key = step_key(dropout_key(11), jnp.uint32(3))
    (mask,) = jax.jit(SharedMasks(((1000, 0.25),)), static_argnums=1)(key, 300)
    words = threefry.stream_key(11, threefry.DROPOUT, 3, 0)
    assert (np.asarray(mask) == threefry.keep_mask(words, (300, 1000), 0.25)).all()
