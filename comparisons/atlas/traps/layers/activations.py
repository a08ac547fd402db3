"""Activation functions whose defaults differ."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F
from flax import nnx
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Trap, Warns


def gelu_pytorch() -> Tensor:
    return F.gelu(torch.tensor([-1.0, 1.0]))


def gelu_jax() -> Array:
    return jax.nn.gelu(jnp.array([-1.0, 1.0]))


def gelu_jax_fixed() -> Array:
    return jax.nn.gelu(jnp.array([-1.0, 1.0]), approximate=False)


GELU_TANH_DEFAULT = Trap(
    id="gelu-tanh-default",
    statement="gelu is exact (by erf) in PyTorch and a tanh approximation in JAX.",
    severity="silent wrong result",
    symptoms="transformer BERT GPT port activations differ by 1e-4, logits slightly off",
    pytorch=gelu_pytorch,
    pytorch_gives=[-0.15865525, 0.84134475],  # x Phi(x), Phi the normal distribution
    jax=gelu_jax,
    jax_gives=[-0.15880801, 0.84119199],  # x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
    fix="Pass approximate=False to jax.nn.gelu.",
    jax_fixed=gelu_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="erf is evaluated by another polynomial",
    source="jax-ml/jax#4428; huggingface/transformers#11364",
)


def softmax_pytorch() -> Tensor:
    x = torch.zeros(2, 3, 4)
    return F.softmax(x)[0, 0]


def softmax_jax() -> Array:
    x = jnp.zeros((2, 3, 4))
    return jax.nn.softmax(x)[0, 0]


def softmax_pytorch_fixed() -> Tensor:
    x = torch.zeros(2, 3, 4)
    return F.softmax(x, dim=-1)[0, 0]


SOFTMAX_IMPLICIT_DIM = Trap(
    id="softmax-implicit-dim",
    statement="softmax without a dimension normalizes over the FIRST one in PyTorch where the "
    "input has 0, 1 or 3 dimensions, and always over the last one in JAX.",
    severity="silent wrong result",
    symptoms="attention rows do not sum to one, probabilities wrong, implicit dimension warning",
    pytorch=softmax_pytorch,
    pytorch_gives=Warns("Implicit dimension choice for softmax", [0.5, 0.5, 0.5, 0.5]),
    jax=softmax_jax,
    jax_gives=[0.25, 0.25, 0.25, 0.25],
    fix="Always name the dimension: dim=-1.",
    pytorch_fixed=softmax_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html",
)


def prelu_pytorch() -> Tensor:
    return torch.nn.PReLU()(torch.tensor([-4.0]))


def prelu_jax() -> Array:
    return nnx.PReLU()(jnp.array([-4.0]))


def prelu_jax_fixed() -> Array:
    return nnx.PReLU(negative_slope_init=0.25)(jnp.array([-4.0]))


PRELU_INITIAL_SLOPE = Trap(
    id="prelu-initial-slope",
    statement="A PReLU starts with slope 0.25 in PyTorch and 0.01 in Flax.",
    severity="silent wrong result",
    symptoms="training curves differ, parametric relu initialization, super resolution model",
    pytorch=prelu_pytorch,
    pytorch_gives=[-1.0],
    jax=prelu_jax,
    jax_gives=[-0.04],
    fix="Pass negative_slope_init=0.25.",
    jax_fixed=prelu_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.PReLU.html; "
    "https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/nn/activations.html",
)


def softplus_pytorch() -> Tensor:
    x = torch.tensor(21.0, dtype=torch.float64)
    return F.softplus(x) - x


def softplus_jax() -> Array:
    with jax.enable_x64(True):
        x = jnp.array(21.0)
        return jax.nn.softplus(x) - x


def softplus_pytorch_fixed() -> Tensor:
    x = torch.tensor(21.0, dtype=torch.float64)
    return F.softplus(x, threshold=100.0) - x


SOFTPLUS_THRESHOLD = Trap(
    id="softplus-threshold",
    statement="PyTorch returns x itself as softplus(x) above 20; JAX computes log(1 + exp(x)). "
    "Only float64 shows it.",
    severity="silent wrong result",
    symptoms="float64 comparison fails at 1e-9, gradcheck, log1p exp",
    pytorch=softplus_pytorch,
    pytorch_gives=0.0,
    jax=softplus_jax,
    jax_gives=7.5825601e-10,  # exp(-21), to the last digits that 21 has left
    fix="Raise the threshold: F.softplus(x, threshold=100).",
    pytorch_fixed=softplus_pytorch_fixed,
    fix_tolerance=1e-5,
    fix_tolerance_reason="the difference has five digits: 21 itself is rounded to 3.6e-15",
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softplus.html",
)
