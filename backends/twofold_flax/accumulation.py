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
from twofold_flax.model import Masks, Mlp
from twofold_flax.state import Params


@dataclass(frozen=True)
class MicroBatch:
    """Some rows of a batch, and which `share` of its rows they are.

    `masks` are the rows' own of the masks of the whole batch; where they are None the model draws
    for itself from `key`, or, without dropout, from nothing.
    """

    inputs: Array
    targets: Array
    key: Array | None
    masks: Masks | None
    share: float

    def weighted(self, loss: Array) -> Array:
        """What a mean over these rows adds to the mean over the batch."""
        return loss if self.share == 1.0 else loss * self.share


def cut(
    model: Mlp, inputs: Array, targets: Array, key: Array | None, micro_batches: int
) -> list[MicroBatch]:
    """The parts of a batch, with their rows of the masks of the whole batch.

    With `rng = "native"` each part has a key of its own, for `nnx.Dropout` draws one mask after
    the other: other masks than for the whole batch.
    """
    if micro_batches == 1:
        return [MicroBatch(inputs, targets, key, None, 1.0)]
    parts = parts_of(inputs.shape[0], micro_batches)
    masks = None if key is None or model.native else model.masks(key, inputs.shape[0])
    keys: Sequence[Array | None] = [None] * len(parts)
    if key is not None and model.native:
        keys = list(jax.random.split(key, len(parts)))
    return [
        MicroBatch(
            inputs[part.rows], targets[part.rows], own, rows_of(masks, part.rows), part.share
        )
        for part, own in zip(parts, keys, strict=True)
    ]


def rows_of(masks: Masks | None, rows: slice) -> Masks | None:
    """Some rows of the masks (batch, hidden) of each hidden layer."""
    return None if masks is None else tuple(mask[rows] for mask in masks)


def accumulated(parts: Sequence[tuple[Array, Params]]) -> tuple[Array, Params]:
    """The sums of the parts' losses and gradients, each the part's share already."""
    losses, gradients = zip(*parts, strict=True)
    return reduce(operator.add, losses), reduce(_added, gradients)


def _added(total: Params, gradients: Params) -> Params:
    both: Params = jax.tree.map(operator.add, total, gradients)
    return both
