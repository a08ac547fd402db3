"""A training that leaves its numbers' range in exact arithmetic too: a finding of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import twofold
from twofold import Experiment, open_session, prepare
from twofold.backends.installed import backend
from twofold.errors import NothingShown
from twofold.parity.judging.comparison import compare, error_ratios
from twofold.parity.judging.subject import Subject
from twofold.parity.judging.verdict import ParityReport
from twofold.parity.ladder.evaluation import evaluation_metric_rung
from twofold.parity.ladder.reference import build_reference, is_in_range
from twofold.parity.ladder.steplocked import step_locked_rung
from twofold.parity.oracle.activations import activate
from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.parity.oracle.bounded import Bounded, matmul, narrowed
from twofold.parity.oracle.clipping import clip_by_global_norm

FLOAT32 = arithmetic_for("float32")
NAN = float("nan")


def exploding(rate: float, **changes: Any) -> Experiment:
    """Linear regression by SGD, whose error grows by a factor each step at so large a rate."""
    return Experiment(name="explode").with_values(
        model__hidden=[8],
        loss__kind="mse",
        optimizer__kind="sgd",
        optimizer__learning_rate=rate,
        data__rows=80,
        data__batch_size=16,
        **changes,
    )


def first_step_beyond(experiment: Experiment) -> int:
    """Counted from 1: the first step whose loss, of plain float64 NumPy, float32 cannot hold."""
    problem = prepare(experiment)
    from twofold.problem.problem import batch_at, initial_state

    p = {n: a.astype(np.float64) for n, a in initial_state(problem).parameters.items()}
    rate = experiment.optimizer.learning_rate
    for step in range(100):
        batch = batch_at(problem, step)
        x, y = batch.inputs.astype(np.float64), batch.targets.astype(np.float64)
        z = x @ p["layers.0.weight"].T + p["layers.0.bias"]
        h = np.maximum(z, 0)
        error = h @ p["layers.1.weight"].T + p["layers.1.bias"] - y
        if not np.mean(error**2) <= np.finfo(np.float32).max:
            return step + 1
        d = 2 * error / error.size
        below = (d @ p["layers.1.weight"]) * (z > 0)
        p["layers.1.weight"] -= rate * d.T @ h
        p["layers.1.bias"] -= rate * d.sum(axis=0)
        p["layers.0.weight"] -= rate * below.T @ x
        p["layers.0.bias"] -= rate * below.sum(axis=0)
    raise AssertionError("it stays in range")


@pytest.fixture(scope="module")
def report() -> ParityReport:
    return twofold.certify(exploding(5.0), engines=["torch:eager"], precisions=["float32"])


def test_the_step_is_that_of_plain_float64(report: ParityReport) -> None:
    step = first_step_beyond(exploding(5.0))
    assert 2 < step < 20
    verdicts = {rung.rung: rung for rung in report.rungs}
    assert verdicts["step-locked training"].verdict == "out of range"
    assert verdicts["step-locked training"].beyond_step == step
    assert report.outcome == "out of range"
    said = twofold.parity.judging.verdict.conclusion(report)
    assert f"leaves the range of float32 at step {step}; parity holds up to there" in said
    assert "lower optimizer.learning_rate (5 now)" in said


def test_all_before_that_step_is_judged_and_certified(report: ParityReport) -> None:
    held = {rung.rung for rung in report.rungs if rung.passed}
    assert held >= {"forward", "loss", "gradients", "update (fresh)", "update (warm)"}
    assert not {rung.verdict for rung in report.rungs} & {"diverges", "not run", "vacuous"}
    several = next(rung for rung in report.rungs if rung.rung == "multi-step execution")
    assert "in one call hold: equal bit for bit" in several.note


def test_it_is_no_divergence_and_no_failed_engine() -> None:
    with pytest.raises(NothingShown, match="the training itself leaves the range of float32"):
        twofold.assert_parity(
            exploding(5.0), engines=["torch:eager"], precisions=["float32"], steps=12
        )


def test_a_wrong_engine_still_diverges_before_the_range_is_left() -> None:
    right = prepare(exploding(5.0))
    session: Any = open_session(prepare(exploding(4.0)), "torch:eager")
    session.problem = right
    rung = step_locked_rung(Subject(session, backend("torch"), build_reference(right)))
    assert rung.verdict == "diverges"


def test_the_warm_moment_is_the_last_that_stays_in_range() -> None:
    """At so large a rate the second step is beyond float32 already."""
    reference = build_reference(prepare(exploding(1e18)))
    assert reference.warm.state.step == 0
    assert is_in_range(reference.warm, reference.arithmetic)
    assert build_reference(prepare(exploding(1e-3))).warm.state.step == 3


def test_a_state_that_an_engine_spoilt_is_not_called_out_of_range() -> None:
    problem = prepare(exploding(1e-3))
    session = open_session(problem, "torch:eager")
    state = session.state()
    spoilt = {name: np.full_like(array, np.nan) for name, array in state.parameters.items()}
    session.load_state(type(state)(spoilt, state.slots, 0))
    rung = evaluation_metric_rung(Subject(session, backend("torch"), build_reference(problem)))
    assert rung.verdict == "not run"
    assert "not finite in the state that the session has come to" in rung.note


@pytest.mark.parametrize(
    ("value", "bound"), [(NAN, 0.1), (1.0, NAN), (NAN, NAN), (np.inf, 0.1), (1.0, np.inf)]
)
def test_an_oracle_that_is_not_finite_lets_nothing_pass(value: float, bound: float) -> None:
    allowed = Bounded(np.array([value]), np.array([bound]))
    given = np.array([1.0], np.float32)
    assert error_ratios(given, allowed)[0] == np.inf
    found = compare({"a": given}, {"a": allowed}, FLOAT32)
    assert not found.within
    assert found.leaves_range


def test_not_a_number_goes_through_the_oracle_and_is_nowhere_certain() -> None:
    """Every operation that selects by a comparison: what is not known must not come out known."""
    z = Bounded(np.array([[NAN, -np.inf, 1.0]]), np.array([[0.1, np.inf, NAN]]))
    with np.errstate(invalid="ignore"):
        unit, derivative = activate("relu", z, FLOAT32)
    assert not (np.isfinite(unit.value) & np.isfinite(unit.bound)).any()
    assert (derivative.bound == 1).all()
    product = matmul(Bounded(np.array([[NAN]]), np.zeros((1, 1))), z, FLOAT32)
    assert not np.isfinite(product.bound).any()
    clipped = clip_by_global_norm(
        {"a": Bounded(np.array([NAN]), np.zeros(1)), "b": Bounded(np.ones(1), np.zeros(1))},
        1.0,
        0.0,
        FLOAT32,
    )
    assert not any(np.isfinite(array.bound).any() for array in clipped.values())
    with np.errstate(invalid="ignore"):
        cast = narrowed(Bounded(np.ones(1), np.array([NAN])), arithmetic_for("mixed_bfloat16"))
    assert not np.isfinite(cast.bound).any()
