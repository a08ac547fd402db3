"""Early stopping on losses that are known in advance, and the best epoch's own state."""
# ruff: noqa: ARG002  (the fake refuses most calls, whatever their arguments)

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from twofold.engines import training
from twofold.engines.build_time import NOTHING_BUILT, BuildTime
from twofold.engines.registry import open_session
from twofold.engines.session import Executor, Session
from twofold.engines.validation import Validation, Watch, best_of, is_over, validation_loss
from twofold.errors import SpecError
from twofold.problem.data import prepare
from twofold.problem.problem import Batch, Problem, initial_state
from twofold.problem.state import Array, Parameters, TrainState
from twofold.spec.experiment import CrossEntropy, Experiment
from twofold.studies import outcome


class Scripted(Executor):
    """The losses of the validation rows are given, one for each epoch; logits are the inputs."""

    def __init__(self, problem: Problem, script: Sequence[float]) -> None:
        self.problem, self.script, self.taken = problem, list(script), 0
        self.loaded: list[int] = []

    def run(self, steps: int) -> Array:
        self.taken += steps
        return np.full(steps, 0.5)

    def loss(self, batch: Batch) -> float:
        return self.script[self.taken // self.problem.steps_per_epoch - 1]

    def logits(self, inputs: Array, *, training: bool) -> Array:
        return inputs

    def state(self) -> TrainState:
        fresh = initial_state(self.problem)
        return TrainState(fresh.parameters, fresh.slots, self.taken)

    def load_state(self, state: TrainState) -> None:
        self.loaded.append(state.step)
        self.taken = state.step

    def synchronize(self) -> None:
        pass

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


def scripted(losses: Sequence[float], patience: int | None = None) -> tuple[Session, Scripted]:
    """Epochs of three steps, as many as there are losses."""
    experiment = Experiment().with_values(
        data__rows=40,
        data__test_fraction=0.5,
        data__validation_fraction=0.5,
        data__batch_size=4,
        model__hidden=[],
        training__epochs=len(losses),
    )
    problem = prepare(experiment.with_values(training__patience=patience))
    executor = Scripted(problem, losses)
    return Session("fake:scripted", problem, executor), executor


@pytest.mark.parametrize(
    ("losses", "patience", "best", "epochs"),
    [
        ([5, 4, 4, 6, 3, 2], 2, 2, 4),  # an equal loss is no better one
        ([5, 4, 4, 3, 6, 6, 1], 2, 4, 6),
        ([5, 6, 1], 1, 1, 2),
        ([5, 4, 3, 2], 1, 4, 4),  # it ended before its patience did
        ([5, 6, 7], 3, 1, 3),
        ([5, 6, 7, 4.9], 3, 4, 4),
        ([3, 9, 9, 2, 9, 9, 9], None, 4, 7),
    ],
)
def test_the_training_stops_where_a_person_would_stop_it(
    losses: list[float], patience: int | None, best: int, epochs: int
) -> None:
    session, executor = scripted(losses, patience)
    steps = session.problem.steps_per_epoch
    result = training.train(session)
    assert len(result.epochs) == epochs
    assert [epoch.validation_loss for epoch in result.epochs] == losses[:epochs]
    assert result.validation == Validation(
        best, best * steps, losses[best - 1], 10, epochs < len(losses)
    )
    assert result.steps == epochs * steps
    assert executor.taken == best * steps
    assert executor.loaded == ([] if best == epochs else [best * steps])
    stored = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert stored["validation"]["epoch"] == best
    assert [epoch["validation_loss"] for epoch in stored["epochs"]] == losses[:epochs]


def test_each_length_of_a_sequence_by_hand() -> None:
    losses = [4.0, 5.0, 3.0, 3.0, 3.5]
    assert [best_of(losses[:n]) for n in range(1, 6)] == [0, 0, 2, 2, 2]
    assert [is_over(losses[:n], 2) for n in range(1, 6)] == [False, False, False, False, True]
    assert [is_over(losses[:n], 1) for n in range(1, 6)] == [False, True, False, True, True]
    assert not any(is_over(losses[:n], None) for n in range(1, 6))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_validation_loss_that_is_not_finite_ends_the_training(bad: float) -> None:
    session, executor = scripted([5, 4, bad, 3], 3)
    result = training.train(session)
    assert (result.outcome, result.score, result.validation) == ("diverged", None, None)
    assert len(result.epochs) == 3
    assert executor.loaded == []
    stored = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert [epoch["validation_loss"] for epoch in stored["epochs"]] == [5, 4, None]


def test_a_training_that_goes_on_knows_what_was_best() -> None:
    session, executor = scripted([9, 9, 9, 3, 4], 3)
    before = TrainState(executor.state().parameters, executor.state().slots, 6)
    executor.taken = 9
    watch = Watch(session, [5.0, 2.0, 6.0], session.hold(before))
    for over in (False, True):
        executor.taken += 3
        assert watch.measure() in (3, 4)
        assert watch.is_over is over
    watch.restore()
    assert executor.loaded == [6]


def test_without_validation_rows_nothing_is_measured() -> None:
    session, executor = scripted([1.0])
    bare = Problem(session.problem.experiment, session.problem.train, session.problem.test)
    watch = Watch(Session("fake:scripted", bare, executor))
    assert watch.measure() is None
    assert not watch.is_over
    stored = training.train(Session("fake:scripted", bare, executor)).to_json()
    assert stored["validation"] is None
    assert "validation_loss" not in stored["epochs"][0]


class Weighted(Scripted):
    """The class-weighted cross-entropy of logits that are the inputs, in float64."""

    def loss(self, batch: Batch) -> float:
        own = np.array([0.5, 1.0, 4.0])[batch.targets]
        shifted = batch.inputs.astype(np.float64)
        each = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(batch.rows), batch.targets]
        return float((own * each).sum() / own.sum())


@pytest.mark.parametrize("rows", [1, 1024, 1025, 3001])
def test_chunks_add_up_to_the_loss_of_all_rows(rows: int) -> None:
    """Sorted by class, so that a mean by rows would be far off."""
    random = np.random.default_rng(3)
    targets = np.sort(random.integers(0, 3, rows))
    batch = Batch(random.normal(size=(rows, 3)).astype(np.float32), targets)
    model = Experiment().model.model_copy(update={"in_features": 3, "out_features": 3})
    experiment = Experiment().model_copy(
        update={"model": model, "loss": CrossEntropy(class_weights=(0.5, 1.0, 4.0))}
    )
    problem = Problem(experiment, batch, batch)
    executor = Weighted(problem, [])
    found = validation_loss(Session("fake:weighted", problem, executor), batch)
    assert found == pytest.approx(executor.loss(batch), rel=1e-13)


@pytest.mark.parametrize("engine", ["torch:eager", "flax:jit"])
def test_the_best_epoch_is_a_training_of_that_many_epochs(engine: str) -> None:
    """Dropout, batch norm and a schedule: every bit of the state, and the score."""
    small = Experiment.load("lesson").with_values(
        data__rows=90,
        data__test_fraction=0.3,
        data__validation_fraction=0.3,
        data__batch_size=8,
        model__hidden=[8, 8],
        model__norm="batch_norm",
        optimizer__learning_rate=0.05,
        optimizer__schedule={"kind": "linear", "transition_steps": 60},
        training__epochs=30,
        training__patience=3,
    )
    problem = prepare(small)
    session = open_session(problem, engine)
    result = training.train(session)
    found = result.validation
    assert found is not None
    assert 1 <= found.epoch == len(result.epochs) - 3
    assert found.stopped
    shorter = small.with_values(training__epochs=found.epoch, training__patience=None)
    other = open_session(prepare(shorter.with_values(data__validation_fraction=0.3)), engine)
    again = training.train(other)
    assert again.validation is not None
    assert (again.score, again.validation.loss) == (result.score, found.loss)
    ours, theirs = session.state(), other.state()
    assert ours.step == theirs.step == found.step
    for name, array in theirs.tensors.items():
        assert ours.tensors[name].tobytes() == array.tobytes(), name


def test_seeds_trained_together_take_no_validation_rows() -> None:
    given = Experiment.load("lesson").with_values(
        data__rows=60, data__test_fraction=0.5, data__validation_fraction=0.5
    )
    with pytest.raises(SpecError, match=r"data\.validation_fraction: 0\.5 given; allowed is 0"):
        outcome.measure(given, seeds=2, together=True)
