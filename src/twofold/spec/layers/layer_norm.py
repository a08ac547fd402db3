"""Layer normalization (Ba, Kiros and Hinton, 2016, arXiv 1607.06450)."""

from __future__ import annotations

from typing import Literal, final

from twofold.spec.layers.normalization import Normalization


@final
class LayerNorm(Normalization):
    """Each row brought to mean 0 and variance 1, then scaled and shifted feature by feature.

    y = (x - mean) / sqrt(variance + eps) * weight + bias, with the biased variance over the
    features of a row. `eps` is PyTorch's default, 1e-5 (`torch.nn.LayerNorm`, PyTorch 2.13); Flax's
    is 1e-6 (`nnx.LayerNorm`, Flax 0.12). The variance is that of the deviations from the mean, as
    in PyTorch: Flax's fast variance, mean(x^2) - mean(x)^2, is its default and switched off.
    """

    kind: Literal["layer_norm"] = "layer_norm"
