"""The model in Flax: an MLP of `nnx.Linear` layers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, final

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from twofold.spec.experiment import Activation, Experiment
from twofold_flax.masks import SharedMasks

Masks = tuple[Array, ...]


def identity(hidden: Array) -> Array:
    """The hidden values as they are."""
    return hidden


ACTIVATIONS: Final[Mapping[Activation, Callable[[Array], Array]]] = {
    "relu": nnx.relu,
    "tanh": nnx.tanh,
    "gelu": partial(nnx.gelu, approximate=False),
    "gelu_tanh": partial(nnx.gelu, approximate=True),
    "silu": nnx.silu,
    "sigmoid": nnx.sigmoid,
    "identity": identity,
}


@final
class Mlp(nnx.Module):
    """Linear layers with an activation and dropout after each hidden one; logits come out.

    With `rng = "shared"` dropout uses masks drawn from the step's key; with `"native"` it is
    `nnx.Dropout`, which makes its own keys from it.
    """

    def __init__(
        self, experiment: Experiment, layer_sizes: tuple[int, ...], *, rngs: nnx.Rngs
    ) -> None:
        model = experiment.model
        self.dtype = jnp.dtype(experiment.parameter_dtype)
        mixed = experiment.precision == "mixed_bfloat16"
        self.layers = nnx.List(
            nnx.Linear(
                fan_in,
                fan_out,
                use_bias=model.bias,
                dtype=jnp.bfloat16 if mixed else self.dtype,
                param_dtype=self.dtype,
                precision=jax.lax.Precision.HIGHEST,
                rngs=rngs,
            )
            for fan_in, fan_out in itertools.pairwise(layer_sizes)
        )
        self.activation = ACTIVATIONS[model.activation]
        self.masks = SharedMasks(model.hidden, model.dropout)
        self.keep_probability = 1.0 - model.dropout
        self.native = experiment.rng == "native"
        self.dropout = nnx.Dropout(model.dropout)

    def __call__(
        self, inputs: Array, key: Array | None = None, masks: Masks | None = None
    ) -> Array:
        """Logits (batch, out_features) of `inputs` (batch, in_features).

        `key` is that of the step when training with dropout; or the step's `masks`, bool
        (batch, hidden) for each hidden layer, are given ready.

        In mixed precision `nnx.Linear` casts inputs, kernel and bias to its `dtype`, bfloat16, and
        activations and dropout compute in what they are given (Flax 0.12,
        `flax/nnx/nn/linear.py`).
        """
        *hidden_layers, output_layer = self.layers
        hidden = inputs  # (batch, in_features)
        if key is not None and not self.native:
            masks = self.masks(key, inputs.shape[0])
        if masks is not None:
            for layer, mask in zip(hidden_layers, masks, strict=True):
                hidden = self.activation(layer(hidden))  # (batch, hidden)
                hidden = hidden * mask / self.keep_probability
        elif key is not None:
            rngs = nnx.Rngs(dropout=key)
            for layer in hidden_layers:
                hidden = self.dropout(self.activation(layer(hidden)), rngs=rngs)
        else:
            for layer in hidden_layers:
                hidden = self.activation(layer(hidden))  # (batch, hidden)
        logits: Array = output_layer(hidden)  # (batch, out_features)
        return logits.astype(self.dtype)
