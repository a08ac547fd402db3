"""Model, loss and optimizer of one problem put together: the training step in Optax's idiom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array

from twofold.problem import Problem
from twofold_flax.loss import LossFunction, build_loss
from twofold_flax.masks import dropout_key, root_key, step_key
from twofold_flax.model import Mlp
from twofold_flax.optimizer import build_optimizer

Params = nnx.State[Any, Any]


class State(NamedTuple):
    """All that a training step changes: parameters, Optax's state, steps taken (uint32)."""

    params: Params
    optimizer: Any
    step: Array


@dataclass(frozen=True)
class Program:
    """What a session computes, as pure functions of a state."""

    graph: nnx.GraphDef[Mlp]
    loss: LossFunction
    optimizer: optax.GradientTransformation
    dropout: Array | None  # the key of the dropout stream; None without dropout

    def logits(self, state: State, inputs: Array) -> Array:
        """Logits (batch, out_features) in evaluation mode."""
        return self._forward(state.params, inputs, None)

    def training_logits(self, state: State, inputs: Array) -> Array:
        """Logits (batch, out_features) in training mode, with the masks of the state's step."""
        return self._forward(state.params, inputs, self.key(state))

    def evaluate(self, state: State, inputs: Array, targets: Array) -> Array:
        """The loss in evaluation mode."""
        return self.loss(self.logits(state, inputs), targets)

    def loss_and_gradients(
        self, state: State, inputs: Array, targets: Array
    ) -> tuple[Array, Params]:
        """The loss in training mode, and its gradients with the structure of the parameters."""
        key = self.key(state)

        def loss_of(params: Params) -> Array:
            logits = self._forward(params, inputs, key)  # (batch, out_features)
            return self.loss(logits, targets)  # ()

        return jax.value_and_grad(loss_of)(state.params)

    def train_step(self, state: State, inputs: Array, targets: Array) -> tuple[State, Array]:
        """One training step; returns the loss before the update."""
        loss, gradients = self.loss_and_gradients(state, inputs, targets)
        updates, optimizer = self.optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(params, optimizer, state.step + 1), loss

    def key(self, state: State) -> Array | None:
        """The dropout key of the state's step, or None without dropout."""
        return None if self.dropout is None else step_key(self.dropout, state.step)

    def _forward(self, params: Params, inputs: Array, key: Array | None) -> Array:
        model = nnx.merge(self.graph, params)
        return model(inputs, key)


def take(inputs: Array, targets: Array, rows: Array) -> tuple[Array, Array]:
    """A batch of the training rows."""
    return inputs[rows], targets[rows]


def build_program(problem: Problem) -> tuple[Program, Params]:
    """The program of a problem, and parameters as Flax initialises them from the seed."""
    experiment = problem.experiment
    rngs = nnx.Rngs(params=root_key(experiment.seed))
    model = Mlp(experiment, problem.layer_sizes, rngs=rngs)
    graph, params = nnx.split(model)
    dropout = dropout_key(experiment.seed) if experiment.model.dropout > 0 else None
    optimizer = build_optimizer(experiment.optimizer, jnp.dtype(problem.dtype))
    return Program(graph, build_loss(experiment.loss), optimizer, dropout), params


def never() -> int:
    """The count of compilations of an engine that never compiles."""
    return 0


TrainStep = Callable[[State, Array, Array], tuple[State, Array]]
Take = Callable[[Array, Array, Array], tuple[Array, Array]]
TrainSteps = Callable[[State, Array, Array, Sequence[Array]], tuple[State, Sequence[Array]]]


@dataclass(frozen=True)
class Execution:
    """What an engine made of a program: the functions that a session calls."""

    logits: Callable[[State, Array], Array]
    training_logits: Callable[[State, Array], Array]
    evaluate: Callable[[State, Array, Array], Array]
    loss_and_gradients: Callable[[State, Array, Array], tuple[Array, Params]]
    train_step: TrainStep
    train_steps: TrainSteps
    compilations: Callable[[], int]


def python_loop(take: Take, train_step: TrainStep) -> TrainSteps:
    """Steps on batches of the training rows, one call a step; returns their losses."""

    def train_steps(
        state: State, inputs: Array, targets: Array, rows: Sequence[Array]
    ) -> tuple[State, Sequence[Array]]:
        losses = []
        for each in rows:
            state, loss = train_step(state, *take(inputs, targets, each))
            losses.append(loss)
        return state, losses

    return train_steps
