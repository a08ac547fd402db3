"""Which problems were trained with compiled steps before, so that these lie in the cache.

A hint for the choice of an engine, no more: where it is wrong, a step is compiled again, or an
eager engine is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from twofold.problem.problem import Problem
from twofold_torch import step_cache
from twofold_torch.feed import Steps

TrainSteps = Callable[[Tensor, Tensor, Steps], Tensor]


def was_compiled(problem: Problem) -> bool:
    """Whether an earlier start has compiled the steps of such a problem, with these threads."""
    with suppress(OSError):
        return _mark(problem).is_file()
    return False


def remembering(problem: Problem, train_steps: TrainSteps) -> TrainSteps:
    """The function; when it has come back for the first time, the problem is remembered."""
    done = False

    def call(inputs: Tensor, targets: Tensor, steps: Steps) -> Tensor:
        nonlocal done
        losses = train_steps(inputs, targets, steps)
        if not done:
            done = True
            mark_compiled(problem)
        return losses

    return call


def mark_compiled(problem: Problem) -> None:
    """Note that the steps of a problem are compiled; without a folder for it, nothing is noted."""
    with suppress(OSError):
        mark = _mark(problem)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def _mark(problem: Problem) -> Path:
    experiment = problem.experiment
    told = experiment.model_dump_json(exclude={"name", "seed", "training"})
    features = f"{problem.train.inputs.shape} {problem.out_features}"
    micro = experiment.training.micro_batches
    return step_cache.folder() / f"{step_cache.key(f'{told} {features} {micro}', 'mark')}.ready"
