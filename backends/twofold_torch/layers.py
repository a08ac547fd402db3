"""The layers in PyTorch: one entry for each kind of a spec."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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

Masks = tuple[Tensor, ...]


def identity(hidden: Tensor) -> Tensor:
    """The hidden values as they are; `nn.Identity` as a function."""
    return hidden


ACTIVATIONS: Final[Mapping[ActivationName, Callable[[Tensor], Tensor]]] = {
    "relu": F.relu,
    "leaky_relu": partial(F.leaky_relu, negative_slope=LEAKY_SLOPE),
    "elu": partial(F.elu, alpha=ELU_ALPHA),
    "tanh": F.tanh,
    "gelu": partial(F.gelu, approximate="none"),
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
    "sigmoid": F.sigmoid,
    "identity": identity,
}


@final
class Activation(nn.Module):
    """A function of each number by itself."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, hidden: Tensor) -> Tensor:
        """The function of `hidden`, of any shape."""
        return self.function(hidden)


@final
class Dropout(nn.Module):
    """Dropout by the step's shared masks where there are some, else `nn.Dropout`.

    `draw` is its place among the dropout layers of the model.
    """

    def __init__(self, draw: int, rate: float, *, native: bool) -> None:
        super().__init__()
        self.draw = draw
        self.keep_probability = 1.0 - rate
        self.native = nn.Dropout(rate if native else 0.0)

    def forward(self, hidden: Tensor, masks: Masks | None) -> Tensor:
        """`hidden` (batch, features) where the mask keeps it, times 1 / (1 - rate).

        As PyTorch scales its own (2.13, `native_dropout` in `torch/_decomp/decompositions.py`).
        """
        if masks is None:
            dropped: Tensor = self.native(hidden)
            return dropped
        return hidden * masks[self.draw] * (1.0 / self.keep_probability)


@final
class Embedding(nn.Module):
    """Columns of numbers as they are, then the row of the table that each column of texts names."""

    def __init__(self, numbers: int, rows: int, features: int) -> None:
        super().__init__()
        self.numbers = numbers
        self.table = nn.Embedding(
            rows,
            features,
            padding_idx=None,
            max_norm=None,
            scale_grad_by_freq=False,
            sparse=False,
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """`inputs` (batch, in_features) to (batch, numbers + features times columns of texts)."""
        rows = inputs[:, self.numbers :].long()
        return torch.cat([inputs[:, : self.numbers], self.table(rows).flatten(1)], dim=1)


@final
class Residual(nn.Module):
    """What the layers make of their inputs, added to these."""

    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, hidden: Tensor, masks: Masks | None) -> Tensor:
        """(batch, features) to (batch, features)."""
        return hidden + through(self.layers, hidden, masks)


def through(layers: Iterable[nn.Module], hidden: Tensor, masks: Masks | None) -> Tensor:
    """Layers one after the other; `masks` go to those that drop, or hold what drops."""
    for layer in layers:
        if isinstance(layer, (Dropout, Residual)):
            hidden = layer(hidden, masks)
        else:
            hidden = layer(hidden)
    return hidden


def build_layers(placed: Iterable[Placed], *, native: bool) -> nn.ModuleList:
    """The layers of a spec; with `native`, `nn.Dropout` draws the masks."""
    return nn.ModuleList(LAYERS[type(each.layer)](each, native) for each in placed)


def _linear(placed: Placed, _: bool) -> nn.Module:
    assert isinstance(placed.layer, linear.Linear)
    return nn.Linear(placed.width, placed.width_after, bias=placed.layer.bias)


def _embedding(placed: Placed, _: bool) -> nn.Module:
    layer = placed.layer
    assert isinstance(layer, embedding.Embedding)
    return Embedding(layer.numbers(placed.width), layer.first_rows[-1], layer.features)


def _activation(placed: Placed, _: bool) -> nn.Module:
    assert isinstance(placed.layer, activation.Activation)
    return Activation(ACTIVATIONS[placed.layer.function])


def _dropout(placed: Placed, native: bool) -> nn.Module:
    assert isinstance(placed.layer, dropout.Dropout)
    assert placed.draw is not None
    return Dropout(placed.draw, placed.layer.rate, native=native)


def _layer_norm(placed: Placed, _: bool) -> nn.Module:
    assert isinstance(placed.layer, layer_norm.LayerNorm)
    return nn.LayerNorm(placed.width, eps=placed.layer.eps, elementwise_affine=True, bias=True)


def _batch_norm(placed: Placed, _: bool) -> nn.Module:
    """Its `num_batches_tracked` counts steps, which the state counts already."""
    assert isinstance(placed.layer, batch_norm.BatchNorm)
    return nn.BatchNorm1d(
        placed.width,
        eps=placed.layer.eps,
        momentum=placed.layer.momentum,
        affine=True,
        track_running_stats=True,
    )


def _residual(placed: Placed, native: bool) -> nn.Module:
    return Residual(build_layers(placed.block, native=native))


LAYERS: Final[Mapping[type[LayerKind], Callable[[Placed, bool], nn.Module]]] = {
    linear.Linear: _linear,
    embedding.Embedding: _embedding,
    activation.Activation: _activation,
    dropout.Dropout: _dropout,
    layer_norm.LayerNorm: _layer_norm,
    batch_norm.BatchNorm: _batch_norm,
    residual.Residual: _residual,
}
