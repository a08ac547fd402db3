"""The layers in Equinox: one entry for each kind of a spec but batch norm.

Equinox's layers work on one row, without an axis for the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from twofold_jax.model import Draws

from twofold.spec.layers import activation, dropout, layer_norm, linear, residual
from twofold.spec.layers.activation import ELU_ALPHA, LEAKY_SLOPE, ActivationName
from twofold.spec.layers.kind import LayerKind
from twofold.spec.layers.sequence import Placed


def identity(hidden: Array) -> Array:
    """The hidden values as they are."""
    return hidden


ACTIVATIONS: Final[Mapping[ActivationName, Callable[[Array], Array]]] = {
    "relu": jax.nn.relu,
    "leaky_relu": partial(jax.nn.leaky_relu, negative_slope=LEAKY_SLOPE),
    "elu": partial(jax.nn.elu, alpha=ELU_ALPHA),
    "tanh": jnp.tanh,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": partial(jax.nn.gelu, approximate=True),
    "silu": jax.nn.silu,
    "sigmoid": jax.nn.sigmoid,
    "identity": identity,
}


@final
class Linear(eqx.Module):
    """`eqx.nn.Linear`, computing in `dtype`.

    Equinox's own computes in the dtype of its parameters. In mixed precision a copy of these and
    the inputs are cast, as `nnx.Linear` does by itself.
    """

    linear: eqx.nn.Linear
    dtype: jnp.dtype[Any] = eqx.field(static=True)

    def __call__(self, hidden: Array, draws: Draws) -> Array:
        """(in_features,) to (out_features,)."""
        del draws
        cast: eqx.nn.Linear = jax.tree.map(lambda leaf: leaf.astype(self.dtype), self.linear)
        return cast(hidden.astype(self.dtype))


@final
class LayerNorm(eqx.Module):
    """`eqx.nn.LayerNorm`, called as all layers here."""

    norm: eqx.nn.LayerNorm

    def __call__(self, hidden: Array, draws: Draws) -> Array:
        """(features,) to (features,)."""
        del draws
        return self.norm(hidden)


@final
class Activation(eqx.Module):
    """A function of each number by itself."""

    function: Callable[[Array], Array] = eqx.field(static=True)

    def __call__(self, hidden: Array, draws: Draws) -> Array:
        """The function of `hidden`, of any shape."""
        del draws
        return self.function(hidden)


@final
class Dropout(eqx.Module):
    """Dropout by the step's shared masks, or `eqx.nn.Dropout` with a key of its own.

    `draw` is its place among the dropout layers of the model.
    """

    native: eqx.nn.Dropout
    draw: int = eqx.field(static=True)

    def __call__(self, hidden: Array, draws: Draws) -> Array:
        """`hidden` (features,) where the mask keeps it, divided by 1 - rate."""
        if draws.masks is not None:
            return hidden * draws.masks[self.draw] / (1.0 - self.native.p)
        key = None if draws.key is None else jax.random.fold_in(draws.key, self.draw)
        dropped: Array = self.native(hidden, key=key, inference=key is None)
        return dropped


@final
class Residual(eqx.Module):
    """What the layers make of their inputs, added to these."""

    layers: tuple[eqx.Module, ...]

    def __call__(self, hidden: Array, draws: Draws) -> Array:
        """(features,) to (features,)."""
        return hidden + through(self.layers, hidden, draws)


def through(layers: Iterable[Any], hidden: Array, draws: Draws) -> Array:
    """Layers one after the other; those that draw take it from `draws`."""
    for layer in layers:
        hidden = layer(hidden, draws)
    return hidden


@dataclass(frozen=True)
class Making:
    """What layers are made with: the dtype they compute in, that of their parameters, a key."""

    dtype: jnp.dtype[Any]
    param_dtype: jnp.dtype[Any]
    key: Array


def build_layers(placed: Iterable[Placed], making: Making) -> tuple[eqx.Module, ...]:
    """The layers of a spec."""
    return tuple(LAYERS[type(each.layer)](each, making) for each in placed)


def _linear(placed: Placed, making: Making) -> eqx.Module:
    assert isinstance(placed.layer, linear.Linear)
    assert placed.number is not None
    own = eqx.nn.Linear(
        placed.width,
        placed.width_after,
        use_bias=placed.layer.bias,
        dtype=making.param_dtype,
        key=jax.random.fold_in(making.key, placed.number),
    )
    return Linear(own, making.dtype)


def _activation(placed: Placed, _: Making) -> eqx.Module:
    assert isinstance(placed.layer, activation.Activation)
    return Activation(ACTIVATIONS[placed.layer.function])


def _dropout(placed: Placed, _: Making) -> eqx.Module:
    assert isinstance(placed.layer, dropout.Dropout)
    assert placed.draw is not None
    return Dropout(eqx.nn.Dropout(placed.layer.rate), placed.draw)


def _layer_norm(placed: Placed, making: Making) -> eqx.Module:
    assert isinstance(placed.layer, layer_norm.LayerNorm)
    return LayerNorm(
        eqx.nn.LayerNorm(
            placed.width,
            eps=placed.layer.eps,
            use_weight=True,
            use_bias=True,
            dtype=making.param_dtype,
        )
    )


def _residual(placed: Placed, making: Making) -> eqx.Module:
    return Residual(build_layers(placed.block, making))


LAYERS: Final[Mapping[type[LayerKind], Callable[[Placed, Making], eqx.Module]]] = {
    linear.Linear: _linear,
    activation.Activation: _activation,
    dropout.Dropout: _dropout,
    layer_norm.LayerNorm: _layer_norm,
    residual.Residual: _residual,
}
