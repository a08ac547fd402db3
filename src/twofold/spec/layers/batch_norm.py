"""Batch normalization (Ioffe and Szegedy, 2015, arXiv 1502.03167)."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np

from twofold.spec.layers.kind import Shapes, Values
from twofold.spec.layers.normalization import Normalization
from twofold.spec.section import Fraction

RUNNING_MEAN = "running_mean"
RUNNING_VARIANCE = "running_var"


@final
class BatchNorm(Normalization):
    """Each feature brought to mean 0 and variance 1 over the batch, then scaled and shifted.

    y = (x - mean) / sqrt(variance + eps) * weight + bias. In training mean and biased variance are
    those of the batch, and each step moves the buffers towards them:
    running = (1 - momentum) * running + momentum * of the batch. Evaluation uses the buffers.

    `momentum` is PyTorch's, the weight of the new batch (default 0.1; `torch.nn.BatchNorm1d`,
    PyTorch 2.13). Flax's is one minus that, and its default is 0.99 (`nnx.BatchNorm`, Flax 0.12).
    `running_var` averages the unbiased variance of the batches, as in PyTorch; Flax averages the
    biased one, and has no switch for it: a known difference.
    """

    across_rows: ClassVar[bool] = True
    kind: Literal["batch_norm"] = "batch_norm"
    momentum: Fraction = 0.1

    def buffer_shapes(self, width: int) -> Shapes:
        """`running_mean` (features,) and `running_var` (features,)."""
        return {RUNNING_MEAN: (width,), RUNNING_VARIANCE: (width,)}

    def initial_buffers(self, width: int) -> Values:
        """Mean 0 and variance 1, as in both frameworks."""
        return {RUNNING_MEAN: np.zeros(width), RUNNING_VARIANCE: np.ones(width)}
