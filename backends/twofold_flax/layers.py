"""The layers in Flax: one entry for each kind of a spec."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, final

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from twofold_jax.model import Masks

from twofold.spec.layers import (
    activation,
    batch_norm,
    dropout,
    embedding,
    layer_norm,
    linear,
    residual,
)
from twofold.spec.layers.activation import ELU_ALPHA, LEAKY_SLOPE, ActivationName
from twofold.spec.layers.kind import LayerKind
from twofold.spec.layers.sequence import Placed


def identity(hidden: Array) -> Array:
    """The hidden values as they are."""
    return hidden


ACTIVATIONS: Final[Mapping[ActivationName, Callable[[Array], Array]]] = {
    "relu": nnx.relu,
    "leaky_relu": partial(nnx.leaky_relu, negative_slope=LEAKY_SLOPE),
    "elu": partial(nnx.elu, alpha=ELU_ALPHA),
    "tanh": nnx.tanh,
    "gelu": partial(nnx.gelu, approximate=False),
    "gelu_tanh": partial(nnx.gelu, approximate=True),
    "silu": nnx.silu,
    "sigmoid": nnx.sigmoid,
    "identity": identity,
}


@dataclass(frozen=True)
class Mode:
    """How layers that differ in training and evaluation are called.

    Dropout uses the step's shared `masks`, or draws its own from `rngs`, or does nothing.
    """

    training: bool = False
    masks: Masks | None = None
    rngs: nnx.Rngs | None = None


@final
class Activation(nnx.Module):
    """A function of each number by itself."""

    def __init__(self, function: Callable[[Array], Array]) -> None:
        self.function = function

    def __call__(self, hidden: Array) -> Array:
        """The function of `hidden`, of any shape."""
        return self.function(hidden)


@final
class Dropout(nnx.Module):
    """Dropout by the step's shared masks, or `nnx.Dropout`, which makes its own keys.

    `draw` is its place among the dropout layers of the model.
    """

    def __init__(self, draw: int, rate: float) -> None:
        self.draw = draw
        self.keep_probability = 1.0 - rate
        self.native = nnx.Dropout(rate)

    def __call__(self, hidden: Array, mode: Mode) -> Array:
        """`hidden` (batch, features) where the mask keeps it, divided by 1 - rate."""
        if mode.masks is not None:
            return hidden * mode.masks[self.draw] / self.keep_probability
        if mode.rngs is None:
            return hidden
        dropped: Array = self.native(hidden, rngs=mode.rngs)
        return dropped


@final
class Embedding(nnx.Module):
    """Columns of numbers as they are, then the row of the table that each column of texts names."""

    def __init__(self, numbers: int, table: nnx.Embed) -> None:
        self.numbers = numbers
        self.table = table

    def __call__(self, inputs: Array) -> Array:
        """`inputs` (batch, in_features) to (batch, numbers + features times columns of texts)."""
        rows = self.table(inputs[:, self.numbers :].astype(jnp.int32))
        flat = rows.reshape(inputs.shape[0], -1)
        return jnp.concatenate([inputs[:, : self.numbers], flat], axis=1)


@final
class Residual(nnx.Module):
    """What the layers make of their inputs, added to these."""

    def __init__(self, layers: nnx.List[Any]) -> None:
        self.layers = layers

    def __call__(self, hidden: Array, mode: Mode) -> Array:
        """(batch, features) to (batch, features)."""
        return hidden + through(self.layers, hidden, mode)


def through(layers: Iterable[Any], hidden: Array, mode: Mode) -> Array:
    """Layers one after the other; `mode` goes to those that differ in training and evaluation."""
    for layer in layers:
        if isinstance(layer, nnx.BatchNorm):
            hidden = layer(hidden, use_running_average=not mode.training)
        elif isinstance(layer, Dropout | Residual):
            hidden = layer(hidden, mode)
        else:
            hidden = layer(hidden)
    return hidden


@dataclass(frozen=True)
class Making:
    """What layers are made with: the dtype they compute in, that of their parameters, keys.

    `replaced` says that the parameters' first values are never used.
    """

    dtype: jnp.dtype[Any]
    param_dtype: jnp.dtype[Any]
    rngs: nnx.Rngs
    replaced: bool

    def initializer(self, option: str) -> dict[str, Any]:
        """The option of a layer that draws its first values; empty where they are Flax's own.

        Zeros where they are replaced: tracing Flax's own was 71,000 of the 181,000 calls of Python
        in which `lesson` is opened (Flax 0.12).
        """
        return {option: nnx.initializers.zeros} if self.replaced else {}


def build_layers(placed: Iterable[Placed], making: Making) -> nnx.List[Any]:
    """The layers of a spec."""
    return nnx.List(LAYERS[type(each.layer)](each, making) for each in placed)


def _linear(placed: Placed, making: Making) -> nnx.Module:
    assert isinstance(placed.layer, linear.Linear)
    return nnx.Linear(
        placed.width,
        placed.width_after,
        use_bias=placed.layer.bias,
        dtype=making.dtype,
        param_dtype=making.param_dtype,
        precision=jax.lax.Precision.HIGHEST,
        rngs=making.rngs,
        **making.initializer("kernel_init"),
    )


def _embedding(placed: Placed, making: Making) -> nnx.Module:
    layer = placed.layer
    assert isinstance(layer, embedding.Embedding)
    table = nnx.Embed(
        layer.first_rows[-1],
        layer.features,
        dtype=making.dtype,
        param_dtype=making.param_dtype,
        rngs=making.rngs,
        **making.initializer("embedding_init"),
    )
    return Embedding(layer.numbers(placed.width), table)


def _activation(placed: Placed, _: Making) -> nnx.Module:
    assert isinstance(placed.layer, activation.Activation)
    return Activation(ACTIVATIONS[placed.layer.function])


def _dropout(placed: Placed, _: Making) -> nnx.Module:
    assert isinstance(placed.layer, dropout.Dropout)
    assert placed.draw is not None
    return Dropout(placed.draw, placed.layer.rate)


def _layer_norm(placed: Placed, making: Making) -> nnx.Module:
    """Without Flax's fast variance, mean(x^2) - mean(x)^2: PyTorch subtracts the mean first."""
    assert isinstance(placed.layer, layer_norm.LayerNorm)
    return nnx.LayerNorm(
        placed.width,
        epsilon=placed.layer.eps,
        dtype=making.dtype,
        param_dtype=making.param_dtype,
        use_bias=True,
        use_scale=True,
        use_fast_variance=False,
        rngs=making.rngs,
    )


def _batch_norm(placed: Placed, making: Making) -> nnx.Module:
    """Flax's momentum is the weight of the old average; its fast variance is switched off."""
    assert isinstance(placed.layer, batch_norm.BatchNorm)
    return nnx.BatchNorm(
        placed.width,
        momentum=1.0 - placed.layer.momentum,
        epsilon=placed.layer.eps,
        dtype=making.dtype,
        param_dtype=making.param_dtype,
        use_bias=True,
        use_scale=True,
        use_fast_variance=False,
        rngs=making.rngs,
    )


def _residual(placed: Placed, making: Making) -> nnx.Module:
    return Residual(build_layers(placed.block, making))


LAYERS: Final[Mapping[type[LayerKind], Callable[[Placed, Making], nnx.Module]]] = {
    linear.Linear: _linear,
    embedding.Embedding: _embedding,
    activation.Activation: _activation,
    dropout.Dropout: _dropout,
    layer_norm.LayerNorm: _layer_norm,
    batch_norm.BatchNorm: _batch_norm,
    residual.Residual: _residual,
}
