"""Dropout with bounds."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded, rounded
from twofold.parity.oracle.layers.applied import Applied, Pass, Pulled
from twofold.spec.layers.dropout import Dropout
from twofold.spec.layers.sequence import Placed

# A kept unit is multiplied by its mask and divided by 1 - p, or multiplied by a rounded quotient.
DROPOUT_ROUNDINGS: Final = 3


def dropout(placed: Placed, inputs: Bounded, given: Pass) -> Applied:
    """In training what the mask keeps, divided by 1 - rate; in evaluation the inputs."""
    assert isinstance(placed.layer, Dropout)
    assert placed.draw is not None
    if given.masks is None:
        return Applied(inputs, lambda delta, _: Pulled(delta))
    mask, rate, layers = given.masks[placed.draw], placed.layer.rate, given.arithmetic.layers
    return Applied(
        drop(inputs, mask, rate, layers),
        lambda delta, _: Pulled(drop(delta, mask, rate, layers)),
    )


def drop(
    hidden: Bounded, mask: npt.NDArray[np.bool_], rate: float, arithmetic: Arithmetic
) -> Bounded:
    """Dropped units are exactly zero, kept ones are divided by 1 - rate.

    A mask does not save what has left the engine's range: infinity times zero is not a number.
    """
    keep = arithmetic.oracle_dtype.type(1) - arithmetic.oracle_dtype.type(rate)
    value = np.where(mask, hidden.value / keep, arithmetic.oracle_dtype.type(0))
    known = np.isfinite(hidden.bound)
    bound = np.where(mask | ~known, hidden.bound / float(keep), 0.0)
    return rounded(value, bound, DROPOUT_ROUNDINGS, arithmetic)
