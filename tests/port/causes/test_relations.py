"""Inputs that are the original's in another form: each relation is found, and only where it is."""

from __future__ import annotations

import numpy as np
import pytest

from twofold.port.causes.relations import relation_between, relation_of_raw, with_raw

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.normal(size=(3, 6, 6, 3))
TOKENS = RANDOM.integers(0, 9, (4, 5))
TOKENS[1, 2] = 8
TABLE = RANDOM.normal(size=(5, 6))
SHIFT = np.array([0.1, -0.2, 0.3])
CASES = {
    "mirrored": (PICTURES, PICTURES[:, :, ::-1], "order of the input", "(mirrored)"),
    "channels": (PICTURES, PICTURES[..., ::-1], "order of the input", "reversed along the chann"),
    "transposed": (PICTURES, PICTURES.swapaxes(1, 2), "axes of the input", "axes 1 and 2"),
    "scaled": (PICTURES, 255 * PICTURES, "scale of the input", "times 255"),
    "mean": (PICTURES, PICTURES + SHIFT, "mean of the input", "0.1, -0.2, 0.3"),
    "deviation": (PICTURES, PICTURES * (2 + SHIFT), "deviation of the input", "2.1, 1.8, 2.3"),
    "bounded": (TABLE, np.clip(TABLE, -0.2, 0.4), "bounded numbers", "-0.2 and 0.4"),
    "columns": (TABLE, TABLE[:, [3, 2, 1, 0, 4, 5]], "order of the input", "3, 2, 1, 0, 4, 5"),
    "floor": (10 * TABLE, np.floor(10 * TABLE), "transformation of the input", "rounded down"),
    "time": (TOKENS, TOKENS[:, ::-1], "order of the input", "reversed along time"),
    "roll": (TOKENS, np.roll(TOKENS, 2, 1), "order of the input", "rolled by 2"),
    "offset": (
        TOKENS,
        (TOKENS + 1) % 9,
        "offset of whole numbers (tokens, categories)",
        "+1, modulo 9",
    ),
    "unknown": (TOKENS, np.minimum(TOKENS, 5), "bounded numbers", "clipped to 5"),
}


def runs(value):
    """The value and a twin of it."""
    if value.dtype.kind != "f":
        return [value, value]
    return [value, value * (1 + 2.0**-52 * RANDOM.uniform(-1, 1, value.shape))]


@pytest.mark.parametrize("case", CASES)
def test_a_relation_is_found(case):
    original, port, name, told = CASES[case]
    found = relation_between(runs(original), runs(port))
    assert found is not None
    assert found.name == name
    assert told in found.other
    assert np.allclose(found.change(original), port, rtol=1e-12)


@pytest.mark.parametrize("wrong", [PICTURES**2, RANDOM.normal(size=PICTURES.shape)])
def test_no_relation_is_made_up(wrong):
    assert relation_between(runs(PICTURES), runs(wrong)) is None


def test_a_relation_that_nearly_holds_is_none():
    wrong = PICTURES[:, :, ::-1].copy()
    wrong[0, 0, 0, 0] += 1e-6
    assert relation_between(runs(PICTURES), runs(wrong)) is None


def test_the_order_of_scaling_and_subtraction_is_told():
    x = RANDOM.uniform(0, 255, (2, 6, 6, 3))
    mean = np.array([0.4, 0.5, 0.6])
    original, port = runs(x / 255 - mean), runs((x - mean) / 255)
    found = relation_between(original, port)
    assert found is not None
    told = with_raw(found, original, port, [x, x])
    assert "after the numbers are scaled" in told.own
    assert "before the numbers are scaled" in told.other


def test_numbers_cut_before_they_are_scaled_are_told():
    x = RANDOM.uniform(0, 255, (2, 6, 6, 3))
    original, port = runs(x / 255 - 0.5), runs(np.floor(x) / 255 - 0.5)
    assert relation_between(original, port) is None
    found = relation_of_raw(original, port, [x, x])
    assert found is not None
    assert "whole numbers" in found.other
