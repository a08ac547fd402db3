"""The measure: twins, scatter and ratio against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.port import twins
from twofold.port.judge.findings import verdict_of
from twofold.port.side import Tensor
from twofold.port.twins import ULP, jittered, measure, nudged


def test_the_ratio_is_the_distance_over_the_scatter_of_both_sides():
    a = [np.array([1.0, 2.0]), np.array([1.0 + 3e-3, 2.0]), np.array([1.0 - 4e-3, 2.0])]
    b = [np.array([1.1, 2.0]), np.array([1.1, 2.0 + 1e-3]), np.array([1.1, 2.0])]
    found = measure(a, b)
    # Scatter of element 0: sqrt((9e-6 + 16e-6) / 2) on A; the median of one moving element is it.
    assert found.ratio == pytest.approx(0.1 / np.sqrt(12.5e-6))
    assert found.index == (0,)
    assert found.size == pytest.approx(0.1 / 2.0)


def test_a_chaotic_element_does_not_desensitize_its_tensor():
    point = np.ones(9)
    noise = np.full(9, 1e-15)
    noise[4] = 0.5
    a = [point, point + noise, point - noise]
    other = point.copy()
    other[0] += 1e-9
    found = measure(a, [other, other + noise, other - noise])
    assert found.index == (0,)
    assert found.ratio == pytest.approx(1e-9 / 1e-15, rel=0.2)
    assert found.jumping == pytest.approx(1 / 9)
    assert verdict_of(found) == "differs"


def test_without_scatter_half_an_ulp_is_the_noise():
    a, b = np.array([1.0]), np.array([1.0 + ULP])
    assert measure([a, a], [b, b]).ratio == pytest.approx(2.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_finite_on_one_side_only_differs(bad):
    a, b = np.array([1.0, 2.0]), np.array([1.0, bad])
    found = measure([a, a], [b, b])
    assert found.ratio == np.inf
    assert found.index == (1,)
    assert verdict_of(found) == "differs"


def test_not_a_number_on_both_sides_is_undecided_and_has_no_ratio():
    a = np.array([1.0, np.nan])
    found = measure([a, a], [a, a])
    assert found.ratio is None
    assert verdict_of(found) == "undecided"
    assert "nan" in found.reason


def test_the_same_infinities_are_compared_by_the_rest():
    a = np.array([1.0, -np.inf])
    assert measure([a, a], [a, a]).ratio == 0.0
    b = np.array([1.5, -np.inf])
    assert verdict_of(measure([a, a], [b, b])) == "differs"


def test_a_tensor_whose_twins_jump_is_undecided_and_not_the_same():
    a = np.array([1.0, 2.0, 3.0])
    jump = np.array([0.3, 0.2, 0.1])
    found = measure([a, a + jump], [a, a - jump])
    assert found.ratio == 0.0
    assert verdict_of(found) == "undecided"


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.sampled_from([0.0, np.inf, np.nan]))
def test_blocks_change_nothing(seed, block, odd):
    """By NumPy on whole arrays, formula by formula."""
    rng = np.random.default_rng(seed)
    a = [rng.standard_normal((3, 7)) for _ in range(3)]
    b = [a[0] + 0.1 * rng.standard_normal((3, 7)) for _ in range(3)]
    a[0][1, 2] = b[0][1, 2] = odd
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twins, "BLOCK", block)
        found = measure(a, b, 2.0)
    if np.isnan(odd):
        assert found.reason == "1 of 21 elements are nan"
        return
    finite = np.isfinite(a[0])
    with np.errstate(invalid="ignore"):
        scatters = [
            np.where(finite, np.sqrt(sum((t - r[0]) ** 2 for t in r[1:]) / 2), 0) for r in (a, b)
        ]
        apart = np.where(finite, np.abs(a[0] - b[0]), 0)
    noise = np.maximum(*scatters)
    scale = np.maximum(noise, max(np.median(s[s > 0]) for s in scatters))
    worst = np.unravel_index(np.argmax(apart / scale), (3, 7))
    assert found.index == worst
    assert found.ratio == pytest.approx((apart / scale)[worst])
    assert found.size == pytest.approx(apart.max() / np.abs(a[0][finite]).max())
    sizes = np.where(finite, np.abs(a[0]), 0)
    own = np.sqrt(np.mean(a[0][finite] ** 2))
    assert found.noise == np.mean(noise > 2.0**-26 * np.maximum(sizes, own))
    assert found.jumping == np.mean(noise > 2.0**-26 * np.maximum(sizes, max(own, 2.0)))


def test_shapes_and_emptiness():
    assert verdict_of(measure([np.ones(2)], [np.ones(3)])) == "differs"
    assert verdict_of(measure([np.ones(0)], [np.ones(0)])) == "not exercised"
    assert verdict_of(measure([np.zeros(2)] * 2, [np.zeros(2)] * 2)) == "not exercised"


@given(
    st.lists(st.floats(1.0, 1e3), min_size=1, max_size=20),
    st.floats(1e-6, 1.0),
    st.integers(0, 2**16),
)
@settings(max_examples=50, derandomize=True, deadline=None)
def test_the_ratio_grows_with_the_difference(values, step, seed):
    point = np.array(values)
    runs = [nudged(point, seed, "x", twin) for twin in range(3)]
    near = measure(runs, [r + step * 1e-3 for r in runs]).ratio
    far = measure(runs, [r + step for r in runs]).ratio
    assert near is not None
    assert far is not None
    assert far > near > 0


def test_twins_are_within_an_ulp_and_differ():
    value = np.linspace(-3, 3, 1000)
    one, two = (nudged(value, 0, "w", twin) for twin in (1, 2))
    assert np.all(np.abs(one - value) <= 1.5 * ULP * np.abs(value))
    assert not np.array_equal(one, value)
    assert not np.array_equal(one, two)
    assert nudged(value, 0, "w", 0) is value
    whole = np.arange(4)
    assert nudged(whole, 0, "w", 1) is whole


def test_jitter_moves_parameters_and_statistics_and_nothing_else():
    ones = np.ones(400, np.float32)
    moved = jittered(Tensor("w", ones, "parameter"), 0)
    assert moved.dtype == np.float64
    assert np.std(moved - 1) == pytest.approx(0.05, rel=0.2)
    variance = jittered(Tensor("v", ones * 0, "buffer", owner="torch.nn.BatchNorm1d"), 0)
    assert (variance >= 0).all()
    assert variance.any()
    for still in (
        Tensor("f", ones, "parameter", trainable=False),
        Tensor("mask", ones, "buffer", owner="mine.Attention"),
        Tensor("inf", np.full(3, -np.inf, np.float32), "parameter"),
    ):
        assert np.array_equal(jittered(still, 0), still.value)


def test_jitter_is_smaller_in_wide_layers():
    wide = jittered(Tensor("w", np.zeros((4096, 4096), np.float32), "parameter"), 0)
    assert np.std(wide) == pytest.approx(1 / 64, rel=0.01)
