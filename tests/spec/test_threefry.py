"""Threefry against the published test vectors and against jax.random."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.spec import threefry

# Of Random123 (Salmon et al.), threefry2x32 with 20 rounds: counter, key, output.
KNOWN_ANSWERS = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]
SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_known_answers(counter, key, expected):
    high, low = (np.full(1, number, np.uint32) for number in counter)
    x, y = threefry.threefry_2x32(key, high, low)
    assert (int(x[0]), int(y[0])) == expected


@settings(derandomize=True, max_examples=15, deadline=None)
@given(seed=SEEDS, number=SEEDS)
def test_fold_in_is_jax_fold_in(seed, number):
    folded = jax.random.fold_in(jax.random.key(seed), np.uint32(number))
    expected = tuple(int(word) for word in jax.random.key_data(folded))
    assert threefry.fold_in(threefry.root_key(seed), number) == expected


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (64, 128)])
@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_bits_are_jax_bits(seed, shape):
    expected = np.asarray(jax.random.bits(jax.random.key(seed), shape, "uint32"))
    np.testing.assert_array_equal(threefry.random_bits(threefry.root_key(seed), shape), expected)


@pytest.mark.parametrize("dropout", [0.1, 0.2, 0.5, 0.9, 1e-7])
def test_masks_are_jax_bernoulli(dropout):
    keep = np.float32(1.0 - dropout)
    expected = np.asarray(jax.random.bernoulli(jax.random.key(5), keep, (200, 300)))
    mask = threefry.keep_mask(threefry.root_key(5), (200, 300), dropout)
    np.testing.assert_array_equal(mask, expected)


def test_uniform_is_in_the_unit_interval_and_evenly_spread():
    draws = threefry.uniform(threefry.root_key(3), (100_000,))
    assert draws.min() >= 0
    assert draws.max() < 1
    # standard error of the mean is 0.29/sqrt(n) = 0.0009; five of them
    assert abs(draws.mean() - 0.5) < 0.0046
    np.testing.assert_array_equal(draws * 2**23, np.floor(draws * 2**23))


def test_normal_has_the_moments_of_the_standard_normal():
    draws = threefry.normal(threefry.root_key(4), (100_000,))
    assert np.isfinite(draws).all()
    assert abs(draws.mean()) < 5 / np.sqrt(100_000)
    assert abs(draws.var() - 1) < 5 * np.sqrt(2 / 100_000)
    assert abs((draws**3).mean()) < 5 * np.sqrt(15 / 100_000)


@settings(derandomize=True, max_examples=50, deadline=None)
@given(seed=SEEDS, length=st.integers(1, 300))
def test_permutation_has_every_row_once(seed, length):
    order = threefry.permutation(threefry.root_key(seed), length)
    np.testing.assert_array_equal(np.sort(order), np.arange(length))


@pytest.mark.parametrize("length", [1, 2, 1000, 5000])
def test_permutation_is_the_stable_order_of_the_draws(length):
    draws = threefry.random_bits(threefry.root_key(7), (length,))
    expected = sorted(range(length), key=lambda place: int(draws[place]))  # Python's sort is stable
    assert threefry.permutation(threefry.root_key(7), length).tolist() == expected


def test_permutation_keeps_the_places_of_equal_draws(monkeypatch):
    draws = np.array([5, 2**32 - 1, 5, 0, 2**32 - 1, 0], np.uint32)
    monkeypatch.setattr(threefry, "random_bits", lambda _key, _shape: draws)
    assert threefry.permutation(threefry.root_key(0), 6).tolist() == [3, 5, 0, 2, 1, 4]


@settings(derandomize=True, max_examples=10, deadline=None)
@given(seed=SEEDS, first=st.integers(0, 2**32 - 4), hidden_layers=st.integers(1, 3))
def test_dropout_keys_are_jax_fold_in(seed, first, hidden_layers):
    steps = np.arange(first, first + 3, dtype=np.uint32)
    keys = threefry.dropout_keys(seed, steps, hidden_layers)
    stream = jax.random.fold_in(jax.random.key(seed), threefry.DROPOUT)
    for step, own in zip(steps, keys, strict=True):
        of_step = jax.random.fold_in(stream, step)
        layers = [jax.random.fold_in(of_step, layer) for layer in range(hidden_layers)]
        np.testing.assert_array_equal(own, [jax.random.key_data(layer) for layer in layers])


def test_streams_differ():
    streams = (
        threefry.INITIALISATION,
        threefry.DATA_ORDER,
        threefry.DROPOUT,
        threefry.SYNTHETIC_DATA,
        threefry.SPLIT,
    )
    assert len({threefry.stream_key(0, stream) for stream in streams}) == len(streams)


@pytest.mark.parametrize(("dropout", "kept"), [(0.0, 2**23), (0.5, 2**22), (0.75, 2**21)])
def test_keep_threshold_of_exact_fractions(dropout, kept):
    assert threefry.keep_threshold(dropout) == kept


def test_one_counter_is_encrypted_as_in_an_array() -> None:
    numbers = np.random.default_rng(3).integers(0, 2**32, size=(500, 4))
    for key, other, high, low in numbers.tolist():
        x, y = threefry.threefry_2x32(
            (key, other), np.array([high], np.uint32), np.array([low], np.uint32)
        )
        assert threefry.threefry_of_numbers((key, other), high, low) == (x[0], y[0])
