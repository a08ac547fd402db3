"""Dropout: when it is off, and where its randomness lives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F
from flax import nnx
from jax import Array
from torch import Tensor, nn

from comparisons.atlas.traps.trap import Raises, Trap


def jitted_pytorch() -> bool:
    dropout, x = nn.Dropout(0.5), torch.ones(100)
    return torch.equal(dropout(x), dropout(x))


def jitted_jax() -> bool:
    dropout, x = nnx.Dropout(0.5, rngs=nnx.Rngs(0)), jnp.ones(100)
    step = jax.jit(lambda x: dropout(x))
    return bool((step(x) == step(x)).all())


def jitted_jax_fixed() -> bool:
    dropout, x = nnx.Dropout(0.5, rngs=nnx.Rngs(0)), jnp.ones(100)
    step = nnx.jit(lambda dropout, x: dropout(x))
    return bool((step(dropout, x) == step(dropout, x)).all())


DROPOUT_UNDER_JIT = Trap(
    id="dropout-under-jit",
    statement="PyTorch's dropout draws from a global generator anywhere; an nnx.Dropout that a "
    "jax.jit function merely refers to raises, because its key counter is state.",
    severity="error",
    symptoms="TraceContextError cannot mutate RngCount from a different trace level, jit closure",
    pytorch=jitted_pytorch,
    pytorch_gives=False,  # two calls have the same mask
    jax=jitted_jax,
    jax_gives=Raises("TraceContextError", "from a different trace level"),
    fix="Use nnx.jit and pass the module as an argument.",
    jax_fixed=jitted_jax_fixed,
    source="google/flax#3997",
)


class FunctionalPyTorch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5)


class ModulesFlax(nnx.Module):
    def __init__(self) -> None:
        self.dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(0))

    def __call__(self, x: Array) -> Array:
        return self.dropout(x)


class FixedPyTorch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, training=self.training)


def evaluation_pytorch() -> bool:
    model = FunctionalPyTorch()
    model.eval()
    return bool((model(torch.ones(100)) == 1.0).all())


def evaluation_jax() -> bool:
    model = ModulesFlax()
    model.eval()
    return bool((model(jnp.ones(100)) == 1.0).all())


def evaluation_pytorch_fixed() -> bool:
    model = FixedPyTorch()
    model.eval()
    return bool((model(torch.ones(100)) == 1.0).all())


DROPOUT_FUNCTIONAL_EVAL = Trap(
    id="dropout-functional-eval",
    statement="F.dropout goes on dropping after model.eval(): its training argument is True unless "
    "given. A Flax model has only module dropouts, and eval() reaches them.",
    severity="silent wrong result",
    symptoms="evaluation is random, predictions change from call to call, test accuracy too low",
    pytorch=evaluation_pytorch,
    pytorch_gives=False,  # evaluation leaves the input alone
    jax=evaluation_jax,
    jax_gives=True,
    fix="Pass training=self.training, or use nn.Dropout.",
    pytorch_fixed=evaluation_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.dropout.html",
)
