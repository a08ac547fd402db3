"""A workload: what of an experiment decides how long its training step takes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from twofold.problem import Problem, slot_names
from twofold.timing.subject import rows_per_step

Vector = npt.NDArray[np.float64]

TERMS: Final = (
    "step",
    "layers",
    "mask layers",
    "slot layers",
    "products",
    "row bytes",
    "parameter bytes",
    "mask elements",
)
"""What the seconds of a step are made of: overheads for each step, layer, dropout layer and
optimizer slot of a layer; then operations, bytes and random numbers at the engine's rates."""
OVERHEADS: Final = 4


@dataclass(frozen=True)
class Workload:
    """The shapes of a training step: layer sizes, rows in a batch, slots of the optimizer.

    `itemsize` is that of a parameter in bytes; `dropout` whether masks are drawn.
    """

    sizes: tuple[int, ...]
    rows: int
    slots: int
    itemsize: int
    dropout: bool

    @property
    def layers(self) -> int:
        """Linear layers."""
        return len(self.sizes) - 1

    def terms(self) -> Vector:
        """How often each of TERMS is needed, shape (TERMS,)."""
        pairs = list(itertools.pairwise(self.sizes))
        products = [2 * self.rows * fan_in * fan_out for fan_in, fan_out in pairs]
        parameters = sum(fan_in * fan_out + fan_out for fan_in, fan_out in pairs)
        hidden = self.sizes[1:-1]
        masks = self.dropout
        return np.array(
            [
                1.0,
                self.layers,
                len(hidden) * masks,
                self.layers * self.slots,
                3 * sum(products) - products[0],
                self.itemsize * self.rows * (2 * self.sizes[0] + 5 * sum(self.sizes[1:])),
                self.itemsize * parameters * (5 + 2 * self.slots),
                self.rows * sum(hidden) * masks,
            ],
            dtype=np.float64,
        )

    def place(self) -> Vector:
        """Where it lies among others: coordinates in which near workloads take similar time."""
        terms = self.terms()
        products, parameters = float(terms[4]), float(terms[6])
        return np.array(
            [
                math.log(self.rows),
                math.log(products / self.rows / self.layers) / 2,  # about the logarithm of a width
                math.log(parameters) / 2,
                self.layers,
                2.0 * self.dropout,
                self.slots,
            ]
        )

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Workload:
        """The workload that `dataclasses.asdict` and JSON made of one."""
        return cls(**{**given, "sizes": tuple(given["sizes"])})


def workload_of(problem: Problem) -> Workload:
    """The workload of a problem's training step."""
    model = problem.experiment.model
    return Workload(
        sizes=problem.layer_sizes,
        rows=rows_per_step(problem),
        slots=len(slot_names(problem.experiment)),
        itemsize=problem.dtype.itemsize,
        dropout=model.dropout > 0 and len(model.hidden) > 0,
    )
