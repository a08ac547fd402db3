"""What a training step changes. (In PyTorch this lives inside the model and the optimizer.)"""

from __future__ import annotations

from typing import Any, NamedTuple

from jax import Array

Params = Any
"""A tree of arrays, in whatever containers the model's library has for it."""


class Variables(NamedTuple):
    """What a model consists of, as values or as shapes alone: parameters and buffers."""

    params: Params
    buffers: Params


class State(NamedTuple):
    """Parameters, Optax's state, steps taken (uint32), batch norm's running statistics."""

    params: Params
    optimizer: Any
    step: Array
    buffers: Params
