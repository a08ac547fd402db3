"""The model in Flax: a sequence of layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from twofold_jax.masks import root_key
from twofold_jax.model import NO_DRAWS, Draws, Model
from twofold_jax.state import Params, Variables

from twofold.problem.problem import Problem
from twofold.spec.experiment import Experiment
from twofold.spec.model import placed
from twofold_flax.convert import FlaxLayout
from twofold_flax.layers import Making, Mode, build_layers, through


@final
class Network(nnx.Module):
    """The layers of an experiment's model, one after the other; logits come out."""

    def __init__(self, experiment: Experiment, *, rngs: nnx.Rngs) -> None:
        self.dtype = jnp.dtype(experiment.parameter_dtype)
        mixed = experiment.precision == "mixed_bfloat16"
        computing = jnp.dtype(jnp.bfloat16) if mixed else self.dtype
        making = Making(computing, self.dtype, rngs, replaced=experiment.rng == "shared")
        self.layers = build_layers(placed(experiment.model), making)

    def __call__(self, inputs: Array, draws: Draws = NO_DRAWS, *, training: bool = False) -> Array:
        """Logits (batch, out_features) of `inputs` (batch, in_features).

        Dropout uses the masks that were drawn; where there is a key it is `nnx.Dropout`, which
        makes its own keys from it.

        In mixed precision `nnx.Linear` casts inputs, kernel and bias to its `dtype`, bfloat16, and
        activations, dropout and sums compute in what they are given (Flax 0.12,
        `flax/nnx/nn/linear.py`).
        """
        rngs = None if draws.key is None else nnx.Rngs(dropout=draws.key)
        logits = through(self.layers, inputs, Mode(training, draws.masks, rngs))
        return logits.astype(self.dtype)


@dataclass(frozen=True)
class Merged:
    """The forward pass of a `Network`, put together from its graph and its variables."""

    graph: nnx.GraphDef[Network]

    def __call__(
        self,
        params: Params,
        buffers: Params,
        inputs: Array,
        draws: Draws = NO_DRAWS,
        *,
        training: bool = False,
    ) -> tuple[Array, Params]:
        """Logits (batch, out_features) of `inputs` (batch, in_features), and the buffers after.

        Batch norm moves its buffers in place: those of a state must stay, and Flax lets it change
        none from outside a trace. So the model gets buffers of its own.
        """
        own: Params = jax.tree.map(lambda leaf: leaf, buffers)
        network = nnx.merge(self.graph, params, own)
        logits = network(inputs, draws, training=training)
        return logits, nnx.state(network, nnx.BatchStat)


def build_model(problem: Problem) -> Model:
    """The model of a problem, its variables as Flax initialises them from the seed."""
    experiment = problem.experiment

    def network() -> Network:
        return Network(experiment, rngs=nnx.Rngs(params=root_key(experiment.seed)))

    built = nnx.eval_shape(network) if experiment.rng == "shared" else network()
    graph, params, *(buffers,) = nnx.split(built, nnx.Param, nnx.BatchStat)
    return Model(Variables(params, buffers), Merged(graph), FlaxLayout(params))
