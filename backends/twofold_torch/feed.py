"""The training rows on the device, and the batches that an epoch takes from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twofold.problem import Batch, Problem, epoch_order
from twofold_torch.convert import to_array, to_tensor
from twofold_torch.masks import dropout_keys


@dataclass(frozen=True)
class Steps:
    """What consecutive steps need: for each the rows it takes (batch,) and its dropout keys.

    A step's keys are (hidden layers, 2), or None without shared dropout.
    """

    rows: Sequence[Tensor]
    keys: Sequence[Tensor | None]

    def part(self, start: int, stop: int) -> Steps:
        """The steps from `start` to before `stop`."""
        return Steps(self.rows[start:stop], self.keys[start:stop])


@final
class Feed:
    """Holds the training rows on the device; an epoch's order goes there once an epoch."""

    def __init__(self, problem: Problem, device: torch.device) -> None:
        self.inputs = to_tensor(problem.train.inputs, device)  # (rows, in_features)
        self.targets = to_tensor(problem.train.targets, device)
        self._problem = problem
        self._device = device
        self._epoch: int | None = None
        self._steps = Steps((), ())

    def keys(self, step: int) -> Tensor | None:
        """The dropout keys of one step, (hidden layers, 2), or None without shared dropout."""
        return self._keys(step, step + 1)[0]

    def steps(self, start: int, count: int) -> Steps:
        """At most `count` steps from `start`, fewer where the epoch ends."""
        per_epoch = self._problem.steps_per_epoch
        epoch, position = divmod(start, per_epoch)
        if epoch != self._epoch:
            self._steps = Steps(
                self._rows(epoch), self._keys(epoch * per_epoch, (epoch + 1) * per_epoch)
            )
            self._epoch = epoch
        return self._steps.part(position, min(position + count, per_epoch))

    def batch(self, step: int) -> Batch:
        """The batch of one step, gathered on the device and brought back."""
        rows = self.steps(step, 1).rows[0]
        return Batch(to_array(self.inputs[rows]), to_array(self.targets[rows]))

    def _rows(self, epoch: int) -> Sequence[Tensor]:
        experiment, rows = self._problem.experiment, self._problem.train.rows
        order = epoch_order(experiment.seed, epoch, rows, experiment.data.shuffle)
        batches = torch.split(to_tensor(order, self._device), experiment.data.batch_size)
        return batches[: self._problem.steps_per_epoch]

    def _keys(self, start: int, stop: int) -> Sequence[Tensor | None]:
        experiment = self._problem.experiment
        hidden_layers = len(experiment.model.hidden)
        if not (experiment.rng == "shared" and experiment.model.dropout > 0 and hidden_layers):
            return [None] * (stop - start)
        steps = torch.arange(start, stop, dtype=torch.int64, device=self._device)
        return dropout_keys(experiment.seed, steps.to(torch.int32), hidden_layers).unbind(0)
