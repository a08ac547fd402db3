"""Layer normalization (Ba, Kiros and Hinton, 2016, arXiv 1607.06450)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, final

import numpy as np

from twofold.spec.layers.kind import Array, LayerKind, Permutation, Shapes, Values
from twofold.spec.section import Positive
from twofold.spec.threefry import Key


@final
class LayerNorm(LayerKind):
    """Each row brought to mean 0 and variance 1, then scaled and shifted feature by feature.

    y = (x - mean) / sqrt(variance + eps) * weight + bias, with the biased variance over the
    features of a row. `eps` is PyTorch's default, 1e-5 (`torch.nn.LayerNorm`, PyTorch 2.13); Flax's
    is 1e-6 (`nnx.LayerNorm`, Flax 0.12). The variance is that of the deviations from the mean, as
    in PyTorch: Flax's fast variance, mean(x^2) - mean(x)^2, is its default and switched off.
    """

    kind: Literal["layer_norm"] = "layer_norm"
    eps: Positive = 1e-5

    def words(self) -> str:
        """The kind."""
        return self.kind

    def parameter_shapes(self, width: int) -> Shapes:
        """`weight` (features,), which scales, and `bias` (features,), which shifts."""
        return {"weight": (width,), "bias": (width,)}

    def initial_parameters(self, width: int, key: Key) -> Values:
        """Scale 1 and shift 0, as in both frameworks; nothing is drawn."""
        del key
        return {"weight": np.ones(width), "bias": np.zeros(width)}

    def kept_numbers(self, width: int) -> int:
        """What leaves: a whole row must be known before its first number can be."""
        return width

    def permuted(
        self, arrays: Mapping[str, Array], into: Permutation, out: Permutation
    ) -> dict[str, Array]:
        """Each feature keeps its own."""
        del out
        return {name: array[into] for name, array in arrays.items()}
