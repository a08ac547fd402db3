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
    ratios,
    state_of,
)
from plain_mixed import ROUNDINGS, PlainMixed

from twofold.parity.oracle.arithmetic import BFLOAT16_LARGEST, BFLOAT16_ROUNDOFF, arithmetic_for
from twofold.parity.oracle.bounded import narrowed, stored, to_bfloat16, total
from twofold.parity.oracle.network import loss_and_gradients
from twofold.parity.oracle.optimizers import update
from twofold.spec.experiment import Adam, Experiment

MIXED = arithmetic_for("mixed_bfloat16")


def judge(
    plain: PlainMixed, experiment: Experiment, seed: int, rows: int, gain: float = 1.0
) -> dict[str, float]:
    """The worst ratios of a step from a warm state, with dropout if the experiment has any."""
    state = state_of(experiment, seed, np.float32, warm=True, gain=gain)
    batch = batch_of(experiment, seed, np.float32, rows)
    masks = masks_of(experiment, seed, rows)
    step = plain.step(experiment, state, batch, masks)
    result = loss_and_gradients(experiment, state, batch, masks, MIXED)
    after = update(experiment, state, result.gradients, MIXED, own_slots=step.state.slots)
    return ratios(step, result, after)


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


COEFFICIENTS = [
    (name, coefficient)
    for name, spec in OPTIMIZERS.items()
    for coefficient in (
        "learning_rate",
        *(["weight_decay"] if spec.weight_decay > 0 else []),
        *(["momentum"] if getattr(spec, "momentum", 0) > 0 else []),
        *(["nesterov"] if getattr(spec, "nesterov", False) else []),
        *([] if spec.kind == "sgd" else ["beta_1", "beta_2", "correction_1", "correction_2"]),
    )
]

UNSEEN = {
    # A gradient's wide bound hides what is added to it, and all that SGD without slots makes of it.
    ("sgd", "learning_rate"),
    ("sgd with weight decay", "learning_rate"),
    ("sgd with weight decay", "weight_decay"),
    ("momentum", "weight_decay"),
    ("nesterov", "weight_decay"),
    ("adam with weight decay", "weight_decay"),
    ("momentum", "momentum"),  # seen where the momentum is large beside the gradient
}


@pytest.mark.parametrize(("name", "coefficient"), COEFFICIENTS)
def test_what_the_optimizer_makes_of_its_gradient_is_judged_in_float32(
    name: str, coefficient: str
) -> None:
    experiment = experiment_of((8, 16, 5), optimizer=OPTIMIZERS[name])
    off = 0.1 if coefficient == "weight_decay" else 0.01
    wrong = PlainMixed(seed=0, optimizer={coefficient: -off})
    seen = max(judge(wrong, experiment, 0, 16).values()) > 1
    assert seen == ((name, coefficient) not in UNSEEN)


def test_coupled_weight_decay_falls_outside() -> None:
    spec = OPTIMIZERS["adamw"]
    experiment = experiment_of((8, 16, 5), optimizer=spec)
    coupled = experiment.model_copy(
        update={"optimizer": Adam(learning_rate=1e-3, weight_decay=spec.weight_decay)}
    )
    state = state_of(experiment, 0, np.float32, warm=True)
    batch = batch_of(experiment, 0, np.float32, 16)
    step = PlainMixed().step(coupled, state, batch, ())
    result = loss_and_gradients(experiment, state, batch, (), MIXED)
    after = update(experiment, state, result.gradients, MIXED, own_slots=step.state.slots)
    found = ratios(step, result, after)
    assert found["gradients"] <= 1
    assert found["parameters"] > 10


@pytest.mark.parametrize("spoil", ["missing", "not finite", "another shape"])
def test_slots_that_cannot_be_used_leave_the_bounds_wide(spoil: str) -> None:
    experiment = experiment_of((4, 3), optimizer=OPTIMIZERS["adamw"])
    state = state_of(experiment, 0, np.float32, warm=True)
    batch = batch_of(experiment, 0, np.float32, 5)
    slots = {
        s: dict(arrays)
        for s, arrays in PlainMixed().step(experiment, state, batch, ()).state.slots.items()
    }
    gradients = loss_and_gradients(experiment, state, batch, (), MIXED).gradients
    wide = update(experiment, state, gradients, MIXED)
    name = "layers.0.weight"
    if spoil == "missing":
        del slots["first_moment"][name]
    elif spoil == "not finite":
        slots["first_moment"][name] = np.full((3, 4), np.nan, np.float32)
    else:
        slots["first_moment"][name] = slots["first_moment"][name].T
    after = update(experiment, state, gradients, MIXED, own_slots=slots)
    np.testing.assert_array_equal(after.parameters[name].bound, wide.parameters[name].bound)
    narrow = after.parameters["layers.0.bias"].bound
    assert (narrow < wide.parameters["layers.0.bias"].bound).all()
