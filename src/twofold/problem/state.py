"""Parameters and training state in their canonical form: NumPy arrays under canonical names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Parameters = Mapping[str, Array]
"""Ordered names to arrays: `layers.0.weight` (out_features, in_features), `layers.0.bias`
(out_features,), and so on, input side first."""

MOMENTUM: Final = "momentum"
FIRST_MOMENT: Final = "first_moment"
SECOND_MOMENT: Final = "second_moment"


@dataclass(frozen=True)
class TrainState:
    """Everything that training changes: parameters, optimizer slots, number of steps taken.

    `slots` maps a slot name (`momentum`; `first_moment` and `second_moment`) to arrays with the
    names and shapes of the parameters.
    """

    parameters: Parameters
    slots: Mapping[str, Parameters]
    step: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))
        frozen = {name: MappingProxyType(dict(slot)) for name, slot in self.slots.items()}
        object.__setattr__(self, "slots", MappingProxyType(frozen))


def weight_name(layer: int) -> str:
    """Canonical name of a layer's weight, shape (out_features, in_features)."""
    return f"layers.{layer}.weight"


def bias_name(layer: int) -> str:
    """Canonical name of a layer's bias, shape (out_features,)."""
    return f"layers.{layer}.bias"


def fresh_state(parameters: Parameters, slot_names: tuple[str, ...]) -> TrainState:
    """The state before the first step: every slot zero."""
    zeros = {name: np.zeros_like(array) for name, array in parameters.items()}
    return TrainState(parameters, dict.fromkeys(slot_names, zeros), step=0)
