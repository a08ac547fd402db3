"""The training rows on the device, and the batches that an epoch takes from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twofold.problem.problem import Batch, Problem, epoch_order
from twofold.spec.model import dropouts
from twofold_torch.convert import to_array, to_tensor
from twofold_torch.masks import dropout_keys


@dataclass(frozen=True)
class Steps:
    """What consecutive steps of an epoch need: for each the rows it takes (batch,) and its keys.

    A step's keys are (dropout layers, 2), or None without shared dropout. `whole` holds the rows of
    all whole batches of the epoch, (batches, batch), and `all_keys` the keys of all its steps,
    (steps, dropout layers, 2); the first of these steps takes batch `start`.
    """

    rows: Sequence[Tensor]
    keys: Sequence[Tensor | None]
    whole: Tensor
    all_keys: Tensor | None
    start: int

    def part(self, start: int, stop: int) -> Steps:
        """The steps from `start` to before `stop`, of the steps of a whole epoch."""
        rows, keys = self.rows[start:stop], self.keys[start:stop]
        return Steps(rows, keys, self.whole, self.all_keys, start)


@final
class Feed:
    """Holds the training rows on the device; an epoch's order goes there once an epoch."""

    def __init__(self, problem: Problem, device: torch.device) -> None:
        self.inputs = to_tensor(problem.train.inputs, device)  # (rows, in_features)
        self.targets = to_tensor(problem.train.targets, device)
        self._problem = problem
        self._device = device
        self._epoch = 0
        self._steps = self._of_epoch(0)

    def keys(self, step: int) -> Tensor | None:
        """The dropout keys of one step, (dropout layers, 2), or None without shared dropout."""
        keys = self._keys(step, step + 1)
        return None if keys is None else keys[0]

    def steps(self, start: int, count: int) -> Steps:
        """At most `count` steps from `start`, fewer where the epoch ends."""
        per_epoch = self._problem.steps_per_epoch
        epoch, position = divmod(start, per_epoch)
        if epoch != self._epoch:
            self._steps, self._epoch = self._of_epoch(epoch), epoch
        return self._steps.part(position, min(position + count, per_epoch))

    def batch(self, step: int) -> Batch:
        """The batch of one step, gathered on the device and brought back."""
        rows = self.steps(step, 1).rows[0]
        return Batch(to_array(self.inputs[rows]), to_array(self.targets[rows]))

    def _of_epoch(self, epoch: int) -> Steps:
        experiment, count = self._problem.experiment, self._problem.steps_per_epoch
        size, all_rows = experiment.data.batch_size, self._problem.train.rows
        order = to_tensor(
            epoch_order(experiment.seed, epoch, all_rows, experiment.data.shuffle), self._device
        )
        rows = torch.split(order, size)[:count]
        whole = order[: all_rows // size * size].view(-1, size)  # (batches, batch)
        all_keys = self._keys(epoch * count, (epoch + 1) * count)
        keys = [None] * count if all_keys is None else all_keys.unbind(0)
        return Steps(rows, keys, whole, all_keys, start=0)

    def _keys(self, start: int, stop: int) -> Tensor | None:
        """The keys of some steps, (steps, dropout layers, 2)."""
        experiment = self._problem.experiment
        layers = len(dropouts(experiment.model))
        if experiment.rng != "shared" or layers == 0:
            return None
        return dropout_keys(experiment.seed, range(start, stop), layers, self._device)
