"""A few steps of an optimizer on one number, with given gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import optax
import torch
from jax import Array
from torch import Tensor


def steps_pytorch(
    kind: type[torch.optim.Optimizer],
    gradients: Sequence[float],
    start: float = 0.0,
    **options: Any,
) -> Tensor:
    parameter = torch.nn.Parameter(torch.tensor(start))
    optimizer = kind([parameter], **options)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
    return parameter


def steps_optax(
    optimizer: optax.GradientTransformation, gradients: Sequence[float], start: float = 0.0
) -> Array:
    parameter = jnp.array(start)
    state = optimizer.init(parameter)
    for gradient in gradients:
        update, state = optimizer.update(jnp.array(gradient), state, parameter)
        parameter = optax.apply_updates(parameter, update)
    return parameter
