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
from twofold.spec.model import dropouts
from twofold_flax.accumulation import MicroBatch, accumulated, cut
from twofold_flax.feed import Rows, Steps
from twofold_flax.loss import LossFunction, RowWeights, build_loss, build_row_weights
from twofold_flax.masks import dropout_key, root_key, step_key
from twofold_flax.model import Network
from twofold_flax.optimizer import build_optimizer
from twofold_flax.state import Params, State, Variables


@dataclass(frozen=True)
class Program:
    """What a session computes, as pure functions of a state."""

    graph: nnx.GraphDef[Network]
    loss: LossFunction
    optimizer: optax.GradientTransformation
    dropout: Array | None  # the key of the dropout stream; None without dropout
    micro_batches: int = 1
    row_weights: RowWeights | None = None

    def logits(self, state: State, inputs: Array) -> Array:
        """Logits (batch, out_features) in evaluation mode."""
        return self.model(state.params, state.buffers)(inputs)

    def training_logits(self, state: State, inputs: Array) -> Array:
        """Logits (batch, out_features) in training mode, with the masks of the state's step."""
        model = self.model(state.params, state.buffers)
        return model(inputs, self.key(state.step), training=True)

    def model(self, params: Params, buffers: Params) -> Network:
        """A model of these values, with buffers of its own.

        Batch norm moves its buffers in place: those of a state must stay, and Flax lets it change
        none from outside a trace.
        """
        own: Params = jax.tree.map(lambda leaf: leaf, buffers)
        return nnx.merge(self.graph, params, own)

    def evaluate(self, state: State, inputs: Array, targets: Array) -> Array:
        """The loss in evaluation mode."""
        return self.loss(self.logits(state, inputs), targets)

    def loss_and_gradients(
        self, state: State, inputs: Array, targets: Array
    ) -> tuple[Array, Params]:
        """The loss in training mode, and its gradients with the structure of the parameters."""
        loss, gradients, _ = self.differentiated(state, inputs, targets)
        return loss, gradients

    def differentiated(
        self, state: State, inputs: Array, targets: Array
    ) -> tuple[Array, Params, Params]:
        """The loss in training mode, its gradients, and the buffers that the forward pass moved.

        Of several micro-batches a compiled program holds one after the other, and may compute them
        in any order; no model with buffers has several.
        """
        model = self.model(state.params, state.buffers)
        parts = self.cut(model, inputs, targets, self.key(state.step))
        results = [self.gradients_of(state, part) for part in parts]
        loss, gradients = accumulated([(loss, own) for loss, _, own in results])
        return loss, gradients, results[-1][1]

    def cut(
        self, model: Network, inputs: Array, targets: Array, key: Array | None
    ) -> list[MicroBatch]:
        """The micro-batches of a batch, or the batch itself where there is one."""
        weights = None if self.row_weights is None else self.row_weights(targets)
        return cut(model, inputs, targets, key, self.micro_batches, weights)

    def gradients_of(self, state: State, part: MicroBatch) -> tuple[Array, Params, Params]:
        """A part's share of the loss, the buffers that it moved, its share of the gradients."""

        def loss_of(params: Params) -> tuple[Array, Params]:
            model = self.model(params, state.buffers)
            logits = model(part.inputs, part.key, part.masks, training=True)
            loss = part.weighted(self.loss(logits, part.targets))  # ()
            return loss, nnx.state(model, nnx.BatchStat)

        (loss, buffers), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        return loss, buffers, gradients

    def train_step(self, state: State, inputs: Array, targets: Array) -> tuple[State, Array]:
        """One training step; returns the loss before the update."""
        loss, gradients, buffers = self.differentiated(state, inputs, targets)
        updates, optimizer = self.optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(params, optimizer, state.step + 1, buffers), loss

    def key(self, step: Array) -> Array | None:
        """The dropout key of a step, or None without dropout."""
        return None if self.dropout is None else step_key(self.dropout, step)


def build_program(problem: Problem) -> tuple[Program, Variables]:
    """The program of a problem, and its variables as Flax initialises them from the seed.

    With `rng = "shared"` shapes alone stand for those: nobody would use their values, and to draw
    them JAX compiles its operations anew for the shapes of every layer.
    """
    experiment = problem.experiment

    def model() -> Network:
        return Network(experiment, rngs=nnx.Rngs(params=root_key(experiment.seed)))

    shared = experiment.rng == "shared"
    built = nnx.eval_shape(model) if shared else model()
    graph, params, *(buffers,) = nnx.split(built, nnx.Param, nnx.BatchStat)
    dropout = dropout_key(experiment.seed) if dropouts(experiment.model) else None
    dtype = jnp.dtype(problem.dtype)
    program = Program(
        graph=graph,
        loss=build_loss(experiment.loss, dtype),
        optimizer=build_optimizer(experiment.optimizer, dtype),
        dropout=dropout,
        micro_batches=experiment.training.micro_batches,
        row_weights=build_row_weights(experiment.loss, dtype),
    )
    return program, Variables(params, buffers)


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
