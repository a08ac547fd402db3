"""Micro-batches in JAX: a batch and its dropout masks cut into parts, shares of the loss.

`optax.MultiSteps` also accumulates, between the calls of an optimizer (Optax 0.2.8,
`optax/transforms/_accumulation.py`). It averages the gradients, which is right for equal parts
alone; and each of its steps takes one part and gives an update, zero but for the last, where here
a step is that of the whole batch. So gradients are added as JAX's own values are: with `+`.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import jax
from jax import Array

from twofold.problem.micro_batches import parts_of
from twofold_flax.layers import Masks
from twofold_flax.model import Network
from twofold_flax.state import Params


@dataclass(frozen=True)
class MicroBatch:
    """Some rows of a batch, and which `share` of its rows, or of their weight, they are.

    `masks` are the rows' own of the masks of the whole batch; where they are None the model draws
    for itself from `key`, or, without dropout, from nothing.
    """

    inputs: Array
    targets: Array
    key: Array | None
    masks: Masks | None
    share: float | Array

    def weighted(self, loss: Array) -> Array:
        """What a mean over these rows adds to the mean over the batch."""
        whole = isinstance(self.share, float) and self.share == 1.0
        return loss if whole else loss * self.share


def cut(
    model: Network,
    inputs: Array,
    targets: Array,
    key: Array | None,
    micro_batches: int,
    weights: Array | None = None,
) -> list[MicroBatch]:
    """The parts of a batch, with their rows of the masks of the whole batch.

    Where the loss is a weighted mean, `weights` (batch,) are those of the rows, and a part's share
    is that of its weight.
    With `rng = "native"` each part has a key of its own, for `nnx.Dropout` draws one mask after
    the other: other masks than for the whole batch.
    """
    if micro_batches == 1:
        return [MicroBatch(inputs, targets, key, None, 1.0)]
    parts = parts_of(inputs.shape[0], micro_batches)
    masks = None if key is None or model.native else model.masks(key, inputs.shape[0])
    keys: Sequence[Array | None] = [None] * len(parts)
    shares: Sequence[float | Array] = [part.share for part in parts]
    if weights is not None:
        shares = [weights[part.rows].sum() / weights.sum() for part in parts]
    if key is not None and model.native:
        keys = list(jax.random.split(key, len(parts)))
    return [
        MicroBatch(inputs[part.rows], targets[part.rows], own, rows_of(masks, part.rows), share)
        for part, own, share in zip(parts, keys, shares, strict=True)
    ]


def rows_of(masks: Masks | None, rows: slice) -> Masks | None:
    """Some rows of the masks (batch, features) of each dropout layer."""
    return None if masks is None else tuple(mask[rows] for mask in masks)


def accumulated(parts: Sequence[tuple[Array, Params]]) -> tuple[Array, Params]:
    """The sums of the parts' losses and gradients, each the part's share already."""
    losses, gradients = zip(*parts, strict=True)
    return reduce(operator.add, losses), reduce(_added, gradients)


def _added(total: Params, gradients: Params) -> Params:
    both: Params = jax.tree.map(operator.add, total, gradients)
    return both
