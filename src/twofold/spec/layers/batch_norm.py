"""Batch normalization (Ioffe and Szegedy, 2015, arXiv 1502.03167)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, final

import numpy as np

from twofold.spec.layers.kind import Array, LayerKind, Permutation, Shapes, Values
from twofold.spec.section import Fraction, Positive
from twofold.spec.threefry import Key

RUNNING_MEAN = "running_mean"
RUNNING_VARIANCE = "running_var"


@final
class BatchNorm(LayerKind):
    """Each feature brought to mean 0 and variance 1 over the batch, then scaled and shifted.

    y = (x - mean) / sqrt(variance + eps) * weight + bias. In training mean and biased variance are
    those of the batch, and each step moves the buffers towards them:
    running = (1 - momentum) * running + momentum * of the batch. Evaluation uses the buffers.

    `momentum` is PyTorch's, the weight of the new batch (default 0.1; `torch.nn.BatchNorm1d`,
    PyTorch 2.13). Flax's is one minus that, and its default is 0.99 (`nnx.BatchNorm`, Flax 0.12).
    `running_var` averages the unbiased variance of the batches, as in PyTorch; Flax averages the
    biased one, and has no switch for it: a known difference.
    """

    kind: Literal["batch_norm"] = "batch_norm"
    eps: Positive = 1e-5
    momentum: Fraction = 0.1

    def words(self) -> str:
        """The kind."""
        return self.kind

    def parameter_shapes(self, width: int) -> Shapes:
        """`weight` (features,), which scales, and `bias` (features,), which shifts."""
        return {"weight": (width,), "bias": (width,)}

    def buffer_shapes(self, width: int) -> Shapes:
        """`running_mean` (features,) and `running_var` (features,)."""
        return {RUNNING_MEAN: (width,), RUNNING_VARIANCE: (width,)}

    def initial_parameters(self, width: int, key: Key) -> Values:
        """Scale 1 and shift 0, as in both frameworks; nothing is drawn."""
        del key
        return {"weight": np.ones(width), "bias": np.zeros(width)}

    def initial_buffers(self, width: int) -> Values:
        """Mean 0 and variance 1, as in both frameworks."""
        return {RUNNING_MEAN: np.zeros(width), RUNNING_VARIANCE: np.ones(width)}

    def kept_numbers(self, width: int) -> int:
        """What leaves: the whole batch must be known before the first number can be."""
        return width

    def permuted(
        self, arrays: Mapping[str, Array], into: Permutation, out: Permutation
    ) -> dict[str, Array]:
        """Each feature keeps its own."""
        del out
        return {name: array[into] for name, array in arrays.items()}
