"""Sessions refuse what does not fit before an engine sees it; proved with an engine of NumPy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from twofold.engines.build_time import BuildTime
from twofold.engines.session import Executor, Session
from twofold.errors import DataError
from twofold.problem import problem as problems
from twofold.problem.data import prepare
from twofold.problem.problem import Batch
from twofold.spec.experiment import Experiment


class Recorder(Executor):
    """Remembers what reached it and answers with plain values."""

    def __init__(self, problem):
        self.problem = problem
        self.current = problems.initial_state(problem)
        self.received = []

    def logits(self, inputs, *, training):
        self.received.append((inputs, training))
        return np.zeros((inputs.shape[0], self.problem.out_features), inputs.dtype)

    def loss(self, batch):
        self.received.append(batch)
        return 1.5

    def loss_and_gradients(self, batch):
        self.received.append(batch)
        return 2.5, dict(self.current.parameters)

    def step(self, batch):
        self.received.append(batch)
        return 3.5

    def run(self, steps):
        return np.zeros(steps)

    def batch(self, step):
        return problems.batch_at(self.problem, step)

    def masks(self, rows):
        return problems.dropout_masks(self.problem, self.current.step, rows)

    def state(self):
        return self.current

    def load_state(self, state):
        self.current = state

    def synchronize(self):
        self.received.append("synchronize")

    def compilations(self):
        return 7

    def build_time(self):
        return BuildTime(0.5, 2.0)


def open_one(loss="cross_entropy"):
    problem = prepare(
        Experiment.model_validate(
            {
                "model": {"in_features": 3, "hidden": [4], "out_features": 2, "dropout": 0.5},
                "loss": {"kind": loss},
                "data": {"rows": 20, "batch_size": 5},
            }
        )
    )
    executor = Recorder(problem)
    return Session("fake:numpy", problem, executor), executor


LABELS = np.array([0, 1])
INPUTS = np.ones((2, 3))


def test_good_values_reach_the_engine_in_the_problem_dtypes():
    session, executor = open_one()
    assert session.logits(INPUTS, training=True).shape == (2, 2)
    inputs, training = executor.received[-1]
    assert inputs.dtype == np.float32
    assert training is True
    assert session.loss(Batch(INPUTS, LABELS.astype(np.int8))) == 1.5
    assert executor.received[-1].targets.dtype == np.int64
    assert session.loss_and_gradients(Batch(INPUTS, LABELS))[0] == 2.5
    assert session.step(Batch(INPUTS, LABELS)) == 3.5


def test_the_other_questions_pass_through():
    session, executor = open_one()
    assert session.run(3).shape == (3,)
    assert session.batch(0).rows == 5
    assert [mask.shape for mask in session.masks(6)] == [(6, 4)]
    session.synchronize()
    assert executor.received == ["synchronize"]
    assert session.compilations() == 7
    assert session.build_time() == BuildTime(0.5, 2.0)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (np.ones(3), r"inputs: shape \(3,\) given; allowed is \(batch, 3\)"),
        (np.ones((2, 4)), r"inputs: shape \(2, 4\) given"),
        (np.ones((0, 3)), r"batch >= 1"),
        (np.array([[1, 1, 1], [1, np.nan, 1]]), r"inputs\[1, 1\]: nan given"),
        (np.array([[1, 1, -np.inf]]), r"inputs\[0, 2\]: -inf given"),
    ],
)
def test_inputs_that_do_not_fit(inputs, says):
    session, executor = open_one()
    with pytest.raises(DataError, match=says):
        session.logits(inputs)
    with pytest.raises(DataError, match=says):
        session.step(Batch(inputs, np.zeros(len(inputs), np.int64)))
    assert executor.received == []


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        (np.array([0, 2]), r"targets\[1\]: label 2 given; allowed is 0 to 1"),
        (np.array([-1, 0]), r"targets\[0\]: label -1 given"),
        (np.array([0.0, 1.0]), "dtype float64 given; allowed are integer"),
        (np.array([0]), r"shape \(1,\) given; allowed is \(2,\)"),
        (np.array([[0], [1]]), r"shape \(2, 1\) given"),
    ],
)
def test_labels_that_do_not_fit(targets, says):
    session, executor = open_one()
    for ask in (session.loss, session.loss_and_gradients, session.step):
        with pytest.raises(DataError, match=says):
            ask(Batch(INPUTS, targets))
    assert executor.received == []


@pytest.mark.parametrize(
    ("loss", "targets", "says"),
    [
        ("mse", np.ones(2), r"shape \(2,\) given; allowed is \(2, 2\)"),
        ("mse", np.array([[0, 1], [np.nan, 1]]), r"targets\[1\]: not finite"),
        ("bce_with_logits", np.array([[0, 1], [0, 1.5]]), "0.0 to 1.5 given; allowed is 0 to 1"),
        ("bce_with_logits", np.array([[0, 1], [-0.5, 1]]), "-0.5 to 1.0 given"),
    ],
)
def test_real_targets_that_do_not_fit(loss, targets, says):
    session, _ = open_one(loss)
    with pytest.raises(DataError, match=says):
        session.loss(Batch(INPUTS, targets))


@pytest.mark.parametrize("steps", [0, -3])
def test_run_takes_one_step_or_more(steps):
    session, _ = open_one()
    with pytest.raises(DataError, match=f"steps: {steps} given; allowed is 1 or more"):
        session.run(steps)


def test_a_good_state_is_loaded():
    session, executor = open_one()
    later = dataclasses.replace(session.state(), step=9)
    session.load_state(later)
    assert executor.current is later


def test_states_that_do_not_fit():
    session, executor = open_one()
    good = session.state()
    weight = good.parameters["layers.0.weight"]
    wrong = [
        (dataclasses.replace(good, step=-1), "state.step: -1 given"),
        (dataclasses.replace(good, slots={}), "state.slots"),
        (dataclasses.replace(good, parameters={}), "parameters: names"),
        (
            dataclasses.replace(
                good, parameters=dict(good.parameters) | {"layers.0.weight": weight.T}
            ),
            r"layers.0.weight: float32 \(3, 4\) given; allowed is float32 \(4, 3\)",
        ),
        (
            dataclasses.replace(
                good,
                slots=dict(good.slots)
                | {"first_moment": dict(good.parameters) | {"layers.0.weight": weight + 0.0j}},
            ),
            "first_moment layers.0.weight: complex64",
        ),
    ]
    for state, says in wrong:
        with pytest.raises(DataError, match=says):
            session.load_state(state)
    assert executor.current is good


def test_a_state_dict_is_no_train_state():
    session, _ = open_one()
    with pytest.raises(DataError, match=r"state: dict given; allowed is a TrainState; make one"):
        session.load_state({"0.weight": np.zeros((4, 3))})


def test_predict_names_the_class():
    """The recorder answers zeros, so that the first class wins."""
    session, executor = open_one()
    assert session.predict(INPUTS).tolist() == ["0", "0"]
    assert executor.received[-1][1] is False
    assert session.executor_type is Recorder
