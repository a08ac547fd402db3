"""What leaves the engine's range on the way leaves nothing known, whatever the exact result is."""

from __future__ import annotations

import numpy as np

from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.parity.oracle.bounded import Bounded, exact, matmul
from twofold.parity.oracle.layers.dropout import drop
from twofold.parity.oracle.optimizers import update
from twofold.problem.state import fresh_state
from twofold.spec.experiment import AdamW, Experiment

FLOAT32 = arithmetic_for("float32")


def test_a_partial_sum_beyond_the_range_makes_the_bound_infinite() -> None:
    """3e38 + 3e38 - 3e38 - 3e38 is exactly zero; float32 from the left gives infinity."""
    left = np.array([[3e38, 3e38, -3e38, -3e38], [1, 1, -1, -1]], np.float32)
    right = np.ones((4, 1), np.float32)
    with np.errstate(over="ignore"):
        assert np.isinf(np.add.accumulate(left[0])).any()
    product = matmul(exact(left, FLOAT32), exact(right, FLOAT32), FLOAT32)
    assert float(product.value[0, 0]) == 0.0
    assert np.isinf(product.bound[0, 0])
    assert product.bound[1, 0] < 1e-6


def test_a_mask_does_not_hide_infinity() -> None:
    """In the engine inf * 0 is NaN; in the oracle a dropped unit is exactly zero."""
    hidden = Bounded(np.array([[1e300, 2.0]]), np.array([[np.inf, 0.5]]))
    dropped = drop(hidden, np.array([[False, False]]), 0.5, FLOAT32)
    assert np.isinf(dropped.bound[0, 0])
    assert dropped.bound[0, 1] == 0.0


def test_adam_knows_nothing_of_a_gradient_whose_square_overflows() -> None:
    """(1e20)^2 is infinite in float32: the update is zero there, and near lr in exact numbers."""
    experiment = Experiment(optimizer=AdamW())
    state = fresh_state({"w": np.ones(2, np.float32)}, ("first_moment", "second_moment"))
    gradient = exact(np.array([1e20, 1.0], np.float32), FLOAT32)
    after = update(experiment, state, {"w": gradient}, FLOAT32).parameters["w"]
    assert not np.isfinite(after.bound[0])
    assert after.bound[1] < 1e-6


def test_clipping_knows_nothing_of_a_norm_whose_square_overflows() -> None:
    experiment = Experiment(optimizer=AdamW(clip_norm=1.0))
    state = fresh_state({"w": np.ones(2, np.float32)}, ("first_moment", "second_moment"))
    gradient = exact(np.array([1e20, 1.0], np.float32), FLOAT32)
    after = update(experiment, state, {"w": gradient}, FLOAT32)
    assert not np.isfinite(after.slots["first_moment"]["w"].bound).any()
