"""Attention: what a mask means, which axis is the batch, what is dropped together."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F
from flax import nnx
from jax import Array
from torch import Tensor, nn

from comparisons.atlas.traps.trap import Trap

CAUSAL = [[True, False], [True, True]]  # True: may be seen


def averaging_attention(**options: bool) -> nn.MultiheadAttention:
    """Attention with zero scores: each query averages the values it may see."""
    attention = nn.MultiheadAttention(1, 1, bias=False, **options)
    with torch.no_grad():
        attention.in_proj_weight[:] = torch.tensor([[0.0], [0.0], [1.0]])  # query, key, value
        attention.out_proj.weight.fill_(1.0)
    return attention


def polarity_pytorch() -> Tensor:
    x = torch.tensor([[[1.0], [3.0]]])
    attention = averaging_attention(batch_first=True)
    return attention(x, x, x, attn_mask=torch.tensor(CAUSAL))[0].flatten()


def polarity_jax() -> Array:
    zeros, values = jnp.zeros((1, 2, 1, 1)), jnp.array([1.0, 3.0]).reshape(1, 2, 1, 1)
    mask = jnp.array(CAUSAL)[None, None]
    return nnx.dot_product_attention(zeros, zeros, values, mask=mask).ravel()


def polarity_pytorch_fixed() -> Tensor:
    x = torch.tensor([[[1.0], [3.0]]])
    attention = averaging_attention(batch_first=True)
    return attention(x, x, x, attn_mask=~torch.tensor(CAUSAL))[0].flatten()


ATTENTION_MASK_POLARITY = Trap(
    id="attention-mask-polarity",
    statement="True in a mask means HIDDEN in nn.MultiheadAttention and VISIBLE in Flax, in jax.nn "
    "and even in PyTorch's own F.scaled_dot_product_attention.",
    severity="silent wrong result",
    symptoms="model sees the future, causal mask inverted, nan attention, loss too low",
    pytorch=polarity_pytorch,
    pytorch_gives=[3.0, float("nan")],  # the first sees only the second, the second nothing
    jax=polarity_jax,
    jax_gives=[1.0, 2.0],
    fix="Pass ~mask to nn.MultiheadAttention.",
    pytorch_fixed=polarity_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html",
)


def batch_axis_pytorch() -> Tensor:
    x = torch.tensor([[1.0, 3.0], [5.0, 7.0]])[..., None]  # two sequences of length two
    return averaging_attention()(x, x, x)[0][..., 0]


def batch_axis_jax() -> Array:
    values = jnp.array([[1.0, 3.0], [5.0, 7.0]])[..., None, None]
    zeros = jnp.zeros_like(values)
    return nnx.dot_product_attention(zeros, zeros, values)[..., 0, 0]


def batch_axis_pytorch_fixed() -> Tensor:
    x = torch.tensor([[1.0, 3.0], [5.0, 7.0]])[..., None]
    return averaging_attention(batch_first=True)(x, x, x)[0][..., 0]


ATTENTION_BATCH_AXIS = Trap(
    id="attention-batch-axis",
    statement="PyTorch's attention, Transformer, LSTM and GRU take (length, batch, features) "
    "unless batch_first=True; Flax takes the batch first.",
    severity="silent wrong result",
    symptoms="examples of a batch influence each other, sequence and batch mixed up",
    pytorch=batch_axis_pytorch,
    pytorch_gives=[[3.0, 5.0], [3.0, 5.0]],  # averages across the two sequences
    jax=batch_axis_jax,
    jax_gives=[[2.0, 2.0], [6.0, 6.0]],
    fix="batch_first=True.",
    pytorch_fixed=batch_axis_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html",
)


def nothing_visible_pytorch() -> Tensor:
    zeros, values = torch.zeros(1, 1, 2, 1), torch.tensor([1.0, 3.0]).reshape(1, 1, 2, 1)
    mask = torch.tensor([[True, False], [False, False]])
    return F.scaled_dot_product_attention(zeros, zeros, values, mask).flatten()


def nothing_visible_jax() -> Array:
    zeros, values = jnp.zeros((1, 2, 1, 1)), jnp.array([1.0, 3.0]).reshape(1, 2, 1, 1)
    mask = jnp.array([[True, False], [False, False]])
    return jax.nn.dot_product_attention(zeros, zeros, values, mask=mask[None, None]).ravel()


def nothing_visible_jax_fixed() -> Array:
    zeros, values = jnp.zeros((1, 2, 1, 1)), jnp.array([1.0, 3.0]).reshape(1, 2, 1, 1)
    mask = jnp.array([[True, False], [False, False]])
    out = jax.nn.dot_product_attention(zeros, zeros, values, mask=mask[None, None]).ravel()
    return jnp.where(mask.any(axis=-1), out, 0.0)


ATTENTION_NOTHING_VISIBLE = Trap(
    id="attention-nothing-visible",
    statement="A query that may see no key gets 0 from PyTorch's scaled_dot_product_attention, and "
    "the plain average of ALL values from JAX's.",
    severity="silent wrong result",
    symptoms="fully masked row, padding positions leak, empty sequence attends to everything",
    pytorch=nothing_visible_pytorch,
    pytorch_gives=[1.0, 0.0],
    jax=nothing_visible_jax,
    jax_gives=[1.0, 2.0],
    fix="Zero those rows: where(mask.any(-1), out, 0).",
    jax_fixed=nothing_visible_jax_fixed,
    source="pytorch/pytorch#103963",
)


def dropped_together_pytorch() -> bool:
    zeros, values = torch.zeros(2, 1, 16, 1), torch.eye(16).expand(2, 1, 16, 16)
    out = F.scaled_dot_product_attention(zeros, zeros, values, dropout_p=0.5)
    return torch.equal(out[0], out[1])


def dropped_together_jax() -> bool:
    zeros = jnp.zeros((2, 16, 1, 1))
    values = jnp.broadcast_to(jnp.eye(16)[:, None], (2, 16, 1, 16))
    key = jax.random.key(0)
    out = nnx.dot_product_attention(
        zeros, zeros, values, dropout_rng=key, dropout_rate=0.5, deterministic=False
    )
    return bool((out[0] == out[1]).all())


def dropped_together_jax_fixed() -> bool:
    zeros = jnp.zeros((2, 16, 1, 1))
    values = jnp.broadcast_to(jnp.eye(16)[:, None], (2, 16, 1, 16))
    key = jax.random.key(0)
    options = {"dropout_rate": 0.5, "broadcast_dropout": False, "deterministic": False}
    out = nnx.dot_product_attention(zeros, zeros, values, dropout_rng=key, **options)
    return bool((out[0] == out[1]).all())


ATTENTION_DROPOUT_SHARED = Trap(
    id="attention-dropout-shared",
    statement="Attention dropout draws ONE mask for all examples and heads in Flax, and an "
    "independent one for each in PyTorch.",
    severity="silent wrong result",
    symptoms="dropout regularizes less, same mask across the batch, broadcast_dropout",
    pytorch=dropped_together_pytorch,
    pytorch_gives=False,  # two examples share a mask
    jax=dropped_together_jax,
    jax_gives=True,
    fix="broadcast_dropout=False.",
    jax_fixed=dropped_together_jax_fixed,
    source="https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/nn/attention.html",
)
