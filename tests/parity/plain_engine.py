"""A plain network as an engine whose calls of several steps may be other code than single steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, final

import numpy as np
from plain import Plain

from twofold.engines.build_time import NOTHING_BUILT, BuildTime
from twofold.engines.session import Executor
from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.parity.oracle.schedule import learning_rate
from twofold.problem.problem import Batch, Problem, batch_at, dropout_masks, initial_state
from twofold.problem.state import Array, Parameters, TrainState
from twofold.spec.experiment import Constant

Outcome = tuple[Any, TrainState]
# (engine, state before the call, index within it, steps of the call) -> loss and state after
Inner = Callable[["PlainExecutor", TrainState, int, int], Outcome]


@final
class PlainExecutor(Executor):
    """Single steps by `single`; those of a call of several steps by `inner`, if there is one."""

    def __init__(self, problem: Problem, single: Plain, inner: Inner | None = None) -> None:
        self.problem, self.single, self.inner = problem, single, inner
        self.current = initial_state(problem)

    def take(
        self,
        *,
        plain: Plain | None = None,
        batch: int | None = None,
        masks: int | None = None,
        rate: int | None = None,
        count: int | None = None,
        decay: bool = True,
    ) -> Outcome:
        """A step from the current state; what belongs to another step is given by its number."""
        now = self.current.step
        given = batch_at(self.problem, now if batch is None else batch)
        drawn = dropout_masks(self.problem, now if masks is None else masks, given.rows)
        experiment = self.problem.experiment
        rated = learning_rate(
            experiment.optimizer, now if rate is None else rate, arithmetic_for("float64")
        )
        changes: dict[str, Any] = {"learning_rate": float(rated.value), "schedule": Constant()}
        if not decay:
            changes["weight_decay"] = 0.0
        optimizer = experiment.optimizer.model_copy(update=changes)
        experiment = experiment.model_copy(update={"optimizer": optimizer})
        state = self.current if count is None else replace(self.current, step=count)
        done = (plain or self.single).step(experiment, state, given, drawn)
        return done.loss, replace(done.state, step=now + 1)

    def run(self, steps: int) -> Array:
        start, losses = self.current, []
        for index in range(steps):
            if self.inner is None or steps == 1:
                loss, self.current = self.take()
            else:
                loss, self.current = self.inner(self, start, index, steps)
            losses.append(loss)
        return np.asarray(losses, self.problem.dtype)

    def batch(self, step: int) -> Batch:
        return batch_at(self.problem, step)

    def masks(self, rows: int) -> tuple[Array, ...]:
        return dropout_masks(self.problem, self.current.step, rows)

    def state(self) -> TrainState:
        return self.current

    def load_state(self, state: TrainState) -> None:
        self.current = state

    def logits(self, inputs: Array, *, training: bool) -> Array:
        raise NotImplementedError

    def loss(self, batch: Batch) -> float:
        raise NotImplementedError

    def loss_and_gradients(self, batch: Batch) -> tuple[float, Parameters]:
        raise NotImplementedError

    def step(self, batch: Batch) -> float:
        raise NotImplementedError

    def synchronize(self) -> None:
        """NumPy has finished when it returns."""

    def compilations(self) -> int:
        return 0

    def build_time(self) -> BuildTime:
        return NOTHING_BUILT
