"""Model, loss and optimizer of one problem put together: the training step in Optax's idiom."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from jax import Array

from twofold.problem.problem import Problem
from twofold.spec.model import dropouts
from twofold_jax.accumulation import MicroBatch, accumulated, cut
from twofold_jax.loss import LossFunction, RowWeights, build_loss, build_row_weights
from twofold_jax.masks import SharedMasks, dropout_key, step_key
from twofold_jax.model import NO_DRAWS, BuildModel, Draws, Model
from twofold_jax.optimizer import build_optimizer
from twofold_jax.state import Params, State


@dataclass(frozen=True)
class Program:
    """What a session computes, as pure functions of a state."""

    model: Model
    loss: LossFunction
    optimizer: optax.GradientTransformation
    dropout: Array | None  # the key of the dropout stream; None without dropout
    shared: SharedMasks | None = None  # None where the model's layers draw for themselves
    micro_batches: int = 1
    row_weights: RowWeights | None = None

    def logits(self, state: State, inputs: Array) -> Array:
        """Logits (batch, out_features) in evaluation mode."""
        return self.model.apply(state.params, state.buffers, inputs)[0]

    def training_logits(self, state: State, inputs: Array) -> Array:
        """Logits (batch, out_features) in training mode, with the masks of the state's step."""
        draws = self.draws(state.step, inputs.shape[0])
        return self.model.apply(state.params, state.buffers, inputs, draws, training=True)[0]

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
        parts = self.cut(inputs, targets, state.step)
        results = [self.gradients_of(state, part) for part in parts]
        loss, gradients = accumulated([(loss, own) for loss, _, own in results])
        return loss, gradients, results[-1][1]

    def cut(self, inputs: Array, targets: Array, step: Array) -> list[MicroBatch]:
        """The micro-batches of a step's batch, or the batch itself where there is one."""
        weights = None if self.row_weights is None else self.row_weights(targets)
        draws = self.draws(step, inputs.shape[0])
        return cut(inputs, targets, draws, self.micro_batches, weights)

    def gradients_of(self, state: State, part: MicroBatch) -> tuple[Array, Params, Params]:
        """A part's share of the loss, the buffers that it moved, its share of the gradients."""

        def loss_of(params: Params) -> tuple[Array, Params]:
            logits, buffers = self.model.apply(
                params, state.buffers, part.inputs, part.draws, training=True
            )
            return part.weighted(self.loss(logits, part.targets)), buffers

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

    def draws(self, step: Array, rows: int) -> Draws:
        """What dropout uses in a step on a batch of `rows`."""
        key = self.key(step)
        if key is None:
            return NO_DRAWS
        return Draws(key=key) if self.shared is None else Draws(masks=self.shared(key, rows))


def build_program(problem: Problem, build_model: BuildModel) -> Program:
    """The program of a problem, around the model that a library builds of it."""
    experiment = problem.experiment
    layers = dropouts(experiment.model)
    dtype = jnp.dtype(problem.dtype)
    return Program(
        model=build_model(problem),
        loss=build_loss(experiment.loss, dtype),
        optimizer=build_optimizer(experiment.optimizer, dtype),
        dropout=dropout_key(experiment.seed) if layers else None,
        shared=SharedMasks(layers) if experiment.rng == "shared" else None,
        micro_batches=experiment.training.micro_batches,
        row_weights=build_row_weights(experiment.loss, dtype),
    )
