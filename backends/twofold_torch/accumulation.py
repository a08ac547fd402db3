"""Micro-batches in PyTorch: a batch and its dropout masks cut into parts, shares of the loss."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from twofold.problem.micro_batches import parts_of
from twofold_torch.model import Masks


@dataclass(frozen=True)
class MicroBatch:
    """Some rows of a batch, and which `share` of its rows they are.

    `masks` are the rows' own of the masks of the whole batch; None where the model draws for
    itself, or without dropout.
    """

    inputs: Tensor
    targets: Tensor
    masks: Masks | None
    share: float

    def weighted(self, loss: Tensor) -> Tensor:
        """What a mean over these rows adds to the mean over the batch."""
        return loss if self.share == 1.0 else loss * self.share


def cut(
    inputs: Tensor, targets: Tensor, masks: Masks | None, micro_batches: int
) -> list[MicroBatch]:
    """The parts of a batch, with their rows of the masks of the whole batch, if given.

    `nn.Dropout` draws by itself, so for each part anew: other masks than for the whole batch.
    """
    if micro_batches == 1:
        return [MicroBatch(inputs, targets, masks, 1.0)]
    return [
        MicroBatch(inputs[part.rows], targets[part.rows], rows_of(masks, part.rows), part.share)
        for part in parts_of(inputs.shape[0], micro_batches)
    ]


def rows_of(masks: Masks | None, rows: slice) -> Masks | None:
    """Some rows of the masks (batch, hidden) of each hidden layer."""
    return None if masks is None else tuple(mask[rows] for mask in masks)
