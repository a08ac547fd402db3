"""Ways to bring batches to the device in PyTorch; nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, final

import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from comparisons.loops.parts import NO_LOSSES
from twofold.problem.problem import Problem, batch_indices

Pair = tuple[Tensor, Tensor]


@final
class Feed:
    """Takes batch after batch to the device, epoch after epoch."""

    def __init__(self, epoch: Callable[[int], Iterable[Pair]]) -> None:
        """`epoch` gives the batches of an epoch, counted from 0."""
        self._device = device()
        self._batches = self._endless(epoch)
        self._last: Pair | None = None

    def run(self, steps: int, /) -> npt.NDArray[Any]:
        """Bring some batches to the device."""
        for _ in range(steps):
            self._last = next(self._batches)
        return NO_LOSSES

    def synchronize(self) -> None:
        """Wait for copies to the device."""
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def compilations(self) -> int:
        """Nothing is compiled."""
        return 0

    def _endless(self, epoch: Callable[[int], Iterable[Pair]]) -> Iterator[Pair]:
        number = 0
        while True:
            for inputs, targets in epoch(number):
                yield (
                    inputs.to(self._device, non_blocking=True),
                    targets.to(self._device, non_blocking=True),
                )
            number += 1


@final
class Rows(Dataset[Pair]):
    """A dataset of one's own: one row at a time, from NumPy."""

    def __init__(self, problem: Problem) -> None:
        self._rows = problem.train

    def __len__(self) -> int:
        return self._rows.rows

    def __getitem__(self, index: int) -> Pair:
        row = torch.from_numpy(self._rows.inputs[index])
        return row, torch.tensor(self._rows.targets[index])


def device() -> torch.device:
    """The device that training would use."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def loader(problem: Problem, dataset: Dataset[Any], **options: Any) -> Feed:
    """A `DataLoader` with shuffling, as the lesson has it."""
    data = problem.experiment.data
    batches = DataLoader(
        dataset, batch_size=data.batch_size, shuffle=True, drop_last=True, **options
    )
    return Feed(lambda _: batches)


def tensors(problem: Problem) -> TensorDataset:
    """The training rows as tensors in memory."""
    return TensorDataset(torch.tensor(problem.train.inputs), torch.tensor(problem.train.targets))


def build_loader(problem: Problem, **options: Any) -> Feed:
    """A `DataLoader` over a `TensorDataset`."""
    return loader(problem, tensors(problem), **options)


build_workers = partial(build_loader, num_workers=2)
build_persistent_workers = partial(build_loader, num_workers=2, persistent_workers=True)


def build_pinned(problem: Problem) -> Feed:
    """Two workers and pinned memory. Raises DeviceUnavailable where there is no accelerator."""
    from twofold.errors import DeviceUnavailable

    if device().type == "cpu":
        raise DeviceUnavailable("pinned memory: speeds up copies to an accelerator; none is here")
    return build_loader(problem, num_workers=2, pin_memory=True)


def build_custom_dataset(problem: Problem) -> Feed:
    """A `DataLoader` over a dataset of one's own."""
    return loader(problem, Rows(problem))


def build_indexing(problem: Problem) -> Feed:
    """Batches by indexing NumPy arrays on the host, then moved."""
    rows = problem.train

    def epoch(number: int) -> Iterator[Pair]:
        first = number * problem.steps_per_epoch
        for step in range(first, first + problem.steps_per_epoch):
            chosen = batch_indices(problem, step)
            yield torch.from_numpy(rows.inputs[chosen]), torch.from_numpy(rows.targets[chosen])

    return Feed(epoch)


def build_on_device(problem: Problem) -> Feed:
    """All rows on the device; an epoch's order goes there, batches are gathered there."""
    inputs, targets = (each.to(device()) for each in tensors(problem).tensors)
    size = problem.experiment.data.batch_size

    def epoch(_: int) -> Iterator[Pair]:
        order = torch.randperm(len(inputs), device=inputs.device)
        for rows in torch.split(order, size):
            yield inputs[rows], targets[rows]

    return Feed(epoch)
