"""The training loop of `flax:jit` as one would write it without Twofold, in one place.

Same model, same batches, same initial values. It draws the same masks with Twofold's cipher, so
that what the two differ by is Twofold itself. For MLPs with ReLU, cross-entropy and AdamW.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from twofold_jax.masks import SharedMasks, dropout_key, step_key

from comparisons.loops.parts import layer_sizes
from twofold.problem.problem import Problem, epoch_order, initial_parameters
from twofold.problem.state import Array
from twofold.spec.model import dropouts


class Network(nnx.Module):
    """The lesson's network."""

    def __init__(self, sizes: tuple[int, ...], dropout: float, *, rngs: nnx.Rngs) -> None:
        pairs = itertools.pairwise(sizes)
        self.layers = nnx.List(nnx.Linear(fan_in, fan_out, rngs=rngs) for fan_in, fan_out in pairs)
        self.keep = 1.0 - dropout

    def __call__(self, inputs: jax.Array, masks: tuple[jax.Array, ...]) -> jax.Array:
        """Logits (batch, out_features)."""
        hidden = inputs
        for layer, mask in zip(self.layers, masks, strict=False):
            hidden = nnx.relu(layer(hidden)) * mask / self.keep
        logits: jax.Array = self.layers[-1](hidden)
        return logits


@final
class Loop:
    """Epoch after epoch, batches by indexing, one jitted step for each."""

    def __init__(self, problem: Problem) -> None:
        experiment = problem.experiment
        optimizer = experiment.optimizer
        assert experiment.model.kind == "mlp"
        assert optimizer.kind == "adamw"
        self._experiment = experiment
        self._inputs = jnp.asarray(problem.train.inputs)
        self._targets = jnp.asarray(problem.train.targets.astype(np.int32))
        network = Network(layer_sizes(problem), experiment.model.dropout, rngs=nnx.Rngs(0))
        graph, params = nnx.split(network)
        initial = initial_parameters(problem)
        layers = {
            index: {
                "kernel": jnp.asarray(initial[f"layers.{index}.weight"].T),
                "bias": jnp.asarray(initial[f"layers.{index}.bias"]),
            }
            for index in range(len(network.layers))
        }
        nnx.replace_by_pure_dict(params, {"layers": layers})
        adamw = optax.adamw(
            optimizer.learning_rate,
            b1=optimizer.betas[0],
            b2=optimizer.betas[1],
            eps=optimizer.eps,
            weight_decay=optimizer.weight_decay,
        )
        self._initial = jax.device_get((params, adamw.init(params), jnp.uint32(0)))
        draw, stream = SharedMasks(dropouts(experiment.model)), dropout_key(experiment.seed)
        self._traces = 0
        self._take = jax.jit(lambda inputs, targets, rows: (inputs[rows], targets[rows]))

        @partial(jax.jit, donate_argnums=0)
        def train_step(state: Any, inputs: jax.Array, targets: jax.Array) -> Any:
            self._traces += 1
            params, slots, step = state
            masks = draw(step_key(stream, step), len(inputs))

            def loss_of(params: Any) -> jax.Array:
                logits = nnx.merge(graph, params)(inputs, masks)
                losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
                return jnp.mean(losses)

            loss, gradients = jax.value_and_grad(loss_of)(params)
            updates, slots = adamw.update(gradients, slots, params)
            return (optax.apply_updates(params, updates), slots, step + 1), loss

        self._train_step = train_step
        self._per_epoch = problem.steps_per_epoch
        self.begin_again()

    def begin_again(self) -> None:
        """Put the initial values back; what is compiled stays."""
        self._state, self._step = jax.tree.map(jnp.array, self._initial), 0
        self._start_epoch(0)

    def run(self, steps: int, /) -> Array:
        """Take training steps; returns the losses (steps,)."""
        losses = []
        for _ in range(steps):
            epoch, position = divmod(self._step, self._per_epoch)
            if position == 0:
                self._start_epoch(epoch)
            batch = self._take(self._inputs, self._targets, self._batches[position])
            self._state, loss = self._train_step(self._state, *batch)
            losses.append(loss)
            self._step += 1
        return np.array(jax.device_get(losses))

    def synchronize(self) -> None:
        """Wait until the device has done all work asked of it."""
        jax.block_until_ready(self._state)

    def compilations(self) -> int:
        """How many times the step was traced."""
        return self._traces

    def _start_epoch(self, epoch: int) -> None:
        data, rows = self._experiment.data, len(self._inputs)
        order = epoch_order(self._experiment.seed, epoch, rows, data.shuffle).astype(np.int32)
        self._batches = np.split(order, range(data.batch_size, rows, data.batch_size))


def build(problem: Problem) -> Loop:
    """The loop for a problem."""
    return Loop(problem)
