"""What all normalizations share: mean 0 and variance 1, then a scale and a shift by feature."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from twofold.spec.layers.kind import Array, LayerKind, Permutation, Shapes, Values
from twofold.spec.section import Positive
from twofold.spec.threefry import Key


class Normalization(LayerKind):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias; over what, each kind says."""

    kind: str
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
        """What leaves: the mean and variance must be known before the first number can be."""
        return width

    def permuted(
        self, arrays: Mapping[str, Array], into: Permutation, out: Permutation
    ) -> dict[str, Array]:
        """Each feature keeps its own."""
        del out
        return {name: array[into] for name, array in arrays.items()}
