"""Micro-batches in PyTorch: a batch and its dropout masks cut into parts, shares of the loss."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from twofold.problem.micro_batches import parts_of
from twofold_torch.layers import Masks
from twofold_torch.loss import RowWeights


@dataclass(frozen=True)
class MicroBatch:
    """Some rows of a batch, and which `share` of its rows, or of their weight, they are.

    `masks` are the rows' own of the masks of the whole batch; None where the model draws for
    itself, or without dropout.
    """

    inputs: Tensor
    targets: Tensor
    masks: Masks | None
    share: float | Tensor

    def weighted(self, loss: Tensor) -> Tensor:
        """What a mean over these rows adds to the mean over the batch."""
        whole = isinstance(self.share, float) and self.share == 1.0
        return loss if whole else loss * self.share


def cut(
    inputs: Tensor,
    targets: Tensor,
    masks: Masks | None,
    micro_batches: int,
    row_weights: RowWeights | None = None,
) -> list[MicroBatch]:
    """The parts of a batch, with their rows of the masks of the whole batch, if given.

    A loss that is a weighted mean gives the `row_weights` of targets, and a part's share is that of
    its weight. `nn.Dropout` draws by itself, so for each part anew: other masks than for the whole
    batch.
    """
    if micro_batches == 1:
        return [MicroBatch(inputs, targets, masks, 1.0)]
    parts = parts_of(inputs.shape[0], micro_batches)
    shares: list[float | Tensor] = [part.share for part in parts]
    if row_weights is not None:
        weights = row_weights(targets)  # (batch,)
        shares = [weights[part.rows].sum() / weights.sum() for part in parts]
    return [
        MicroBatch(inputs[part.rows], targets[part.rows], rows_of(masks, part.rows), share)
        for part, share in zip(parts, shares, strict=True)
    ]


def rows_of(masks: Masks | None, rows: slice) -> Masks | None:
    """Some rows of the masks (batch, features) of each dropout layer."""
    return None if masks is None else tuple(mask[rows] for mask in masks)
