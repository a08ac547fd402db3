"""The oracle of mixed precision: its bounds hold wherever roundings fall, and they bite."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from judged import (
    ACTIVATIONS,
    LOSSES,
    OPTIMIZERS,
    batch_of,
    experiment_of,
    masks_of,
    oracle_step,
    ratios,
    state_of,
)
from plain_mixed import ROUNDINGS, PlainMixed

from twofold.experiment import Experiment
from twofold.oracle.arithmetic import BFLOAT16_LARGEST, BFLOAT16_ROUNDOFF, arithmetic_for
from twofold.oracle.bounded import narrowed, stored, to_bfloat16, total

MIXED = arithmetic_for("mixed_bfloat16")


def judge(
    plain: PlainMixed, experiment: Experiment, seed: int, rows: int, gain: float = 1.0
) -> dict[str, float]:
    """The worst ratios of a step from a warm state, with dropout if the experiment has any."""
    state = state_of(experiment, seed, np.float32, warm=True, gain=gain)
    batch = batch_of(experiment, seed, np.float32, rows)
    masks = masks_of(experiment, seed, rows)
    result, after = oracle_step(experiment, state, batch, masks, MIXED)
    return ratios(plain.step(experiment, state, batch, masks), result, after)


def test_bfloat16_is_that_of_ml_dtypes() -> None:
    about = ml_dtypes.finfo(ml_dtypes.bfloat16)
    assert float(about.eps) / 2 == BFLOAT16_ROUNDOFF
    assert float(about.max) == BFLOAT16_LARGEST
    assert MIXED.smallest_normal == float(about.smallest_normal)


def test_the_cast_is_that_of_ml_dtypes() -> None:
    random = np.random.default_rng(5)
    bits = random.integers(0, 2**32, 300_000, dtype=np.uint32)
    ties = (bits & np.uint32(0xFFFF0000)) | np.uint32(0x8000)  # halfway between two bfloat16
    numbers = np.concatenate([bits, ties, np.array([0, 2**31], np.uint32)]).view(np.float32)
    numbers = numbers[~np.isnan(numbers)]
    with np.errstate(over="ignore"):
        expected = numbers.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(to_bfloat16(numbers), expected, strict=True)


def test_a_narrowed_number_may_be_cast_or_not() -> None:
    given = np.array([1.0, 1.0 + 2.0**-8, 1.0 + 2.0**-9, 0.0], np.float32)
    read = narrowed(given, MIXED)
    np.testing.assert_array_equal(read.value, given)
    np.testing.assert_allclose(read.bound, [0, 2.0**-8, 2.0**-9, 0], rtol=0, atol=1e-37)
    assert read.bound[3] == 0
    same = narrowed(given, arithmetic_for("float32"))
    np.testing.assert_array_equal(same.bound, 0)


def test_what_leaves_the_range_of_bfloat16_is_unknown() -> None:
    largest = np.array([3.4e38, 1.0], np.float32)  # a float32 that bfloat16 rounds to infinity
    written = stored(narrowed(largest, arithmetic_for("float32")), MIXED)
    assert written.bound[0] == np.inf
    assert written.bound[1] == pytest.approx(2.0**-8, rel=0.01)


def test_a_sum_of_any_length_has_a_finite_bound() -> None:
    ones = narrowed(np.ones((1000, 1), np.float32), MIXED)
    added = total(ones, 0, MIXED.layers)
    running = np.float32(0)
    for _ in range(1000):
        running = np.float32(ml_dtypes.bfloat16(running + np.float32(1)))
    assert running == 256  # one by one, bfloat16 cannot count further
    assert abs(float(running) - 1000) <= added.bound[0] < 1000 * 1000 * 2.0**-7


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_placing_of_roundings_leaves_the_bounds(
    activation: str, loss: str, rounding: str
) -> None:
    names = list(OPTIMIZERS)
    for seed in range(6):
        depth, rows = seed % 4, (1, 3, 17, 40)[seed % 4]
        sizes = (5, *(9, 7, 12)[:depth], 4)
        optimizer = OPTIMIZERS[names[seed % len(names)]]
        experiment = experiment_of(
            sizes, activation, loss, optimizer, dropout=0.3 * (seed % 2), bias=seed != 4
        )
        gain = (0.5, 1.0, 3.0)[seed % 3]
        found = judge(PlainMixed(rounding, seed), experiment, seed, rows, gain)
        assert max(found.values()) <= 1, (seed, found)


MISTAKES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("logits", {"swap": {"relu": "silu"}}, {"activation": "relu"}),
    ("logits", {"swap": {"gelu": "silu"}}, {"activation": "gelu"}),
    ("logits", {"swap": {"tanh": "sigmoid"}}, {"activation": "tanh"}),
    ("logits", {"wrong": frozenset({"bias not added"})}, {}),
    ("logits", {"wrong": frozenset({"dropout not scaled"})}, {"dropout": 0.5}),
    ("gradients", {"wrong": frozenset({"no bias gradient"})}, {}),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("where", "mistake", "given"), MISTAKES)
def test_mistakes_fall_outside(
    where: str, mistake: dict[str, Any], given: dict[str, Any], seed: int
) -> None:
    experiment = experiment_of((8, 16, 5), **given)
    assert judge(PlainMixed(seed=seed, **mistake), experiment, seed, 16, gain=2.0)[where] > 1
    assert judge(PlainMixed(seed=seed), experiment, seed, 16, gain=2.0)[where] <= 1
