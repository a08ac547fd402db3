"""Parameters and training state in their canonical form: NumPy arrays under canonical names.

Names: the layers that have parameters are numbered from 0, input side first. A layer inside a
residual block counts like any other; an activation, dropout or the residual itself does not.
`layers.N.weight` and `layers.N.bias` are the parameters of layer N: of a linear layer
(out_features, in_features) and (out_features,), of a norm (features,) both, the scale and the
shift. Batch norm's buffers are `layers.N.running_mean` and `layers.N.running_var`, (features,).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np

from twofold.spec.layers.kind import Array as Array  # for all who read states

Parameters = Mapping[str, Array]
"""Ordered names to arrays, input side first."""
NOTHING: Final[Parameters] = MappingProxyType({})

MOMENTUM: Final = "momentum"
FIRST_MOMENT: Final = "first_moment"
SECOND_MOMENT: Final = "second_moment"
SEPARATOR: Final = ":"


@dataclass(frozen=True)
class TrainState:
    """Everything that training changes: parameters, optimizer slots, steps taken, buffers.

    `slots` maps a slot name (`momentum`; `first_moment` and `second_moment`) to arrays with the
    names and shapes of the parameters. `buffers` are what the forward pass itself changes in
    training: batch norm's running mean and variance.
    """

    parameters: Parameters
    slots: Mapping[str, Parameters]
    step: int
    buffers: Parameters = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))
        object.__setattr__(self, "buffers", MappingProxyType(dict(self.buffers)))
        frozen = {name: MappingProxyType(dict(slot)) for name, slot in self.slots.items()}
        object.__setattr__(self, "slots", MappingProxyType(frozen))

    @property
    def named_slots(self) -> dict[str, Array]:
        """Slots under names such as `first_moment:layers.0.weight`."""
        return {
            f"{slot}{SEPARATOR}{name}": array
            for slot, arrays in self.slots.items()
            for name, array in arrays.items()
        }

    @property
    def tensors(self) -> dict[str, Array]:
        """Parameters and buffers by name, and slots as in `named_slots`."""
        return {**self.parameters, **self.buffers, **self.named_slots}


def fresh_state(
    parameters: Parameters, slot_names: tuple[str, ...], buffers: Parameters = NOTHING
) -> TrainState:
    """The state before the first step: every slot zero."""
    zeros = {name: np.zeros_like(array) for name, array in parameters.items()}
    return TrainState(parameters, dict.fromkeys(slot_names, zeros), step=0, buffers=buffers)
