"""Which parameters an optimizer moves."""

from __future__ import annotations

from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import optax
import torch
from flax import nnx
from torch import nn

from comparisons.atlas.traps.trap import Raises, Trap


def replaced_pytorch() -> Any:
    layer = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    layer.bias = nn.Parameter(torch.tensor([5.0]))  # after the optimizer was made
    layer.bias.sum().backward()
    optimizer.step()
    return layer.bias


def replaced_jax() -> Any:
    params = {"bias": jnp.array([0.0])}
    optimizer = optax.sgd(1.0)
    state = optimizer.init(params)
    params = {"bias": jnp.array([5.0])}
    gradient = jax.grad(lambda params: params["bias"].sum())(params)
    updates, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, updates)["bias"]


def replaced_pytorch_fixed() -> Any:
    layer = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([5.0]))  # in place: the same parameter
    layer.bias.sum().backward()
    optimizer.step()
    return layer.bias


OPTIMIZER_HOLDS_OLD_PARAMETER = Trap(
    id="optimizer-holds-old-parameter",
    statement="A PyTorch optimizer holds the parameters it was given: one replaced afterwards does "
    "not train, without a word. Optax updates what it is given each time.",
    severity="silent wrong result",
    symptoms="new head does not train, resize embeddings after optimizer, fine-tuning, weight "
    "reset",
    pytorch=replaced_pytorch,
    pytorch_gives=[5.0],
    jax=replaced_jax,
    jax_gives=[4.0],
    fix="Change parameters in place, or make the optimizer last.",
    pytorch_fixed=replaced_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/optim.html",
)


def signature_pytorch() -> Any:
    layer = nn.Linear(1, 1)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    layer.bias.sum().backward()
    optimizer.step()
    return layer.bias


def signature_jax() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(layer, optax.sgd(1.0))
    gradients = nnx.grad(lambda layer: layer.bias[...].sum())(layer)
    optimizer.update(gradients)
    return layer.bias[...]


def signature_jax_fixed() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(layer, optax.sgd(1.0), wrt=nnx.Param)
    gradients = nnx.grad(lambda layer: layer.bias[...].sum())(layer)
    optimizer.update(layer, gradients)
    return layer.bias[...]


NNX_OPTIMIZER_SIGNATURE = Trap(
    id="nnx-optimizer-signature",
    statement="optimizer.step() takes nothing in PyTorch; nnx.Optimizer wants to be told wrt and "
    "the "
    "model since Flax 0.11, and older tutorials fail.",
    severity="error",
    symptoms="Missing required argument wrt, Missing required argument grads, nnx.Optimizer update",
    pytorch=signature_pytorch,
    pytorch_gives=[-1.0],
    jax=signature_jax,
    jax_gives=Raises("TypeError", "wrt"),
    fix="nnx.Optimizer(model, tx, wrt=nnx.Param) and update(model, gradients).",
    jax_fixed=signature_jax_fixed,
    source="https://flax.readthedocs.io/en/latest/migrating/nnx_010_to_nnx_011.html",
)
