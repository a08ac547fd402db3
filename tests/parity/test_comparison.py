"""The comparison: nothing passes by being absent, empty, of another shape or not finite."""

from __future__ import annotations

import numpy as np
import pytest

from twofold.parity.judging.comparison import compare, compare_exactly
from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.parity.oracle.bounded import Bounded

FLOAT32 = arithmetic_for("float32")


def allowed(value: list[float], bound: float) -> Bounded:
    return Bounded(np.array(value, np.float64), np.full(len(value), bound))


def test_the_worst_ratio_and_its_place_are_reported() -> None:
    computed = {"a": np.array([1.0, 2.0], np.float32), "b": np.array([3.0, 4.5], np.float32)}
    result = compare(
        computed, {"a": allowed([1.0, 2.0], 0.1), "b": allowed([3.0, 4.0], 0.25)}, FLOAT32
    )
    assert result.worst_ratio == 2.0  # |4.5 - 4| / 0.25
    assert not result.within
    assert result.worst is not None
    assert (result.worst.tensor, result.worst.index) == ("b", (1,))
    assert (result.worst.computed, result.worst.oracle, result.worst.bound) == (4.5, 4.0, 0.25)
    assert (result.outside, result.elements) == (1, 4)


def test_an_error_as_large_as_its_bound_is_within() -> None:
    result = compare({"a": np.array([1.25], np.float32)}, {"a": allowed([1.0], 0.25)}, FLOAT32)
    assert result.worst_ratio == 1.0
    assert result.within


def test_a_zero_bound_admits_the_exact_value_only() -> None:
    exact = {"a": allowed([1.0], 0.0)}
    assert compare({"a": np.array([1.0], np.float32)}, exact, FLOAT32).within
    off = compare({"a": np.array([1.0 + 2.0**-23], np.float32)}, exact, FLOAT32)
    assert off.worst_ratio == np.inf


@pytest.mark.parametrize(
    ("computed", "word"),
    [
        ({}, "missing: a"),
        ({"a": np.ones(1, np.float32), "b": np.ones(1, np.float32)}, "not expected: b"),
        ({"a": np.ones(2, np.float32)}, "(2,)"),
        ({"a": np.ones((1, 1), np.float32)}, "(1, 1)"),
        ({"a": np.ones(1, np.float64)}, "float64"),
        ({"a": np.array([np.nan], np.float32)}, "not finite"),
        ({"a": np.array([np.inf], np.float32)}, "not finite"),
    ],
)
def test_what_is_not_a_matching_finite_tensor_fails(
    computed: dict[str, np.ndarray], word: str
) -> None:
    result = compare(computed, {"a": allowed([1.0], 1e9)}, FLOAT32)
    assert not result.within
    assert result.worst_ratio == np.inf
    assert word in result.note


def test_nothing_and_empty_tensors_do_not_pass() -> None:
    assert not compare({}, {}, FLOAT32).within
    empty = compare({"a": np.ones(0, np.float32)}, {"a": allowed([], 1.0)}, FLOAT32)
    assert not empty.within
    assert not compare_exactly({}, {}).within


def test_an_oracle_beyond_the_range_of_float32_cannot_judge() -> None:
    result = compare({"a": np.array([1.0], np.float32)}, {"a": allowed([1e39], 1.0)}, FLOAT32)
    assert result.unusable is not None
    assert not result.within


def test_an_infinite_bound_cannot_judge() -> None:
    result = compare({"a": np.array([1.0], np.float32)}, {"a": allowed([1.0], np.inf)}, FLOAT32)
    assert result.unusable is not None
    assert not result.within


def test_exact_comparison_sees_single_bits_and_signs_of_zero() -> None:
    base = np.array([0.0, 1.0], np.float32)
    assert compare_exactly({"a": base.copy()}, {"a": base}).within
    signed = compare_exactly({"a": np.array([-0.0, 1.0], np.float32)}, {"a": base})
    assert not signed.within
    assert signed.outside == 1
    nearby = base.copy()
    nearby[1] = np.nextafter(np.float32(1), np.float32(2))
    result = compare_exactly({"a": nearby}, {"a": base})
    assert result.worst is not None
    assert result.worst.index == (1,)


def test_exact_comparison_works_on_booleans_integers_and_scalars() -> None:
    mask = np.array([[True, False]])
    assert compare_exactly({"m": mask.copy()}, {"m": mask}).within
    assert not compare_exactly({"m": ~mask}, {"m": mask}).within
    assert compare_exactly({"step": np.asarray(3)}, {"step": np.asarray(3)}).within
    assert not compare_exactly({"step": np.asarray(4)}, {"step": np.asarray(3)}).within
    assert not compare_exactly({"m": mask.astype(np.int8)}, {"m": mask}).within
