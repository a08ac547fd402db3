"""The model in PyTorch: an MLP of `nn.Linear` layers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twofold.spec.experiment import Activation, Experiment
from twofold_torch.masks import SharedMasks

Masks = tuple[Tensor, ...]


def identity(hidden: Tensor) -> Tensor:
    """The hidden values as they are; `nn.Identity` as a function."""
    return hidden


ACTIVATIONS: Final[Mapping[Activation, Callable[[Tensor], Tensor]]] = {
    "relu": F.relu,
    "tanh": F.tanh,
    "gelu": partial(F.gelu, approximate="none"),
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
    "sigmoid": F.sigmoid,
    "identity": identity,
}


@final
class Mlp(nn.Module):
    """Linear layers with an activation and dropout after each hidden one; logits come out.

    With `rng = "shared"` dropout uses masks drawn from keys; with `"native"` it is `nn.Dropout`.
    """

    def __init__(self, experiment: Experiment, layer_sizes: tuple[int, ...]) -> None:
        super().__init__()
        model = experiment.model
        self.mixed = experiment.precision == "mixed_bfloat16"
        self.layers = nn.ModuleList(
            nn.Linear(fan_in, fan_out, bias=model.bias)
            for fan_in, fan_out in itertools.pairwise(layer_sizes)
        )
        self.activation = ACTIVATIONS[model.activation]
        self.masks = SharedMasks(model.hidden, model.dropout)
        self.keep_probability = 1.0 - model.dropout
        self.dropout = nn.Dropout(model.dropout if experiment.rng == "native" else 0.0)

    def forward(
        self, inputs: Tensor, keys: Tensor | None = None, masks: Masks | None = None
    ) -> Tensor:
        """Logits (batch, out_features) of `inputs` (batch, in_features).

        When training with shared masks, `keys` (hidden layers, 2) are those of the step; or the
        step's `masks`, bool (batch, hidden) for each hidden layer, are given ready.

        In mixed precision `torch.autocast` casts inputs, weights and biases of linear layers to
        bfloat16, and activations and dropout compute in what they are given (PyTorch 2.13,
        `aten/src/ATen/autocast_mode.cpp`). No weight is used twice, so its cache is of no use.
        """
        if not self.mixed:
            return self._logits(inputs, keys, masks)
        with torch.autocast(inputs.device.type, torch.bfloat16, cache_enabled=False):
            return self._logits(inputs, keys, masks).float()

    def _logits(self, inputs: Tensor, keys: Tensor | None, masks: Masks | None) -> Tensor:
        *hidden_layers, output_layer = self.layers
        hidden = inputs  # (batch, in_features)
        if keys is not None:
            masks = self.masks(keys, inputs.shape[0])
        if masks is None:
            for layer in hidden_layers:
                hidden = self.dropout(self.activation(layer(hidden)))  # (batch, hidden)
        else:
            for layer, mask in zip(hidden_layers, masks, strict=True):
                hidden = self.activation(layer(hidden))  # (batch, hidden)
                hidden = hidden * mask / self.keep_probability
        logits: Tensor = output_layer(hidden)  # (batch, out_features)
        return logits
