"""A workload: what of an experiment decides how long its training step takes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from twofold.errors import SpecError
from twofold.problem.problem import Problem, slot_names
from twofold.spec.layers.activation import Activation
from twofold.spec.layers.dropout import Dropout
from twofold.spec.layers.linear import Linear
from twofold.spec.layers.sequence import every
from twofold.spec.model import dropouts
from twofold.timing.operations import flops_of, parameter_moves, row_moves
from twofold.timing.timed_engine import rows_per_step

MEASURED: Final = (Linear, Activation, Dropout)
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
    "rows",
    "gathered bytes",
)
"""What the seconds of a step are made of: overheads for each step, layer, dropout layer and
optimizer slot of a layer; then operations, bytes and random numbers at the engine's rates. Rows
cost something however narrow they are (their loss), and so do the inputs that are gathered."""
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
        parameters = sum(fan_in * fan_out + fan_out for fan_in, fan_out in pairs)
        hidden = self.sizes[1:-1]
        masks = self.dropout
        return np.array(
            [
                1.0,
                self.layers,
                len(hidden) * masks,
                self.layers * self.slots,
                flops_of([fan_in * fan_out for fan_in, fan_out in pairs], self.rows),
                self.itemsize * row_moves(self.sizes[0], sum(self.sizes[1:]), self.rows),
                self.itemsize * parameter_moves(parameters, self.slots),
                self.rows * sum(hidden) * masks,
                self.rows,
                self.itemsize * self.rows * self.sizes[0],
            ],
            dtype=np.float64,
        )

    def traits(self) -> Vector:
        """What decides which engine is the quickest: logarithms of the work, and its kinds."""
        work = np.maximum(self.terms()[OVERHEADS:], 1.0)  # without dropout no masks are drawn
        return np.append(np.log(work), float(self.dropout))

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Workload:
        """The workload that `dataclasses.asdict` and JSON made of one."""
        return cls(**{**given, "sizes": tuple(given["sizes"])})


@dataclass(frozen=True)
class Space:
    """The space in which workloads are near or far: traits, in standard deviations of some.

    `middle` and `width`, shape (traits,), are the mean and the standard deviation of the workloads
    it was made of; a trait that all of them share counts as it is.
    """

    middle: Vector
    width: Vector

    @classmethod
    def around(cls, workloads: Iterable[Workload]) -> Space:
        """The space around some workloads."""
        traits = np.array([workload.traits() for workload in workloads])
        width = traits.std(axis=0)
        return cls(traits.mean(axis=0), np.where(width > 0, width, 1.0))

    def place(self, workload: Workload) -> Vector:
        """Where a workload lies, shape (traits,): near workloads take similar time."""
        return np.asarray((workload.traits() - self.middle) / self.width)


def workload_of(problem: Problem) -> Workload:
    """The workload of a problem's training step.

    Raises SpecError for a model with layers whose time no calibration has measured.
    """
    layers = list(every(problem.layers))
    strange = [each for each in layers if not isinstance(each.layer, MEASURED)]
    if strange:
        raise SpecError(
            f"model: {strange[0].layer.words()} given; the advice was calibrated on linear layers, "
            "activations and dropout alone; time the engines themselves: twofold time"
        )
    linear = [each.width_after for each in layers if isinstance(each.layer, Linear)]
    return Workload(
        sizes=(problem.in_features, *linear),
        rows=rows_per_step(problem),
        slots=len(slot_names(problem.experiment)),
        itemsize=problem.dtype.itemsize,
        dropout=len(dropouts(problem.experiment.model)) > 0,
    )
