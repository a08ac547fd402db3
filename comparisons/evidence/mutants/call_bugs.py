"""Bugs of several steps in one call of `run`; each step in a call of its own is right."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final

import numpy as np

from comparisons.evidence.mutants.hosts import Host
from comparisons.evidence.mutants.mutant import Mutant, Plant
from twofold.problem.state import TrainState

THEME: Final = "several steps in one call"
# (executor, state before the call, index within it, steps of the call) -> the step's loss
Inner = Callable[[Any, TrainState, int, int], float]


def several(inner: Inner) -> Plant:
    """Calls of two steps and more take each of them by `inner`."""

    def plant(host: Host) -> AbstractContextManager[Any]:
        def run(original: Any, self: Any, steps: int) -> Any:
            if steps == 1:
                return original(self, steps)
            start = self.state()
            losses = [inner(self, start, index, steps) for index in range(steps)]
            return np.array(losses, dtype=self._problem.dtype)

        return host.executor("run", run)

    return plant


def _own_step(executor: Any) -> float:
    return float(executor.step(executor.batch(executor.state().step)))


def _exchanged(executor: Any, start: TrainState, index: int, steps: int) -> float:
    other = index ^ 1
    return float(executor.step(executor.batch(start.step + (other if other < steps else index))))


def _batch_of_the_first(executor: Any, start: TrainState, *_: int) -> float:
    return float(executor.step(executor.batch(start.step)))


def _count_of_the_first(executor: Any, start: TrainState, index: int, _: int) -> float:
    """Masks, learning rate and bias correction all follow the count."""
    batch = executor.batch(start.step + index)
    executor.load_state(replace(executor.state(), step=start.step))
    loss = float(executor.step(batch))
    executor.load_state(replace(executor.state(), step=start.step + index + 1))
    return loss


def _last_lost(executor: Any, _: TrainState, index: int, steps: int) -> float:
    before = executor.state()
    loss = _own_step(executor)
    if index == steps - 1:
        executor.load_state(replace(before, step=before.step + 1))
    return loss


def _without_decay(executor: Any, _: TrainState, index: int, __: int) -> float:
    """The decay of every step but the first is added back."""
    before = executor.state()
    loss = _own_step(executor)
    if index > 0:
        spec, after = executor._problem.experiment.optimizer, executor.state()
        share = spec.learning_rate * spec.weight_decay
        parameters = {
            name: (array + share * before.parameters[name]).astype(array.dtype)
            for name, array in after.parameters.items()
        }
        executor.load_state(replace(after, parameters=parameters))
    return loss


def _slots_of_the_first(executor: Any, start: TrainState, *_: int) -> float:
    """The optimizer starts each step from the slots that it had before the call."""
    now = executor.state()
    executor.load_state(replace(now, slots=start.slots))
    return _own_step(executor)


def _mutant(name: str, description: str, inner: Inner, base: str = "classes") -> Mutant:
    return Mutant(name, THEME, f"within a call, {description}", base, plant=several(inner))


MUTANTS: Final = (
    _mutant("batches-exchanged-in-a-call", "each two batches are exchanged", _exchanged),
    _mutant("same-batch-in-a-call", "every step takes the first one's batch", _batch_of_the_first),
    _mutant(
        "count-stands-in-a-call",
        "masks, learning rate and bias correction are the first step's",
        _count_of_the_first,
        "classes, scheduled",
    ),
    _mutant("last-step-lost-in-a-call", "the last step is counted, not kept", _last_lost),
    _mutant("first-step-alone-decays", "only the first step decays weights", _without_decay),
    _mutant(
        "slots-stand-in-a-call",
        "momentum starts from before the call",
        _slots_of_the_first,
        "outputs, momentum",
    ),
)
CONTROLS: Final = (
    Mutant(
        "control-of-calls",
        "control",
        "no bug at all, steps of a call written out",
        "classes",
        plant=several(lambda executor, *_: _own_step(executor)),
    ),
)
