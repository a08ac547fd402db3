"""Every kind of cause, in the order in which they are tried: the most special first."""

from __future__ import annotations

from typing import Final

from twofold.port.causes import (
    activations,
    attention,
    images,
    leftover,
    norms,
    optimizers,
    structure,
    tensors,
    training,
)
from twofold.port.causes.hypothesis import Kind

KINDS: Final[tuple[Kind, ...]] = (
    *norms.KINDS,
    *(kind for kind in activations.KINDS if kind.name != "other activation"),
    *attention.KINDS,
    *images.KINDS,
    *training.KINDS,
    *tensors.KINDS,
    *structure.KINDS,
    *(kind for kind in activations.KINDS if kind.name == "other activation"),
    *optimizers.KINDS,
)

OF_LEFT_OVER: Final = leftover.KINDS
OF_GRADIENTS: Final[tuple[Kind, ...]] = training.OF_GRADIENTS
EVERY: Final[tuple[Kind, ...]] = (*KINDS, *OF_GRADIENTS, *OF_LEFT_OVER)
