"""Initial values: distributions against SciPy, ranges by hand, the draws the same every time."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from scipy import stats

from twofold.problem.data import prepare
from twofold.problem.problem import initial_parameters
from twofold.spec import threefry
from twofold.spec.experiment import Experiment, Init
from twofold.spec.initial_values import initial_bias, initial_weight, truncated_normal

KEY = threefry.root_key(12)
FAN_IN, FAN_OUT = 300, 200  # 60,000 numbers


def distribution(init: str, fan_in: int, fan_out: int) -> Any:
    """What the numbers of a weight must be drawn from, as SciPy has it."""
    deviation = np.sqrt((2.0 if init in ("he_normal", "kaiming_normal") else 1.0) / fan_in)
    if init == "kaiming_normal":
        return stats.norm(scale=deviation)
    if init in ("lecun_normal", "he_normal"):
        bare = stats.truncnorm(-2, 2)
        return stats.truncnorm(-2, 2, scale=deviation / bare.std())
    limit = 1 / np.sqrt(fan_in) if init == "pytorch" else np.sqrt(6 / (fan_in + fan_out))
    return stats.uniform(-limit, 2 * limit)


@pytest.mark.parametrize("init", get_args(Init))
def test_the_distribution_of_a_weight(init: Init) -> None:
    """The Kolmogorov-Smirnov test does not tell it from SciPy's, and tells it from the others."""
    weight = initial_weight(init, KEY, FAN_IN, FAN_OUT)
    assert weight.shape == (FAN_OUT, FAN_IN)
    own = distribution(init, FAN_IN, FAN_OUT)
    assert stats.kstest(weight.ravel(), own.cdf).pvalue > 0.01
    assert weight.std() == pytest.approx(own.std(), rel=0.01)
    for other in set(get_args(Init)) - {init}:
        assert stats.kstest(weight.ravel(), distribution(other, FAN_IN, FAN_OUT).cdf).pvalue < 1e-4
    shares = np.corrcoef(weight)  # of the outputs with each other: independent draws
    np.fill_diagonal(shares, 0)
    assert np.abs(shares).max() < 5 / np.sqrt(FAN_IN)


@pytest.mark.parametrize("init", ["lecun_normal", "he_normal"])
def test_truncated_normals_have_the_variance_asked_for_and_an_end(init: Init) -> None:
    weight = initial_weight(init, KEY, FAN_IN, FAN_OUT)
    asked = (2.0 if init == "he_normal" else 1.0) / FAN_IN
    assert weight.var() == pytest.approx(asked, rel=0.02)
    largest = 2 * np.sqrt(asked) / 0.8796256610342398  # JAX's own constant
    assert 0.999 * largest < np.abs(weight).max() <= largest
    assert stats.truncnorm(-2, 2).std() == pytest.approx(0.8796256610342398, rel=1e-14)
    untruncated = initial_weight("kaiming_normal", KEY, FAN_IN, FAN_OUT)
    assert np.abs(untruncated).max() > 3 * np.sqrt(2 / FAN_IN)


def test_what_lies_outside_is_drawn_again_and_the_rest_stays() -> None:
    first = threefry.normal(threefry.fold_in(KEY, 0), (50, 70))
    drawn = truncated_normal(KEY, (50, 70))
    inside = np.abs(first) <= 2
    assert 0.9 < inside.mean() < 1  # 95.4 % of a normal distribution
    np.testing.assert_array_equal(drawn[inside], first[inside])
    assert (drawn[~inside] != first[~inside]).all()
    assert np.abs(drawn).max() <= 2
    np.testing.assert_array_equal(truncated_normal(KEY, (50, 70)), drawn)


def test_biases_are_zero_or_as_pytorch_draws_them() -> None:
    assert initial_bias("zeros", KEY, 300, 5).tolist() == [0.0] * 5
    drawn = initial_bias("pytorch", KEY, 25, 100_000)
    assert stats.kstest(drawn, stats.uniform(-0.2, 0.4).cdf).pvalue > 0.01


def test_a_problem_starts_from_its_own_init() -> None:
    """Each layer by its own sizes; both precisions from the same draws."""
    changes = ("model.init=glorot_uniform", "model.bias_init=zeros", "model.hidden=[32, 7]")
    wide, narrow = (
        initial_parameters(prepare(Experiment.load("digits", (*changes, f"precision={precision}"))))
        for precision in ("float64", "float32")
    )
    for layer, (fan_in, fan_out) in enumerate([(64, 32), (32, 7), (7, 10)]):
        weight = wide[f"layers.{layer}.weight"]
        limit = np.sqrt(6 / (fan_in + fan_out))
        assert weight.shape == (fan_out, fan_in)
        assert 0.8 * limit < np.abs(weight).max() <= limit
        assert not wide[f"layers.{layer}.bias"].any()
        assert (weight.astype(np.float32) == narrow[f"layers.{layer}.weight"]).all()


def test_the_default_is_pytorchs_range_in_uniform_draws() -> None:
    weight = initial_parameters(prepare(Experiment.load("digits", ("seed=3",))))["layers.0.weight"]
    key = threefry.stream_key(3, threefry.INITIALISATION, 0)
    uniform = threefry.uniform(threefry.fold_in(key, 0), weight.shape)
    expected = ((2 * uniform - 1) / 8).astype(np.float32)  # 64 pixels: 1 / sqrt(64)
    np.testing.assert_array_equal(weight, expected)
