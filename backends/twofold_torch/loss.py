"""The losses in PyTorch; each takes logits (batch, out_features) and is a mean."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from twofold.spec.losses import Loss, output_weights

LossFunction = Callable[[Tensor, Tensor], Tensor]
RowWeights = Callable[[Tensor], Tensor]
"""From class labels (batch,) to the weight of each row (batch,) in the mean."""


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Softmax cross-entropy with class labels (batch,), mean over the batch.

    With `class_weights` (classes,) PyTorch divides by the sum of the labels' weights.
    """
    return F.cross_entropy(
        logits, labels, weight=class_weights, reduction="mean", label_smoothing=label_smoothing
    )


def mse(logits: Tensor, targets: Tensor) -> Tensor:
    """Squared error to targets (batch, out_features), mean over batch and outputs."""
    return F.mse_loss(logits, targets, reduction="mean")


def huber(logits: Tensor, targets: Tensor, delta: float) -> Tensor:
    """Huber's loss to targets (batch, out_features), mean over batch and outputs."""
    return F.huber_loss(logits, targets, reduction="mean", delta=delta)


def bce_with_logits(logits: Tensor, targets: Tensor, pos_weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy to targets (batch, out_features), mean over batch and outputs.

    `pos_weight` (out_features,) multiplies the term of the target.
    """
    return F.binary_cross_entropy_with_logits(
        logits, targets, reduction="mean", pos_weight=pos_weight
    )


def build_loss(loss: Loss, dtype: torch.dtype, device: torch.device) -> LossFunction:
    """The loss of an experiment; its weights are tensors on the device."""
    weights = weights_of(loss, dtype, device)
    match loss.kind:
        case "cross_entropy":
            smoothing = loss.label_smoothing
            return partial(cross_entropy, label_smoothing=smoothing, class_weights=weights)
        case "mse":
            return mse
        case "huber":
            return partial(huber, delta=loss.delta)
        case "bce_with_logits":
            return partial(bce_with_logits, pos_weight=weights)


def build_row_weights(loss: Loss, dtype: torch.dtype, device: torch.device) -> RowWeights | None:
    """The rows' weights in a loss that is a weighted mean over the batch; None for the others."""
    weights = weights_of(loss, dtype, device)
    if loss.kind != "cross_entropy" or weights is None:
        return None
    return weights.__getitem__


def weights_of(loss: Loss, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """The loss's number for each class or output (out_features,), if it has them."""
    weights = output_weights(loss)
    return None if weights is None else torch.tensor(weights, dtype=dtype, device=device)
