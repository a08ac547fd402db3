"""The losses in PyTorch; each takes logits (batch, out_features) and is a mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import torch.nn.functional as F
from torch import Tensor

from twofold.spec.experiment import Loss

LossFunction = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Softmax cross-entropy with class labels (batch,), mean over the batch."""
    return F.cross_entropy(logits, labels, reduction="mean", label_smoothing=label_smoothing)


def mse(logits: Tensor, targets: Tensor) -> Tensor:
    """Squared error to targets (batch, out_features), mean over batch and outputs."""
    return F.mse_loss(logits, targets, reduction="mean")


def bce_with_logits(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy to targets (batch, out_features), mean over batch and outputs."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="mean")


LOSSES: Final[Mapping[str, LossFunction]] = {
    "mse": mse,
    "bce_with_logits": bce_with_logits,
}


def build_loss(loss: Loss) -> LossFunction:
    """The loss of an experiment."""
    if loss.kind == "cross_entropy":
        return partial(cross_entropy, label_smoothing=loss.label_smoothing)
    return LOSSES[loss.kind]
