"""The training loop on an executor whose losses and logits are known in advance."""
# ruff: noqa: ARG002  (the fake refuses most calls, whatever their arguments)

import json

import numpy as np
import pytest

from twofold.engines import training
from twofold.engines.build_time import NOTHING_BUILT, BuildTime
from twofold.engines.session import Executor, Session
from twofold.errors import DataError
from twofold.problem.problem import Batch, Problem, initial_state
from twofold.problem.state import Array, Parameters, TrainState
from twofold.spec.experiment import Experiment, Training

ROWS, BATCH, TEST_ROWS = 10, 4, 2500


class Scripted(Executor):
    """Answers the loss 100 - step and, as logits, the inputs; notes what it was asked."""

    def __init__(self, problem: Problem, step: int = 0, bad_from: int = 10**9) -> None:
        self.problem, self.taken, self.bad_from = problem, step, bad_from
        self.runs: list[int] = []
        self.evaluated: list[int] = []
        self.synchronized = 0

    def run(self, steps: int) -> Array:
        self.runs.append(steps)
        numbers = np.arange(self.taken, self.taken + steps)
        self.taken += steps
        return np.where(numbers >= self.bad_from, np.nan, 100.0 - numbers)

    def logits(self, inputs: Array, *, training: bool) -> Array:
        assert not training
        self.evaluated.append(inputs.shape[0])
        return inputs

    def synchronize(self) -> None:
        self.synchronized += 1

    def state(self) -> TrainState:
        fresh = initial_state(self.problem)
        return TrainState(fresh.parameters, fresh.slots, self.taken)

    def load_state(self, state: TrainState) -> None:
        raise AssertionError("training loads no state")

    def loss(self, batch: Batch) -> float:
        raise AssertionError("training asks for no loss")

    def loss_and_gradients(self, batch: Batch) -> tuple[float, Parameters]:
        raise AssertionError("training asks for no gradients")

    def step(self, batch: Batch) -> float:
        raise AssertionError("training runs on the device")

    def batch(self, step: int) -> Batch:
        raise AssertionError("training runs on the device")

    def masks(self, rows: int) -> tuple[Array, ...]:
        raise AssertionError("training draws no masks")

    def compilations(self) -> int:
        return 0

    def build_time(self) -> BuildTime:
        return NOTHING_BUILT


def problem(test_rows: int = TEST_ROWS, **training_length: int) -> Problem:
    experiment = Experiment().model_copy(
        update={
            "model": Experiment().model.model_copy(update={"in_features": 3, "out_features": 3}),
            "data": Experiment().data.model_copy(update={"batch_size": BATCH}),
            "training": Training(**training_length),
        }
    )
    rng = np.random.default_rng(5)
    rows = ROWS + test_rows
    inputs = rng.normal(size=(rows, 3)).astype(np.float32)
    targets = rng.integers(0, 3, rows)
    split = Batch(inputs[:ROWS], targets[:ROWS]), Batch(inputs[ROWS:], targets[ROWS:])
    return Problem(experiment, *split)


def session_of(the_problem: Problem, **script: int) -> tuple[Session, Scripted]:
    executor = Scripted(the_problem, **script)
    return Session("fake:scripted", the_problem, executor), executor


def test_runs_every_step_in_chunks_of_an_epoch() -> None:
    session, executor = session_of(problem(epochs=2))
    result = training.train(session)
    assert executor.runs == [3, 3]  # ten rows in batches of four
    assert executor.synchronized >= 2
    assert [epoch.loss for epoch in result.epochs] == [99.0, 96.0]  # means of 100 99 98, 97 96 95
    assert (result.outcome, result.steps, result.engine) == ("finished", 6, "fake:scripted")


def test_a_number_of_steps_ends_inside_an_epoch() -> None:
    session, executor = session_of(problem(steps=7))
    result = training.train(session)
    assert executor.runs == [3, 3, 1]
    assert [(epoch.epoch, epoch.steps) for epoch in result.epochs] == [(1, 3), (2, 3), (3, 1)]


def test_goes_on_where_the_session_stands() -> None:
    session, executor = session_of(problem(epochs=3), step=4)
    result = training.train(session)
    assert executor.runs == [2, 3]
    assert [epoch.epoch for epoch in result.epochs] == [2, 3]


def test_a_session_that_is_done_is_refused() -> None:
    session, _ = session_of(problem(epochs=1), step=3)
    with pytest.raises(DataError, match="3 steps taken"):
        training.train(session)


def test_scores_all_test_rows_in_chunks() -> None:
    the_problem = problem(epochs=1)
    session, executor = session_of(the_problem)
    result = training.train(session)
    assert executor.evaluated == [1024, 1024, 452]
    right = the_problem.test.inputs.argmax(axis=1) == the_problem.test.targets
    assert result.score is not None
    assert result.score.value == right.mean()
    assert (result.score.name, result.score.rows) == ("accuracy", TEST_ROWS)
    counts = np.bincount(the_problem.train.targets)
    assert result.score.baseline == np.mean(the_problem.test.targets == counts.argmax())


def test_without_test_rows_there_is_no_score() -> None:
    session, executor = session_of(problem(test_rows=0, epochs=1))
    assert training.train(session).score is None
    assert executor.evaluated == []


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        (np.ones((1, 3), np.float32), "R^2 has no value on 1 test row; allowed are 2 or more"),
        (
            np.array([[1, 5, 2], [2, 5, 1]], np.float32),
            "R^2 has no value on 2 test rows whose targets are all alike",
        ),
    ],
)
def test_a_metric_without_a_value_leaves_the_losses_and_a_note(targets: Array, says: str) -> None:
    real = problem(epochs=1)
    experiment = real.experiment.with_values(loss__kind="mse")
    train = Batch(real.train.inputs, real.train.inputs)
    test = Batch(real.test.inputs[: len(targets)], targets)
    session, executor = session_of(Problem(experiment, train, test))
    result = training.train(session)
    assert (result.outcome, result.score) == ("finished", None)
    assert [epoch.loss for epoch in result.epochs] == [99.0]
    assert result.note is not None
    assert says in result.note
    assert result.to_json()["note"] == result.note
    assert executor.evaluated == []


def test_stops_after_the_epoch_whose_loss_is_not_finite() -> None:
    session, executor = session_of(problem(epochs=4), bad_from=4)
    result = training.train(session)
    assert executor.runs == [3, 3]
    assert (result.outcome, result.score) == ("diverged", None)
    stored = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert [epoch["loss"] for epoch in stored["epochs"]] == [99.0, None]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_last_step_that_spoils_the_logits_has_diverged(bad: float) -> None:
    """Every loss was finite; the update after the last one was not, and the result is kept."""
    session, executor = session_of(problem(epochs=1))
    executor.logits = lambda inputs, **_: np.full_like(inputs, bad)  # type: ignore[method-assign]
    result = training.train(session)
    assert (result.outcome, result.score, result.steps) == ("diverged", None, 3)
    assert [epoch.loss for epoch in result.epochs] == [99.0]


def test_progress_is_told_after_each_epoch() -> None:
    session, executor = session_of(problem(epochs=3))
    seen: list[tuple[int, int]] = []
    training.train(session, on_progress=lambda epoch: seen.append((epoch.epoch, executor.taken)))
    assert seen == [(1, 3), (2, 6), (3, 9)]


def test_json_carries_schema_experiment_and_environment() -> None:
    session, _ = session_of(problem(epochs=1))
    stored = json.loads(json.dumps(training.train(session).to_json(), allow_nan=False))
    assert stored["schema"] == "twofold.training/1"
    assert stored["experiment"]["data"]["batch_size"] == BATCH
    assert stored["environment"]
    assert stored["training_seconds"] == pytest.approx(
        sum(epoch["seconds"] for epoch in stored["epochs"])
    )
    assert stored["evaluation_seconds"] > 0
