"""The embedding in every engine; expected values come from a NumPy product with 0 and 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import plain_layers
import pytest
from problems import make_problem, random_state
from test_engines import (
    SLOW_TO_COMPILE,
    TWO_STEPS,
    assert_close_state,
    assert_same_state,
    marked,
)

from twofold.engines.registry import engine_names, open_session
from twofold.engines.session import Session
from twofold.engines.training import train
from twofold.errors import DataError
from twofold.parity.certify import certify
from twofold.parity.ladder.many_seeds import certify_together
from twofold.problem.data import prepare
from twofold.problem.problem import Batch, Problem, batch_at, dropout_masks, initial_state
from twofold.spec.experiment import AdamW, Experiment
from twofold.spec.model import Sequential

MODEL = Sequential.model_validate(
    {
        "in_features": 5,
        "out_features": 3,
        "layers": [
            {"kind": "embedding", "features": 2, "categories": [3, 1, 4]},
            {"kind": "dropout", "rate": 0.25},
            {"kind": "linear", "out_features": 6},
            {"kind": "activation", "function": "tanh"},
            {"kind": "linear"},
        ],
    }
)
SESSIONS = [marked(name, SLOW_TO_COMPILE) for name in engine_names() if name != TWO_STEPS]
OPTIMIZER = AdamW(learning_rate=0.01, weight_decay=0.3, decay_biases=False)


def problem_of(**values: Any) -> Problem:
    return make_problem(model=MODEL, optimizer=OPTIMIZER, **values)


@pytest.fixture(scope="module", params=SESSIONS)
def warm(request: pytest.FixtureRequest) -> Session:
    """One float64 session of each engine; tests load the state they need."""
    return open_session(problem_of(), request.param)


def test_logits_are_those_of_numpy_in_both_modes(warm: Session) -> None:
    problem, state = warm.problem, random_state(warm.problem, step=3)
    warm.load_state(state)
    assert_same_state(warm.state(), state)
    batch = batch_at(problem, 3)
    masks = dropout_masks(problem, 3, batch.rows)
    training = plain_layers.forward(problem, state, batch.inputs, masks)
    evaluation = plain_layers.forward(problem, state, batch.inputs, None)
    np.testing.assert_allclose(warm.logits(batch.inputs, training=True), training, rtol=1e-11)
    np.testing.assert_allclose(warm.logits(batch.inputs), evaluation, rtol=1e-11)


def test_every_gradient_is_that_of_finite_differences(warm: Session) -> None:
    """Of all entries of the table: several inputs name a row, and some rows none names."""
    problem, state = warm.problem, random_state(warm.problem, step=3)
    warm.load_state(state)
    batch = batch_at(problem, 3)
    masks = dropout_masks(problem, 3, batch.rows)
    named = np.bincount(batch.inputs[:, 2:].astype(int).ravel(), minlength=11)
    assert named.max() > 2
    _, gradients = warm.loss_and_gradients(batch)
    assert list(gradients) == list(state.parameters)
    for index in np.ndindex(11, 2):
        name, found = "layers.0.weight", gradients["layers.0.weight"][index]
        entry = plain_layers.gradient_entry(problem, state, batch, masks, name, index)
        assert found == pytest.approx(entry, rel=1e-8, abs=1e-10), index
        assert named[index[0]] > 0 or found == 0.0


def test_a_step_is_that_of_a_run(warm: Session) -> None:
    state = random_state(warm.problem, step=3)
    warm.load_state(state)
    warm.step(batch_at(warm.problem, 3))
    stepped = warm.state()
    warm.load_state(state)
    warm.run(1)
    assert_close_state(warm.state(), stepped, rtol=1e-10)
    moved = stepped.parameters["layers.0.weight"] - state.parameters["layers.0.weight"]
    assert (moved != 0).all()  # also of rows that no input names: weight decay and moments


@pytest.mark.parametrize("engine", ["torch:eager", "flax:jit"])
def test_an_input_that_names_no_row_of_its_column_is_refused(engine: str) -> None:
    session = open_session(problem_of(), engine)
    inputs = session.problem.test.inputs.copy()
    inputs[2, 3] = 6.0
    says = r"inputs\[2, 3\]: 6 given; allowed is a whole number from 4 to 5"
    with pytest.raises(DataError, match=says):
        session.logits(inputs)
    with pytest.raises(DataError, match=says):
        session.step(Batch(inputs, session.problem.test.targets))


@pytest.mark.parametrize(("engine", "deviation"), [("torch:eager", 1.0), ("flax:op-by-op", 0.25)])
def test_own_initial_values_are_each_frameworks(engine: str, deviation: float) -> None:
    layers = [{"kind": "embedding", "features": 16, "categories": [999]}, {"kind": "linear"}]
    model = Sequential.model_validate({"in_features": 1, "out_features": 3, "layers": layers})
    problem = make_problem(model=model, rng="native")
    weight = open_session(problem, engine).state().parameters["layers.0.weight"]
    assert weight.std() == pytest.approx(deviation, rel=0.02)
    shared = initial_state(problem).parameters["layers.0.weight"]
    assert shared[:-1].std() == pytest.approx(1.0, rel=0.02)
    assert not np.array_equal(weight, shared)


SMALL: dict[str, Any] = {
    "data__rows": 200,
    "data__source": "synthetic-categories",
    "data__categorical": "embedding",
    "model__hidden": [6],
    "model__embedding_features": 3,
}


@pytest.mark.parametrize("backend", ["torch", "flax"])
def test_many_seeds_in_one_step_are_certified(backend: str) -> None:
    problem = prepare(Experiment().with_values(rng="native", **SMALL))
    certificate = certify_together(problem, (3, 4, 5), backend)
    assert (certificate.judged, certificate.silence) == (9, "")
    assert 0 < certificate.worst_ratio <= 1


def test_micro_batches_in_mixed_precision_are_certified(tmp_path: Path) -> None:
    """More rows than the 256 that bfloat16 can number: they are read before anything is cast."""
    path = tmp_path / "table.csv"
    lines = [f"w{i % 300},{i % 7},{i % 300 % 11}" for i in range(900)]
    path.write_text("\n".join(["c,x,y", *lines, ""]))
    changes = {**SMALL, "data__rows": None, "data__source": str(path), "data__target": "y"}
    parts = {"training__micro_batches": 3, "model__dropout": 0.2}
    experiment = Experiment().with_values(**changes, **parts, optimizer__weight_decay=0.1)
    assert prepare(experiment).train.inputs.max() > 256
    engines = ["torch:eager", "flax:jit"]
    report = certify(experiment, engines=engines, precisions=["mixed_bfloat16"], steps=2)
    assert report.passed, [rung for rung in report.rungs if rung.verdict == "diverges"]


@pytest.mark.parametrize("engine", ["torch:eager", "flax:jit"])
def test_the_network_with_texts_learns_from_them(engine: str) -> None:
    quick = {"data__rows": 2_000, "training__epochs": 10, "optimizer__learning_rate": 1e-2}
    experiment = Experiment().with_values(**SMALL | quick)
    score = train(open_session(prepare(experiment), engine)).score
    assert score is not None
    assert score.value > score.baseline + 0.2
