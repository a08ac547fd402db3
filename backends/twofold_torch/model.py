"""The model in PyTorch: a sequence of layers."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from twofold.spec.experiment import Experiment
from twofold.spec.model import dropouts, placed
from twofold_torch.layers import Masks, build_layers, through
from twofold_torch.masks import SharedMasks


@final
class Network(nn.Module):
    """The layers of an experiment's model, one after the other; logits come out.

    With `rng = "shared"` dropout uses masks drawn from keys; with `"native"` it is `nn.Dropout`.
    """

    def __init__(self, experiment: Experiment) -> None:
        super().__init__()
        self.mixed = experiment.precision == "mixed_bfloat16"
        self.layers = build_layers(placed(experiment.model), native=experiment.rng == "native")
        self.masks = SharedMasks(dropouts(experiment.model))

    def forward(
        self, inputs: Tensor, keys: Tensor | None = None, masks: Masks | None = None
    ) -> Tensor:
        """Logits (batch, out_features) of `inputs` (batch, in_features).

        When training with shared masks, `keys` (dropout layers, 2) are those of the step; or the
        step's `masks`, bool (batch, features) for each dropout layer, are given ready.

        In mixed precision `torch.autocast` casts inputs, weights and biases of linear layers to
        bfloat16, and activations, dropout and sums compute in what they are given (PyTorch 2.13,
        `aten/src/ATen/autocast_mode.cpp`). No weight is used twice, so its cache is of no use.
        """
        if keys is not None:
            masks = self.masks(keys, inputs.shape[0])
        if not self.mixed:
            return through(self.layers, inputs, masks)
        with torch.autocast(inputs.device.type, torch.bfloat16, cache_enabled=False):
            return through(self.layers, inputs, masks).float()
