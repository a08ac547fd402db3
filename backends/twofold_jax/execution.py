"""What an engine makes of a program: the functions that a session calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array

from twofold.problem.state import TrainState
from twofold_jax.feed import Rows, Steps
from twofold_jax.parts import Shared
from twofold_jax.state import Params, State


def never() -> int:
    """The count of compilations of an engine that never compiles."""
    return 0


@dataclass(frozen=True)
class Part:
    """Those from `start` to before `stop` of losses, (steps,) or of one step, not waited for.

    Until they are read, the device trains while Python makes the next epoch ready.
    """

    losses: Array
    start: int
    stop: int

    def read(self) -> np.ndarray[Any, Any]:
        """Wait for them; (steps,)."""
        return np.asarray(self.losses).reshape(-1)[self.start : self.stop]


Losses = Sequence[Array] | Sequence[Part]
TrainStep = Callable[[Any, Array, Array], tuple[Any, Array]]
Take = Callable[[Array, Array, Rows], tuple[Array, Array]]
TrainSteps = Callable[[Any, Array, Array, Steps], tuple[Any, Losses]]


def read(losses: Losses) -> np.ndarray[Any, Any]:
    """Wait for losses; (steps,)."""
    if isinstance(losses[0], Part):
        return np.concatenate([each.read() for each in losses if isinstance(each, Part)])
    return np.array(jax.device_get(losses))


def as_it_is(state: State) -> State:
    """The way to hold a state of an engine that works on the state itself."""
    return state


def unshared(state: TrainState) -> None:
    """No other process has to be given the same state."""


@dataclass(frozen=True)
class Execution:
    """What an engine made of a program: the functions that a session calls.

    The first argument of most is the state as the engine holds it: `hold` makes that from a
    `State`, `release` makes a `State` from it. `prepare` is called once, with all training rows
    and an epoch's steps, before anything is computed.
    """

    logits: Callable[[Any, Array], Array]
    training_logits: Callable[[Any, Array], Array]
    evaluate: Callable[[Any, Array, Array], Array]
    loss_and_gradients: Callable[[Any, Array, Array], tuple[Array, Params]]
    train_step: TrainStep
    train_steps: TrainSteps
    compilations: Callable[[], int]
    hold: Callable[[State], Any] = as_it_is
    release: Callable[[Any], State] = as_it_is
    prepare: Callable[[Any, Array, Array, Steps], None] | None = None
    require_same: Callable[[TrainState], None] = unshared
    shared: Shared | None = None


def python_loop(take: Take, train_step: TrainStep) -> TrainSteps:
    """Steps on batches of the training rows, one call a step; returns their losses."""

    def train_steps(
        state: Any, inputs: Array, targets: Array, steps: Steps
    ) -> tuple[Any, Sequence[Array]]:
        losses = []
        for rows in steps.rows:
            state, loss = train_step(state, *take(inputs, targets, rows))
            losses.append(loss)
        return state, losses

    return train_steps
