"""What a training step changes. (In PyTorch this lives inside the model and the optimizer.)"""

from __future__ import annotations

from typing import Any, NamedTuple

from flax import nnx
from jax import Array

Params = nnx.State[Any, Any]


class State(NamedTuple):
    """Parameters, Optax's state, steps taken (uint32)."""

    params: Params
    optimizer: Any
    step: Array
