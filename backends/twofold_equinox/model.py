"""The model in Equinox: a sequence of layers for one row, and a batch of them by `jax.vmap`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from twofold_jax.masks import root_key
from twofold_jax.model import NO_DRAWS, Draws, Model
from twofold_jax.state import Params, Variables

from twofold.problem.problem import Problem
from twofold.spec.experiment import Experiment
from twofold.spec.model import placed
from twofold_equinox.convert import EquinoxLayout
from twofold_equinox.layers import Making, build_layers, through


@final
class Network(eqx.Module):
    """The layers of an experiment's model, one after the other; logits come out."""

    layers: tuple[eqx.Module, ...]
    dtype: jnp.dtype[Any] = eqx.field(static=True)

    def __init__(self, experiment: Experiment, *, key: Array) -> None:
        self.dtype = jnp.dtype(experiment.parameter_dtype)
        mixed = experiment.precision == "mixed_bfloat16"
        making = Making(jnp.dtype(jnp.bfloat16) if mixed else self.dtype, self.dtype, key)
        self.layers = build_layers(placed(experiment.model), making)

    def __call__(self, inputs: Array, draws: Draws = NO_DRAWS) -> Array:
        """Logits (out_features,) of one row of `inputs` (in_features,)."""
        return through(self.layers, inputs, draws).astype(self.dtype)


@dataclass(frozen=True)
class Combined:
    """The forward pass of a `Network`, put together from its arrays and all that is none."""

    static: Network

    def __call__(
        self,
        params: Params,
        buffers: Params,
        inputs: Array,
        draws: Draws = NO_DRAWS,
        *,
        training: bool = False,
    ) -> tuple[Array, Params]:
        """Logits (batch, out_features) of `inputs` (batch, in_features); there are no buffers.

        With `rng = "native"` each row has a key of its own, as Equinox's documentation teaches.
        Nothing but the draws differs between training and evaluation.
        """
        del training
        network: Network = eqx.combine(params, self.static)
        key = None if draws.key is None else jax.random.split(draws.key, inputs.shape[0])

        def row(inputs: Array, masks: tuple[Array, ...] | None, key: Array | None) -> Array:
            return network(inputs, Draws(key, masks))

        return jax.vmap(row)(inputs, draws.masks, key), buffers


def build_model(problem: Problem) -> Model:
    """The model of a problem, its parameters as Equinox initialises them from the seed."""
    experiment = problem.experiment

    def network() -> Network:
        return Network(experiment, key=root_key(experiment.seed))

    shared = experiment.rng == "shared"
    built = eqx.filter_eval_shape(network) if shared else network()
    params, static = eqx.partition(built, is_array_or_shape)
    return Model(Variables(params, {}), Combined(static), EquinoxLayout())


def is_array_or_shape(leaf: Any) -> bool:
    """Whether a leaf is an array, or stands for one that was never computed."""
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)
