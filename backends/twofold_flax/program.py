"""Model, loss and optimizer of one problem put together: the training step in Optax's idiom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array

from twofold.problem.problem import Problem
from twofold_flax.accumulation import MicroBatch, accumulated, cut
from twofold_flax.feed import Rows, Steps
from twofold_flax.loss import LossFunction, build_loss
from twofold_flax.masks import dropout_key, root_key, step_key
from twofold_flax.model import Mlp
from twofold_flax.optimizer import build_optimizer
from twofold_flax.state import Params, State


@dataclass(frozen=True)
class Program:
    """What a session computes, as pure functions of a state."""

    graph: nnx.GraphDef[Mlp]
    loss: LossFunction
    optimizer: optax.GradientTransformation
    dropout: Array | None  # the key of the dropout stream; None without dropout
    micro_batches: int = 1

    def logits(self, state: State, inputs: Array) -> Array:
        """Logits (batch, out_features) in evaluation mode."""
        return self._forward(state.params, inputs, None)

    def training_logits(self, state: State, inputs: Array) -> Array:
        """Logits (batch, out_features) in training mode, with the masks of the state's step."""
        return self._forward(state.params, inputs, self.key(state.step))

    def evaluate(self, state: State, inputs: Array, targets: Array) -> Array:
        """The loss in evaluation mode."""
        return self.loss(self.logits(state, inputs), targets)

    def loss_and_gradients(
        self, state: State, inputs: Array, targets: Array
    ) -> tuple[Array, Params]:
        """The loss in training mode, and its gradients with the structure of the parameters.

        Of several micro-batches a compiled program holds one after the other, and may compute them
        in any order.
        """
        model = nnx.merge(self.graph, state.params)
        parts = cut(model, inputs, targets, self.key(state.step), self.micro_batches)
        return accumulated([self.gradients_of(state.params, part) for part in parts])

    def gradients_of(self, params: Params, part: MicroBatch) -> tuple[Array, Params]:
        """A part's share of the loss and of the gradients."""

        def loss_of(params: Params) -> Array:
            model = nnx.merge(self.graph, params)
            logits = model(part.inputs, part.key, part.masks)  # (rows, out_features)
            return part.weighted(self.loss(logits, part.targets))  # ()

        return jax.value_and_grad(loss_of)(params)

    def train_step(self, state: State, inputs: Array, targets: Array) -> tuple[State, Array]:
        """One training step; returns the loss before the update."""
        loss, gradients = self.loss_and_gradients(state, inputs, targets)
        updates, optimizer = self.optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(params, optimizer, state.step + 1), loss

    def key(self, step: Array) -> Array | None:
        """The dropout key of a step, or None without dropout."""
        return None if self.dropout is None else step_key(self.dropout, step)

    def _forward(self, params: Params, inputs: Array, key: Array | None) -> Array:
        model = nnx.merge(self.graph, params)
        return model(inputs, key)


def build_program(problem: Problem) -> tuple[Program, Params]:
    """The program of a problem, and parameters as Flax initialises them from the seed.

    With `rng = "shared"` shapes alone stand for those parameters: nobody would use their values,
    and to draw them JAX compiles its operations anew for the shapes of every layer.
    """
    experiment = problem.experiment

    def model() -> Mlp:
        rngs = nnx.Rngs(params=root_key(experiment.seed))
        return Mlp(experiment, problem.layer_sizes, rngs=rngs)

    shared = experiment.rng == "shared"
    graph, params = nnx.split(nnx.eval_shape(model) if shared else model())
    dropout = dropout_key(experiment.seed) if experiment.model.dropout > 0 else None
    optimizer = build_optimizer(experiment.optimizer, jnp.dtype(problem.dtype))
    parts = experiment.training.micro_batches
    return Program(graph, build_loss(experiment.loss), optimizer, dropout, parts), params


def never() -> int:
    """The count of compilations of an engine that never compiles."""
    return 0


Losses = Array | Sequence[Array] | np.ndarray[Any, Any]
TrainStep = Callable[[Any, Array, Array], tuple[Any, Array]]
Take = Callable[[Array, Array, Rows], tuple[Array, Array]]
TrainSteps = Callable[[Any, Array, Array, Steps], tuple[Any, Losses]]


def as_it_is(state: State) -> State:
    """The way to hold a state of an engine that works on the state itself."""
    return state


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
