"""What a layer is given, what it makes of it, and what its backward pass needs and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded, Given
from twofold.spec.layers.sequence import Placed

Masks = tuple[npt.NDArray[np.bool_], ...]


@dataclass(frozen=True)
class Pass:
    """One pass through a model.

    `masks` are those of the step, a bool (batch, features) for each dropout layer; None means
    evaluation mode. A batch is computed in `parts` micro-batches.
    """

    parameters: Given
    buffers: Given
    masks: Masks | None
    arithmetic: Arithmetic
    parts: int = 1


@dataclass(frozen=True)
class BatchStatistics:
    """Mean and biased variance (features,) of a batch of `rows` rows, as batch norm saw it."""

    mean: Bounded
    variance: Bounded
    rows: int


@dataclass(frozen=True)
class Pulled:
    """What a layer's backward pass gives: the gradient of its inputs and of its parameters.

    `inputs` is None where it was not asked for.
    """

    inputs: Bounded | None
    parameters: Mapping[str, Bounded] = field(default_factory=dict)


@dataclass(frozen=True)
class Applied:
    """What a layer's forward pass gives: outputs, and its backward pass as a function.

    `pull` takes the gradient of the outputs, and whether that of the inputs is wanted. `statistics`
    are those of the batch norms that were passed in training mode, by number.
    """

    outputs: Bounded
    pull: Callable[[Bounded, bool], Pulled]
    statistics: Mapping[int, BatchStatistics] = field(default_factory=dict)


class Apply(Protocol):
    """A layer's forward pass."""

    def __call__(self, placed: Placed, inputs: Bounded, given: Pass) -> Applied:
        """Outputs (batch, features) of inputs (batch, features)."""
