"""What loops of other libraries share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from twofold.problem.problem import Problem
from twofold.spec.model import numbered

NO_LOSSES: Final[npt.NDArray[Any]] = np.empty(0)
"""These libraries keep no loss of every step."""


def layer_sizes(problem: Problem) -> tuple[int, ...]:
    """Features entering and leaving each linear layer of an MLP: in_features, hidden ..., out."""
    layers = numbered(problem.experiment.model)
    return (problem.in_features, *(each.width_after for each in layers))


class Parts:
    """Training rows as other libraries want them: whole epochs, or the first rows of one."""

    def __init__(self, problem: Problem) -> None:
        self.size = problem.experiment.data.batch_size
        self.inputs, self.targets = problem.train.inputs, problem.train.targets
        self.per_epoch = len(self.inputs) // self.size  # whole batches

    def of(self, steps: int) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        """Inputs and targets that make `steps` whole batches, at most an epoch at a time."""
        while steps > 0:
            batches = min(steps, self.per_epoch)
            rows = batches * self.size
            yield self.inputs[:rows], self.targets[:rows]
            steps -= batches
