"""The training rows on the device, and the batches that an epoch takes from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from twofold.problem.problem import Batch, Problem, batch_of, epoch_order
from twofold.problem.row_maps import steps_at_once
from twofold.spec.model import dropouts
from twofold_torch.convert import to_array, to_tensor
from twofold_torch.masks import dropout_keys


@dataclass(frozen=True)
class Steps:
    """Consecutive steps of an epoch, from `start` to before `stop`, and what they need.

    `order` holds the training rows in the epoch's order, (rows,), of which each step takes
    `batch_size`, the last one fewer where they do not come out even. `all_keys` are the keys of all
    steps of the epoch, (steps, dropout layers, 2), or None without shared dropout.
    """

    order: Tensor
    batch_size: int
    all_keys: Tensor | None
    start: int
    stop: int

    def part(self, start: int, stop: int) -> Steps:
        """The steps from `start` to before `stop`, of the same epoch."""
        return replace(self, start=start, stop=stop)

    @property
    def count(self) -> int:
        """How many steps these are."""
        return self.stop - self.start

    @property
    def whole(self) -> Tensor:
        """The rows of all whole batches of the epoch, (batches, batch)."""
        size = self.batch_size
        return self.order[: len(self.order) // size * size].view(-1, size)

    @property
    def rows(self) -> Sequence[Tensor]:
        """For each of these steps the rows it takes, (batch,)."""
        size = self.batch_size
        own = self.order[self.start * size : self.stop * size]
        return torch.split(own, size) if self.count else ()

    @property
    def keys(self) -> Sequence[Tensor | None]:
        """For each of these steps its keys, (dropout layers, 2), or None."""
        if self.all_keys is None:
            return [None] * self.count
        return self.all_keys[self.start : self.stop].unbind(0)


@final
class Feed:
    """Holds the training rows on the device; an epoch's order goes there once an epoch.

    Rows in a memory map stay there: some batches at a time go to the device.
    """

    def __init__(self, problem: Problem, device: torch.device) -> None:
        held = problem.train
        self._at_once = None
        if problem.is_mapped:
            self._at_once = steps_at_once(held.inputs, problem.experiment.data.batch_size)
            held = Batch(held.inputs[:0], held.targets[:0])
        self.inputs = to_tensor(held.inputs, device)  # (rows, in_features)
        self.targets = to_tensor(held.targets, device)
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

    def part(self, start: int, count: int) -> tuple[Tensor, Tensor, Steps]:
        """Training rows on the device, and at most `count` steps on them from `start`.

        From a memory map these are the rows of the steps alone, batch after batch.
        """
        if self._at_once is None:
            return self.inputs, self.targets, self.steps(start, count)
        steps = self.steps(start, min(count, self._at_once))
        size = steps.batch_size
        rows = steps.order[steps.start * size : steps.stop * size].numpy()
        batches = batch_of(self._problem, rows)
        keys = None if steps.all_keys is None else steps.all_keys[steps.start : steps.stop]
        order = torch.arange(len(rows), device=self._device)
        inputs, targets = (to_tensor(x, self._device) for x in (batches.inputs, batches.targets))
        return inputs, targets, Steps(order, size, keys, 0, steps.count)

    def batch(self, step: int) -> Batch:
        """The batch of one step, gathered on the device and brought back."""
        inputs, targets, steps = self.part(step, 1)
        rows = steps.rows[0]
        return Batch(to_array(inputs[rows]), to_array(targets[rows]))

    def _of_epoch(self, epoch: int) -> Steps:
        experiment, count = self._problem.experiment, self._problem.steps_per_epoch
        order = epoch_order(
            experiment.seed, epoch, self._problem.train.rows, experiment.data.shuffle
        )
        return Steps(
            order=self._placed(order),
            batch_size=experiment.data.batch_size,
            all_keys=self._keys(epoch * count, (epoch + 1) * count),
            start=0,
            stop=count,
        )

    def _placed(self, order: npt.NDArray[np.int64]) -> Tensor:
        """An epoch's order where it is used: on the device, or here for a memory map."""
        return to_tensor(order, self._device) if self._at_once is None else torch.from_numpy(order)

    def _keys(self, start: int, stop: int) -> Tensor | None:
        """The keys of some steps, (steps, dropout layers, 2)."""
        experiment = self._problem.experiment
        layers = len(dropouts(experiment.model))
        if experiment.rng != "shared" or layers == 0:
            return None
        return dropout_keys(experiment.seed, range(start, stop), layers, self._device)
