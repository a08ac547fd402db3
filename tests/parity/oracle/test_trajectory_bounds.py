"""Free runs stay within bounds that go through all of their steps; wrong ones do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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
from plain import ORDERS, STYLES, Plain
from plain_mixed import ROUNDINGS, PlainMixed
from test_bounds_hold import adams, sgds

from twofold.parity.judging.comparison import Comparison
from twofold.parity.ladder.multistep import compare_call
from twofold.parity.ladder.reference import training_step
from twofold.parity.ladder.run_calls import Call
from twofold.parity.ladder.trajectory import trajectory
from twofold.parity.oracle.adam_moments import AdamMoments
from twofold.parity.oracle.arithmetic import Arithmetic, arithmetic_for
from twofold.parity.oracle.bounded import Bounded, exact
from twofold.parity.oracle.network import loss_and_gradients
from twofold.parity.oracle.optimizers import UncertainState, following, starting_from, update
from twofold.problem.problem import Problem, batch_at, dropout_masks
from twofold.problem.state import FIRST_MOMENT, SECOND_MOMENT, TrainState
from twofold.spec.experiment import Adam, AdamW, Data

Array = np.ndarray[Any, Any]
PRECISIONS = {np.float32: "float32", np.float64: "float64"}


def problem_of(experiment: Any, seed: int, dtype: type, rows: int, scale: float = 1.0) -> Problem:
    """Three batches an epoch, the last one smaller where `rows` is no multiple of three."""
    experiment = experiment.model_copy(
        update={
            "precision": PRECISIONS[dtype],
            "data": Data(batch_size=-(-rows // 3)),
            "seed": seed,
        }
    )
    return Problem(
        experiment,
        batch_of(experiment, seed, dtype, rows, scale),
        batch_of(experiment, seed + 1, dtype, 2),
    )


@np.errstate(all="ignore")
def free_run(problem: Problem, state: TrainState, steps: int, plain: Plain | PlainMixed) -> Call:
    """What a program that nobody corrects makes of a state."""
    before, losses = state, []
    for step in range(state.step, state.step + steps):
        batch = batch_at(problem, step)
        masks = dropout_masks(problem, step, batch.rows)
        taken = plain.step(problem.experiment, state, batch, masks)
        losses.append(taken.loss)
        state = taken.state
    return Call(before, steps, np.asarray(losses, problem.dtype), state)


def judged_run(
    problem: Problem, state: TrainState, steps: int, plain: Plain | PlainMixed
) -> Comparison:
    arithmetic = arithmetic_for(problem.experiment.precision)
    expected = trajectory(problem, state, steps, arithmetic)
    return compare_call(free_run(problem, state, steps, plain), expected, arithmetic)


@st.composite
def settings_of_a_run(draw: st.DrawFn) -> dict[str, Any]:
    depth = draw(st.integers(0, 3))
    sizes = tuple(draw(st.integers(1, 24)) for _ in range(depth + 2))
    return {
        "experiment": experiment_of(
            sizes,
            draw(st.sampled_from(ACTIVATIONS)),
            draw(st.sampled_from(LOSSES)),
            draw(st.one_of(adams, sgds)),
            dropout=draw(st.sampled_from([0.0, 0.0, 0.1, 0.5])),
            bias=draw(st.booleans()),
        ),
        "rows": draw(st.integers(3, 24)),
        "steps": draw(st.integers(1, 9)),
        "seed": draw(st.integers(0, 2**20)),
        "scale": draw(st.sampled_from([1e-2, 1.0, 30.0])),
        "warm": draw(st.booleans()),
        "plain": (
            draw(st.sampled_from(ORDERS)),
            draw(st.sampled_from(STYLES)),
            draw(st.integers(0, 99)),
            draw(st.booleans()),
        ),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_free_runs_stay_inside(dtype: type) -> None:
    judged, worst = [], 0.0

    @settings(
        max_examples=150,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(settings_of_a_run())
    def check(drawn: dict[str, Any]) -> None:
        nonlocal worst
        problem = problem_of(
            drawn["experiment"], drawn["seed"], dtype, drawn["rows"], drawn["scale"]
        )
        state = state_of(problem.experiment, drawn["seed"], dtype, warm=drawn["warm"])
        comparison = judged_run(problem, state, drawn["steps"], Plain(dtype, *drawn["plain"]))
        judged.append(comparison.unusable is None)
        if judged[-1]:
            worst = max(worst, comparison.worst_ratio)
            assert comparison.within, comparison

    check()
    print(dtype.__name__, f"worst {worst:.3f}, judged {sum(judged)} of {len(judged)}")
    assert sum(judged) > 0.7 * len(judged)  # the others left the range, or their bounds did


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_optimizer_and_loss_over_nine_steps(optimizer: str, loss: str, dtype: type) -> None:
    experiment = experiment_of((5, 8, 3), "gelu", loss, OPTIMIZERS[optimizer], dropout=0.2)
    problem = problem_of(experiment, 40, dtype, 11)
    for warm in (False, True):
        state = state_of(problem.experiment, 40, dtype, warm=warm)
        for order, style in (("blas", "torch"), ("pairwise", "jax"), ("fused", "torch")):
            comparison = judged_run(problem, state, 9, Plain(dtype, order, style))
            assert comparison.within, comparison


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_mixed_precision_stays_inside_plain_bounds(optimizer: str) -> None:
    """No slots in between tell a gradient: wide bounds, and often none after some steps."""
    judged = 0
    for number, activation in enumerate(ACTIVATIONS):
        experiment = experiment_of(
            (5, 8, 3), activation, LOSSES[number % 3], OPTIMIZERS[optimizer], dropout=0.2
        )
        problem = problem_of(experiment, number, np.float32, 11)
        mixed = problem.experiment.model_copy(update={"precision": "mixed_bfloat16"})
        problem = replace(problem, experiment=mixed)
        state = state_of(mixed, number, np.float32, warm=bool(number % 2))
        for rounding in ROUNDINGS:
            comparison = judged_run(problem, state, 3, PlainMixed(rounding, seed=number))
            judged += comparison.unusable is None
            assert comparison.within or comparison.unusable, comparison
    assert judged > 10


@pytest.mark.parametrize("precision", ["float32", "float64", "mixed_bfloat16"])
@pytest.mark.parametrize("optimizer", ["nesterov", "adam with weight decay", "adamw"])
def test_the_first_step_has_the_bounds_of_one_step(optimizer: str, precision: Any) -> None:
    """A start without uncertainty is a state: equal bit for bit, values and bounds."""
    dtype = np.float64 if precision == "float64" else np.float32
    experiment = experiment_of((5, 8, 3), "gelu", "cross_entropy", OPTIMIZERS[optimizer])
    problem = problem_of(experiment, 41, dtype, 11)
    problem = replace(
        problem, experiment=problem.experiment.model_copy(update={"precision": precision})
    )
    state = state_of(problem.experiment, 41, dtype, warm=True)
    arithmetic = arithmetic_for(precision)
    one, same = (
        training_step(problem, state, arithmetic),
        trajectory(problem, state, 1, arithmetic),
    )
    pairs = [(one.training.loss, same.losses[0])]
    pairs += [(a, same.after.parameters[name]) for name, a in one.after.parameters.items()]
    for slot, arrays in one.after.slots.items():
        pairs += [(a, same.after.slots[slot][name]) for name, a in arrays.items()]
    for left, right in pairs:
        np.testing.assert_array_equal(left.value, right.value)
        np.testing.assert_array_equal(left.bound, right.bound)


# Wide bounds: what a long run of steps arrives at.


def moved(array: Bounded, random: np.random.Generator, dtype: type, kind: str) -> Array:
    """An array somewhere in its bounds, or at their ends."""
    if kind == "ends":
        share = random.choice([-1.0, 1.0], array.value.shape)
    else:
        share = random.uniform(-1, 1, array.value.shape)
    middle = array.value.astype(np.float64)
    found = (middle + share * array.bound).astype(dtype)
    return np.where(np.abs(found - middle) <= array.bound, found, middle.astype(dtype))


def uncertain_start(
    experiment: Any, state: TrainState, size: float, seed: int, arithmetic: Arithmetic
) -> UncertainState:
    """Bounds of up to `size` around parameters and, in their own unit, slots."""
    random = np.random.default_rng(seed)
    start = starting_from(experiment, state, arithmetic)

    def widened(array: Bounded, unit: float) -> Bounded:
        own = size * unit * random.uniform(0, 1, array.bound.shape) * random.integers(0, 2)
        return Bounded(array.value, own)

    parameters = {name: widened(array, 1.0) for name, array in start.parameters.items()}
    slots = {
        slot: {name: widened(a, float(np.abs(a.value).max())) for name, a in arrays.items()}
        for slot, arrays in start.slots.items()
    }
    found = {}
    for name in start.moment_ratios:
        first, second = slots[FIRST_MOMENT][name], slots[SECOND_MOMENT][name]
        flushed = AdamMoments(experiment.optimizer, first, second, arithmetic).flushed
        least = np.maximum(second.value.astype(np.float64) - second.bound, 0.0)
        found[name] = first.reach / np.sqrt(least + flushed)
    return UncertainState(parameters, slots, state.step, found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-6, 1e-3, 0.1, 1.0, 30.0])
def test_whatever_lies_within_a_wide_start_stays_within(dtype: type, size: float) -> None:
    arithmetic = arithmetic_for(PRECISIONS[dtype])  # type: ignore[arg-type]
    random = np.random.default_rng(7)
    for seed in range(120):
        experiment = experiment_of(
            (4, 6, 3),
            ACTIVATIONS[seed % len(ACTIVATIONS)],
            LOSSES[seed % 3],
            OPTIMIZERS[sorted(OPTIMIZERS)[seed % len(OPTIMIZERS)]],
            dropout=0.3 if seed % 2 else 0.0,
        )
        state = state_of(experiment, seed, dtype, warm=bool(seed % 4), gain=1.0 + seed % 5)
        batch, masks = batch_of(experiment, seed, dtype, 5), masks_of(experiment, seed, 5)
        start = uncertain_start(experiment, state, size, seed, arithmetic)
        result = loss_and_gradients(experiment, start, batch, masks, arithmetic)
        after = update(experiment, start, result.gradients, arithmetic)
        for kind in ("ends", "inside"):
            parameters = {n: moved(a, random, dtype, kind) for n, a in start.parameters.items()}
            slots = {
                slot: {n: moved(a, random, dtype, kind) for n, a in arrays.items()}
                for slot, arrays in start.slots.items()
            }
            if SECOND_MOMENT in slots:
                slots[SECOND_MOMENT] = {
                    n: np.maximum(a, dtype(0)) for n, a in slots[SECOND_MOMENT].items()
                }
            given_state = TrainState(parameters, slots, state.step)
            step = Plain(dtype).step(experiment, given_state, batch, masks)
            worst = ratios(step, result, after)
            assert max(worst.values()) <= 1, (seed, experiment, worst)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.9, 0.95), (0.5, 0.3), (0.0, 0.9), (0.9, 0.0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_ratio_of_the_moments_holds_for_any_gradients(
    betas: tuple[float, float], dtype: type
) -> None:
    """|m| <= R sqrt(v + w) whatever comes: equal, alternating, growing, vanishing gradients."""
    arithmetic = arithmetic_for(PRECISIONS[dtype])  # type: ignore[arg-type]
    experiment = experiment_of((1, 1), optimizer=AdamW(betas=betas))
    optimizer = experiment.optimizer
    assert isinstance(optimizer, AdamW)
    random = np.random.default_rng(3)
    count = 400
    powers = np.linspace(-22, 15, count) if dtype is np.float32 else np.linspace(-165, 100, count)
    p = random.normal(size=count).astype(dtype)
    slots = {s: {"p": np.zeros_like(p)} for s in (FIRST_MOMENT, SECOND_MOMENT)}
    state = TrainState({"p": p}, slots, 0)
    start = starting_from(experiment, state, arithmetic)
    ratio, plain = start.moment_ratios["p"], Plain(dtype, flush=True)
    for step in range(12):
        kind = step % 3
        size = powers if kind < 2 else random.permutation(powers)
        gradient = (random.choice([-1, 1], count) if kind else 1) * 10.0**size
        with np.errstate(under="ignore"):
            state = plain.update(experiment, state, {"p": gradient.astype(dtype)})
        moments = [exact(state.slots[s]["p"], arithmetic) for s in slots]
        after = AdamMoments(optimizer, *moments, arithmetic)
        ratio = after.ratio_after(ratio)
        m, v = (array.value.astype(np.float64) for array in moments)
        assert (np.abs(m) <= ratio * np.sqrt(v + after.flushed)).all()


def test_an_unknown_sign_is_worth_two_learning_rates_and_no_more() -> None:
    """A gradient of unknown sign, twice: without the ratio the second step knows nothing."""
    experiment = experiment_of((1, 1), optimizer=Adam(learning_rate=1e-3))
    arithmetic = arithmetic_for("float32")
    zeros = {s: {"p": np.zeros(1, np.float32)} for s in (FIRST_MOMENT, SECOND_MOMENT)}
    before = starting_from(
        experiment, TrainState({"p": np.zeros(1, np.float32)}, zeros, 0), arithmetic
    )
    gradient = {"p": Bounded(np.array([1e-6]), np.array([1e-4]))}
    for _ in range(2):
        after = update(experiment, before, gradient, arithmetic)
        before = following(experiment, before, after, {}, arithmetic)
    assert after.parameters["p"].bound[0] <= 4.02e-3
    blind = replace(before, moment_ratios={})
    assert update(experiment, blind, gradient, arithmetic).parameters["p"].bound[0] > 1.0


# The bounds bite.

WRONG: dict[str, tuple[str, dict[str, float]]] = {
    "beta 1": ("adamw", {"beta_1": -0.01}),
    "beta 2": ("adamw", {"beta_2": -0.009}),
    "eps": ("adamw", {"eps": 9.0}),
    "decay": ("adamw", {"weight_decay": -0.99}),
    "coupled decay": ("adam with weight decay", {"weight_decay": -0.99}),
    "momentum": ("momentum", {"momentum": -0.01}),
    "learning rate": ("sgd", {"learning_rate": 1e-3}),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_wrong_coefficient_is_found_after_four_steps(name: str, dtype: type) -> None:
    """In float64 always; in float32 mostly, for there its own bounds may be as large.

    There eps = 1e-7 for 1e-8 weighs less than rounding beside gradients of 1e-2.
    """
    optimizer, wrong = WRONG[name]
    share = 1.0 if dtype is np.float64 else 0.0 if name == "eps" else 0.6
    found = []
    for seed in range(20):
        experiment = experiment_of((4, 6, 3), "tanh", LOSSES[seed % 3], OPTIMIZERS[optimizer])
        problem = problem_of(experiment, seed, dtype, 11)
        state = state_of(problem.experiment, seed, dtype, warm=False)
        state = free_run(problem, state, 3, Plain(dtype)).after
        assert judged_run(problem, state, 4, Plain(dtype, order="sequential")).within
        found.append(not judged_run(problem, state, 4, Plain(dtype, wrong=wrong)).within)
    print(name, dtype.__name__, f"{sum(found)} of {len(found)}")
    assert np.mean(found) >= share
