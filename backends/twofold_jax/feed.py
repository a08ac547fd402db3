"""The training rows on the device, and the batches that an epoch takes from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import jax
import numpy as np
import numpy.typing as npt
from jax import Array

from twofold.problem.problem import Batch, Problem, batch_of, epoch_order
from twofold.problem.row_maps import steps_at_once
from twofold_jax.convert import to_array, to_device

Rows = Array | npt.NDArray[np.int32]


@dataclass(frozen=True)
class Steps:
    """Consecutive steps of an epoch, from `start` to before `stop`, and what they need.

    `order` holds the training rows in the epoch's order, (rows,), int32, of which each step takes
    `batch_size`, the last one fewer where they do not come out even. It is NumPy's, and so are the
    `rows` of a step: a call that sends so few numbers takes 1 us longer, where `device_put` takes
    15 us for each batch (JAX 0.10, CPU). `whole` holds the rows of all whole batches of the epoch,
    (batches, batch), on the device. The dropout keys come from the step count within the state.
    """

    order: npt.NDArray[np.int32]
    batch_size: int
    whole: Array
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
    def rows(self) -> Sequence[Rows]:
        """For each of these steps the rows it takes, (batch,)."""
        size = self.batch_size
        return [
            self.order[step * size : (step + 1) * size] for step in range(self.start, self.stop)
        ]


def take(inputs: Array, targets: Array, rows: Rows) -> tuple[Array, Array]:
    """A batch of the training rows."""
    return inputs[rows], targets[rows]


@final
class Feed:
    """Holds the training rows on the device; an epoch's order goes there once an epoch.

    Rows in a memory map stay there: some batches at a time go to the device.
    """

    def __init__(self, problem: Problem, device: jax.Device) -> None:
        held = problem.train
        self._at_once = None
        if problem.is_mapped:
            self._at_once = steps_at_once(held.inputs, problem.experiment.data.batch_size)
            held = Batch(held.inputs[:0], held.targets[:0])
        self.inputs = to_device(held.inputs, device)  # (rows, in_features)
        self.targets = to_device(held.targets, device)
        self._problem = problem
        self._device = device
        self._take = jax.jit(take)  # as engines do: operation by operation there are five programs
        self._epoch = 0
        self._steps = self._of_epoch(0)

    def steps(self, start: int, count: int) -> Steps:
        """At most `count` steps from `start`, fewer where the epoch ends."""
        per_epoch = self._problem.steps_per_epoch
        epoch, position = divmod(start, per_epoch)
        if epoch != self._epoch:
            self._steps, self._epoch = self._of_epoch(epoch), epoch
        return self._steps.part(position, min(position + count, per_epoch))

    def part(self, start: int, count: int) -> tuple[Array, Array, Steps]:
        """Training rows on the device, and at most `count` steps on them from `start`.

        From a memory map these are the rows of the steps alone, batch after batch.
        """
        if self._at_once is None:
            return self.inputs, self.targets, self.steps(start, count)
        steps = self.steps(start, min(count, self._at_once))
        size = steps.batch_size
        rows = steps.order[steps.start * size : steps.stop * size]
        batches = batch_of(self._problem, rows)
        inputs, targets = (to_device(x, self._device) for x in (batches.inputs, batches.targets))
        order = np.arange(len(rows), dtype=np.int32)
        return inputs, targets, Steps(order, size, self._whole(order), 0, steps.count)

    def batch(self, step: int) -> Batch:
        """The batch of one step, gathered on the device and brought back."""
        inputs, targets, steps = self.part(step, 1)
        inputs, targets = self._take(inputs, targets, steps.rows[0])
        return Batch(to_array(inputs), to_array(targets))

    def _whole(self, order: npt.NDArray[np.int32]) -> Array:
        """The rows of all whole batches of an order, (batches, batch), on the device."""
        size = self._problem.experiment.data.batch_size
        whole = order[: len(order) // size * size].reshape(-1, size)
        placed: Array = jax.device_put(whole, self._device)
        return placed

    def _of_epoch(self, epoch: int) -> Steps:
        experiment, rows = self._problem.experiment, self._problem.train.rows
        order = epoch_order(experiment.seed, epoch, rows, experiment.data.shuffle).astype(np.int32)
        return Steps(
            order=order,
            batch_size=experiment.data.batch_size,
            whole=self._whole(order if self._at_once is None else order[:0]),
            start=0,
            stop=self._problem.steps_per_epoch,
        )
