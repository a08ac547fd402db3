"""The contract in small: a backend of about forty lines, and a session around it."""

from __future__ import annotations

from typing import final

import numpy as np
import plain_numpy
import pytest
from problems import make_problem, random_state

from twofold.engines.build_time import NOTHING_BUILT, BuildTime
from twofold.engines.session import Executor, Session
from twofold.errors import DataError
from twofold.problem.problem import Batch, Problem, batch_at, dropout_masks, initial_state
from twofold.problem.state import Array, Parameters, TrainState
from twofold.spec.experiment import Mlp, Sgd


@final
class NumpyExecutor(Executor):
    """Plain NumPy with finite differences for gradients: slow, and complete."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.current = problem, initial_state(problem)

    def logits(self, inputs: Array, *, training: bool) -> Array:
        masks = self.masks(len(inputs)) if training else ()
        return plain_numpy.forward(self.problem, self.current.parameters, inputs, masks)

    def loss(self, batch: Batch) -> float:
        logits = self.logits(batch.inputs, training=False)
        return plain_numpy.loss(self.problem, logits, batch.targets)

    def loss_and_gradients(self, batch: Batch) -> tuple[float, Parameters]:
        masks, parameters = self.masks(batch.rows), self.current.parameters
        gradients = {name: np.empty_like(array) for name, array in parameters.items()}
        for name, gradient in gradients.items():
            for index in np.ndindex(gradient.shape):
                gradient[index] = plain_numpy.gradient_entry(
                    self.problem, parameters, batch, masks, name, index
                )
        logits = self.logits(batch.inputs, training=True)
        return plain_numpy.loss(self.problem, logits, batch.targets), gradients

    def step(self, batch: Batch) -> float:
        loss, gradients = self.loss_and_gradients(batch)
        spec = self.problem.experiment.optimizer
        self.current = plain_numpy.update(spec, self.current, gradients)
        return loss

    def run(self, steps: int) -> Array:
        return np.array([self.step(self.batch(self.current.step)) for _ in range(steps)])

    def batch(self, step: int) -> Batch:
        return batch_at(self.problem, step)

    def masks(self, rows: int) -> tuple[Array, ...]:
        return dropout_masks(self.problem, self.current.step, rows)

    def state(self) -> TrainState:
        return self.current

    def load_state(self, state: TrainState) -> None:
        self.current = state

    def synchronize(self) -> None:
        """NumPy has finished when it returns."""

    def compilations(self) -> int:
        return 0

    def build_time(self) -> BuildTime:
        return NOTHING_BUILT


def fake_session() -> Session:
    """A small problem in the fake backend."""
    model = Mlp(in_features=3, hidden=(4,), out_features=2, activation="tanh", dropout=0.3)
    problem = make_problem(model=model, optimizer=Sgd(learning_rate=0.1, momentum=0.9))
    return Session("fake:numpy", problem, NumpyExecutor(problem))


def test_the_fake_backend_trains() -> None:
    session = fake_session()
    before = session.loss(session.problem.train)
    losses = session.run(12)
    assert losses.shape == (12,)
    assert session.state().step == 12
    assert session.loss(session.problem.train) < before


def test_the_session_checks_for_every_backend() -> None:
    session = fake_session()
    with pytest.raises(DataError, match="label 2 given"):
        session.step(Batch(np.zeros((1, 3)), np.array([2])))
    with pytest.raises(DataError, match="step"):
        session.load_state(random_state(session.problem, step=-1))
    assert session.state().step == 0
