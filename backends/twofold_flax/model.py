"""The model in Flax: a sequence of layers."""

from __future__ import annotations

from typing import final

import jax.numpy as jnp
from flax import nnx
from jax import Array

from twofold.spec.experiment import Experiment
from twofold.spec.model import dropouts, placed
from twofold_flax.layers import Making, Masks, Mode, build_layers, through
from twofold_flax.masks import SharedMasks


@final
class Network(nnx.Module):
    """The layers of an experiment's model, one after the other; logits come out.

    With `rng = "shared"` dropout uses masks drawn from the step's key; with `"native"` it is
    `nnx.Dropout`, which makes its own keys from it.
    """

    def __init__(self, experiment: Experiment, *, rngs: nnx.Rngs) -> None:
        self.dtype = jnp.dtype(experiment.parameter_dtype)
        mixed = experiment.precision == "mixed_bfloat16"
        making = Making(jnp.dtype(jnp.bfloat16) if mixed else self.dtype, self.dtype, rngs)
        self.layers = build_layers(placed(experiment.model), making)
        self.masks = SharedMasks(dropouts(experiment.model))
        self.native = experiment.rng == "native"

    def __call__(
        self,
        inputs: Array,
        key: Array | None = None,
        masks: Masks | None = None,
        *,
        training: bool = False,
    ) -> Array:
        """Logits (batch, out_features) of `inputs` (batch, in_features).

        `key` is that of the step when training with dropout; or the step's `masks`, bool
        (batch, features) for each dropout layer, are given ready.

        In mixed precision `nnx.Linear` casts inputs, kernel and bias to its `dtype`, bfloat16, and
        activations, dropout and sums compute in what they are given (Flax 0.12,
        `flax/nnx/nn/linear.py`).
        """
        rngs = None
        if key is not None and self.native:
            rngs = nnx.Rngs(dropout=key)
        elif key is not None:
            masks = self.masks(key, inputs.shape[0])
        logits = through(self.layers, inputs, Mode(training, masks, rngs))
        return logits.astype(self.dtype)
