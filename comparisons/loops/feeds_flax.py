"""Ways to bring batches to the device in JAX; nothing is trained."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator
from typing import Any, Final, final

import jax
import numpy as np
import numpy.typing as npt

from comparisons.loops.parts import NO_LOSSES
from twofold.problem.problem import Problem, batch_indices

Pair = tuple[Any, Any]
AHEAD: Final = 2  # batches on their way while one is used


@final
class Feed:
    """Takes batch after batch to the device, epoch after epoch."""

    def __init__(self, batches: Iterator[Pair]) -> None:
        self._batches = batches
        self._last: Pair | None = None

    def run(self, steps: int, /) -> npt.NDArray[Any]:
        """Bring some batches to the device."""
        for _ in range(steps):
            self._last = next(self._batches)
        return NO_LOSSES

    def synchronize(self) -> None:
        """Wait until the last batch is there."""
        jax.block_until_ready(self._last)

    def compilations(self) -> int:
        """The gather of `on-device` is compiled once, at its first batch."""
        return 0


def host_batches(problem: Problem) -> Iterator[Pair]:
    """Batches on the host, without end."""
    rows = problem.train
    targets = rows.targets
    if targets.dtype == np.int64:
        targets = targets.astype(np.int32)
    for step in itertools.count():
        chosen = batch_indices(problem, step)
        yield rows.inputs[chosen], targets[chosen]


def build_device_put(problem: Problem) -> Feed:
    """Batches made on the host, each sent with `jax.device_put`."""
    return Feed(jax.device_put(batch) for batch in host_batches(problem))


def build_prefetch(problem: Problem) -> Feed:
    """The same, sent before they are needed."""

    def ahead() -> Iterator[Pair]:
        waiting: collections.deque[Pair] = collections.deque()
        for batch in host_batches(problem):
            waiting.append(jax.device_put(batch))
            if len(waiting) > AHEAD:
                yield waiting.popleft()

    return Feed(ahead())


def build_on_device(problem: Problem) -> Feed:
    """All rows on the device; an epoch's order goes there, batches are gathered there."""
    inputs = jax.device_put(problem.train.inputs)
    targets = jax.device_put(problem.train.targets.astype(np.int32))
    size, per_epoch = problem.experiment.data.batch_size, problem.steps_per_epoch

    @jax.jit
    def take(inputs: jax.Array, targets: jax.Array, rows: jax.Array) -> Pair:
        return inputs[rows], targets[rows]

    def gathered() -> Iterator[Pair]:
        for epoch in itertools.count():
            steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
            order = [batch_indices(problem, step).astype(np.int32) for step in steps]
            assert all(len(rows) == size for rows in order)  # the harness drops partial batches
            for rows in jax.device_put(order):
                yield take(inputs, targets, rows)

    return Feed(gathered())
