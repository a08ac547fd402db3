"""Problems that differ in their seeds alone, trained together: one step of all at a time.

`twofold.parity.ladder.many_seeds` certifies such steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from twofold.backends import installed
from twofold.engines import registry
from twofold.errors import SpecError
from twofold.problem.problem import Problem
from twofold.problem.state import Array, TrainState
from twofold.spec.experiment import Experiment
from twofold.spec.model import across_rows


class SeedsTogether(ABC):
    """What a backend makes of such problems; losses and states come out in NumPy."""

    @abstractmethod
    def run(self, steps: int) -> Array:
        """Take steps on each problem's own batches; returns the losses (steps, seeds)."""

    @abstractmethod
    def state(self, seed: int) -> TrainState:
        """A copy of the train state of one of the seeds, counted from 0."""


def open_seeds(problem: Problem, seeds: Sequence[int], backend: str) -> SeedsTogether:
    """Open a problem with each of some seeds in a backend such as `torch`.

    Raises UnknownEngine, FrameworkMissing, or SpecError for an experiment that cannot be trained
    so: see `require_together`.
    """
    require_together(problem.experiment)
    owner = installed.backend(backend)
    registry.require_framework(owner)
    registry.require_expressible(owner, problem.experiment)
    opened: SeedsTogether = installed.load_part(owner.seeds)(with_seeds(problem, seeds))
    return opened


def with_seeds(problem: Problem, seeds: Sequence[int]) -> list[Problem]:
    """The problem with each of some seeds, on the same rows."""
    return [
        replace(problem, experiment=problem.experiment.model_copy(update={"seed": seed}))
        for seed in seeds
    ]


def require_together(experiment: Experiment) -> None:
    """Refuse what one step of many seeds cannot do, or has not been shown to do."""
    hint = "train the seeds one by one"
    if experiment.data.memory_map:
        raise SpecError(
            f"data.memory_map: true given; many seeds in one step need all rows in memory; {hint}"
        )
    if experiment.optimizer.clip_norm is not None:
        # PyTorch's clip_grad_norm_ would take the norm of all seeds together.
        raise SpecError(f"optimizer.clip_norm: given; many seeds in one step allow none; {hint}")
    loss = experiment.loss
    if loss.kind == "cross_entropy" and loss.class_weights and loss.label_smoothing > 0:
        # PyTorch selects rows by a mask there, which torch.func.vmap refuses (PyTorch 2.13).
        raise SpecError(
            "loss.class_weights: given with label_smoothing; many seeds in one step allow one of "
            f"the two; {hint}"
        )
    if experiment.training.micro_batches > 1:
        raise SpecError(f"training.micro_batches: above 1; many seeds in one step allow 1; {hint}")
    if experiment.precision == "mixed_bfloat16":
        raise SpecError(
            f'precision: "mixed_bfloat16"; allowed is "float32" or "float64" for many seeds in one '
            f"step; {hint}"
        )
    layer = across_rows(experiment.model)
    if layer is not None:
        # PyTorch's vmap cannot move running statistics in place.
        raise SpecError(f"model: {layer} given; many seeds in one step allow none; {hint}")
