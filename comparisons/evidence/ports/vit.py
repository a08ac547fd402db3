"""A small vision transformer in PyTorch (NCHW), and its port to Flax Linen (NHWC)."""

from __future__ import annotations

from typing import Any, Final

import flax.linen as fnn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from comparisons.evidence.ports.losses import jax_loss, torch_loss
from comparisons.evidence.ports.optimizers import jax_optimizer, torch_optimizer
from comparisons.evidence.ports.pictures import picture_call
from comparisons.evidence.ports.plan import Plan
from twofold import port

IMAGES: Final = True
CHANNELS: Final = 3


class _How:
    """Settings of the whole model; those of a block are read below its own name."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.width, self.heads = plan.get("width", 8), plan.get("heads", 2)
        self.depth, self.patch = plan.get("depth", 2), plan.get("patch", 4)
        self.size, self.classes = plan.get("size", 8), plan.get("classes", 3)
        self.patches = plan.get("patches", "by rows")
        self.token = plan.get("token", "first")
        self.positions = plan.get("positions", "with the token")
        self.pooled = plan.get("pooled", "token")
        self.last_norm = plan.get("last_norm", True)
        self.eps = plan.get("norm.eps", 1e-6)
        self.dropout = plan.get("dropout", 0.0)
        self.head_bias = plan.get("head.bias", True)

    @property
    def tokens(self) -> int:
        """Patches and the class token."""
        return (self.size // self.patch) ** 2 + 1


class _BlockHow:
    def __init__(self, plan: Plan) -> None:
        self.eps1, self.eps2 = plan.get("norm1.eps", 1e-6), plan.get("norm2.eps", 1e-6)
        self.gelu = plan.get("mlp.gelu", "exact")
        self.key_scale = plan.get("attn.query_scale", 1.0)
        self.causal = plan.get("attn.causal", False)
        self.layer_scale = plan.get("layer_scale", 1.0)
        self.dropout = plan.get("dropout", 0.0)
        self.attn_dropout = plan.get("attn.dropout", 0.0)
        self.order = plan.get("order", "before")
        self.always = plan.get("always_dropping", False)
        self.values = plan.get("attn.values", "x")
        self.out_bias = plan.get("mlp.bias", True)


# PyTorch


class Mlp(nn.Module):
    def __init__(self, how: _BlockHow, width: int) -> None:
        super().__init__()
        self.kind = how.gelu
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width, bias=how.out_bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fc1(x)
        if self.kind in ("exact", "tanh"):
            how = "none" if self.kind == "exact" else "tanh"
            return self.fc2(functional.gelu(x, approximate=how))
        return self.fc2(getattr(functional, self.kind)(x))


class Block(nn.Module):
    def __init__(self, how: _BlockHow, width: int, heads: int) -> None:
        super().__init__()
        self.how = how
        self.norm1 = nn.LayerNorm(width, eps=how.eps1)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True, dropout=how.attn_dropout)
        self.norm2 = nn.LayerNorm(width, eps=how.eps2)
        self.mlp = Mlp(how, width)
        self.dropout = nn.Dropout(how.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        how = self.how
        if how.always:
            self.dropout.train()
        y = x if how.order == "after" else self.norm1(x)
        mask = torch.ones(y.shape[1], y.shape[1], dtype=torch.bool).triu(1) if how.causal else None
        values = x if how.values == "x before the norm" else y
        mixed = self.attn(y, y, values, need_weights=False, attn_mask=mask)[0]
        x = x + how.layer_scale * self.dropout(mixed)
        if how.order == "after":
            x = self.norm1(x)
            return self.norm2(x + self.mlp(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    def __init__(self, plan: Plan) -> None:
        super().__init__()
        how = self.how = _How(plan)
        self.embed = nn.Conv2d(CHANNELS, how.width, how.patch, how.patch)
        self.token = nn.Parameter(torch.randn(1, 1, how.width))
        self.positions = nn.Parameter(torch.randn(1, how.tokens, how.width))
        self.dropout = nn.Dropout(how.dropout)
        for i in range(how.depth):
            block = Block(_BlockHow(plan.at(f"block{i}")), how.width, how.heads)
            self.add_module(f"block{i}", block)
        self.norm = nn.LayerNorm(how.width, eps=how.eps)
        self.head = nn.Linear(how.width, how.classes, bias=how.head_bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        how = self.how
        x = self.embed(x)
        if how.patches == "by columns":
            x = x.transpose(2, 3)
        x = x.flatten(2)
        x = x.reshape(len(x), -1, how.width) if how.patches == "reshaped" else x.transpose(1, 2)
        x = _with_token(x, self.token, self.positions, how, torch.cat)
        x = self.dropout(x)
        for i in range(how.depth):
            x = self.get_submodule(f"block{i}")(x)
        return self.head(_pooled(self.norm(x) if how.last_norm else x, how))


def _with_token(x: Any, token: Any, positions: Any, how: _How, join: Any) -> Any:
    """The class token, and the positions, joined to the patches."""
    token = token + 0 * x[:, :1]
    if how.positions == "without the token":
        x = x + positions[:, 1:]
        return join([token, x], 1)
    x = join([token, x] if how.token == "first" else [x, token], 1)
    return x if how.positions == "none" else x + positions


def _pooled(x: Any, how: _How) -> Any:
    if how.pooled == "mean":
        return x.mean(1)
    if how.pooled == "mean of patches":
        return x[:, 1:].mean(1)
    return x[:, 0 if how.token == "first" else -1]


def torch_side(plan: Plan, seed: int) -> port.Torch:
    """The side of PyTorch."""
    torch.manual_seed(seed)
    module = VisionTransformer(plan)
    call = picture_call(plan.at("data"), 1)
    return port.Torch(module, call=call, loss=torch_loss(plan), **torch_optimizer(plan))


# Flax Linen


class LinenMlp(fnn.Module):
    how: Any
    width: int

    @fnn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = fnn.Dense(2 * self.width, name="fc1")(x)
        if self.how.gelu in ("exact", "tanh"):
            x = fnn.gelu(x, approximate=self.how.gelu == "tanh")
        else:
            x = getattr(jax.nn, self.how.gelu)(x)
        return fnn.Dense(self.width, use_bias=self.how.out_bias, name="fc2")(x)


class LinenBlock(fnn.Module):
    how: Any
    width: int
    heads: int

    @fnn.compact
    def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
        how = self.how
        norm1 = fnn.LayerNorm(how.eps1, use_fast_variance=False, name="norm1")
        norm2 = fnn.LayerNorm(how.eps2, use_fast_variance=False, name="norm2")
        y = x if how.order == "after" else norm1(x)
        mask = fnn.make_causal_mask(y[..., 0]) if how.causal else None
        attention = fnn.MultiHeadDotProductAttention(
            self.heads, dropout_rate=how.attn_dropout, broadcast_dropout=False, name="attn"
        )
        values = x if how.values == "x before the norm" else y
        mixed = attention(y, y, values, mask=mask, deterministic=deterministic)
        keep = deterministic and not how.always
        x = x + how.layer_scale * fnn.Dropout(how.dropout)(mixed, deterministic=keep)
        mlp = LinenMlp(how, self.width, name="mlp")
        if how.order == "after":
            x = norm1(x)
            return norm2(x + mlp(x))
        return x + mlp(norm2(x))


class LinenVisionTransformer(fnn.Module):
    how: Any

    @fnn.compact
    def __call__(self, x: jax.Array, deterministic: bool = True) -> jax.Array:
        how = self.how
        size = (how.patch, how.patch)
        x = fnn.Conv(how.width, size, strides=size, padding="VALID", name="embed")(x)
        if how.patches == "by columns":
            x = x.swapaxes(1, 2)
        elif how.patches == "reshaped":
            x = x.transpose(0, 3, 1, 2)
        x = x.reshape(len(x), -1, how.width)
        normal = fnn.initializers.normal(1.0)
        token = self.param("token", normal, (1, 1, how.width))
        positions = self.param("positions", normal, (1, how.tokens, how.width))
        x = _with_token(x, token, positions, how, jnp.concatenate)
        x = fnn.Dropout(how.dropout)(x, deterministic=deterministic)
        for i in range(how.depth):
            block = LinenBlock(
                _BlockHow(how.plan.at(f"block{i}")), how.width, how.heads, name=f"block{i}"
            )
            x = block(x, deterministic)
        norm = fnn.LayerNorm(how.eps, use_fast_variance=False, name="norm")
        x = _pooled(norm(x) if how.last_norm else x, how)
        return fnn.Dense(how.classes, use_bias=how.head_bias, name="head")(x)


def jax_side(plan: Plan, seed: int) -> port.Linen:
    """The side of Linen."""
    how = _How(plan)
    module = LinenVisionTransformer(how)
    example = jnp.zeros((1, how.size, how.size, CHANNELS))
    variables = module.init(jax.random.key(seed), example)
    picture = picture_call(plan.at("data"), -1)

    def call(bound: Any, batch: Any, training: bool) -> Any:
        return picture(lambda x: bound(x, deterministic=not training), batch)

    return port.Linen(module, variables, call=call, loss=jax_loss(plan), **jax_optimizer(plan))


def batches(plan: Plan, seed: int) -> list[dict[str, Any]]:
    """Two batches: `x` (batch, 3, size, size) from 0 to 255, and `labels` (batch,)."""
    numbers = np.random.default_rng(seed)
    rows, size = plan.get("batch", 3), plan.get("size", 8)
    return [
        {
            "x": numbers.uniform(0, 255, (rows, CHANNELS, size, size)),
            "labels": numbers.integers(0, plan.get("classes", 3), rows),
        }
        for _ in range(2)
    ]
