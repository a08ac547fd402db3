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
from twofold_jax.model import Draws, Masks
from twofold_jax.state import Params


@dataclass(frozen=True)
class MicroBatch:
    """Some rows of a batch, and which `share` of its rows, or of their weight, they are.

    The masks in `draws` are the rows' own of the masks of the whole batch.
    """

    inputs: Array
    targets: Array
    draws: Draws
    share: float | Array

    def weighted(self, loss: Array) -> Array:
        """What a mean over these rows adds to the mean over the batch."""
        whole = isinstance(self.share, float) and self.share == 1.0
        return loss if whole else loss * self.share


def cut(
    inputs: Array,
    targets: Array,
    draws: Draws,
    micro_batches: int,
    weights: Array | None = None,
) -> list[MicroBatch]:
    """The parts of a batch, with their rows of the masks of the whole batch.

    Where the loss is a weighted mean, `weights` (batch,) are those of the rows, and a part's share
    is that of its weight.
    With `rng = "native"` each part has a key of its own, and so other masks than in the whole
    batch.
    """
    if micro_batches == 1:
        return [MicroBatch(inputs, targets, draws, 1.0)]
    parts = parts_of(inputs.shape[0], micro_batches)
    keys: Sequence[Array | None] = [None] * len(parts)
    shares: Sequence[float | Array] = [part.share for part in parts]
    if weights is not None:
        shares = [weights[part.rows].sum() / weights.sum() for part in parts]
    if draws.key is not None:
        keys = list(jax.random.split(draws.key, len(parts)))
    owns = [
        Draws(key, rows_of(draws.masks, part.rows)) for key, part in zip(keys, parts, strict=True)
    ]
    return [
        MicroBatch(inputs[part.rows], targets[part.rows], own, share)
        for part, own, share in zip(parts, owns, shares, strict=True)
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
