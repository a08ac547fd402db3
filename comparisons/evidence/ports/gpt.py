"""A small GPT in PyTorch, and its port to Flax NNX."""

from __future__ import annotations

import math
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch import nn
from torch.nn import functional

from comparisons.evidence.ports.losses import jax_loss, torch_loss
from comparisons.evidence.ports.optimizers import jax_optimizer, torch_optimizer
from comparisons.evidence.ports.plan import Plan
from twofold import port

IMAGES: Final = False


def _scale(plan: Plan, width: int, heads: int) -> float:
    """What attention scores are multiplied by."""
    return {
        "head": (width // heads) ** -0.5,
        "width": width**-0.5,
        "none": 1.0,
        "head, not its root": heads / width,
    }[plan.get("scale", "head")]


# PyTorch


class Attention(nn.Module):
    def __init__(self, plan: Plan, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, _scale(plan, width, heads)
        self.order = plan.get("order", "qkv")
        self.mask = plan.get("mask", "causal")
        self.split = plan.get("split", "heads first")
        self.merge = plan.get("merge", "turned back")
        self.axis = plan.get("softmax_axis", -1)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, time, width = x.shape
        parts = dict(zip(self.order, self.qkv(x).chunk(3, -1), strict=True))
        if self.split == "heads first":
            shape = (batch, time, self.heads, width // self.heads)
            q, k, v = (parts[n].reshape(shape).transpose(1, 2) for n in "qkv")
        else:
            shape = (batch, time, width // self.heads, self.heads)
            q, k, v = (parts[n].reshape(shape).permute(0, 3, 1, 2) for n in "qkv")
        scores = q @ k.transpose(-1, -2) * self.scale
        allowed = torch.ones(time, time, dtype=torch.bool)
        if self.mask == "causal":
            allowed = allowed.tril()
        elif self.mask == "turned":
            allowed = allowed.triu()
        elif self.mask == "window":
            allowed = allowed.tril() & allowed.triu(-2)
        if self.mask == "zero":
            scores = scores * torch.ones(time, time).tril().to(scores.dtype)
        else:
            scores = scores.masked_fill(~allowed, -math.inf)
        mixed = scores.softmax(self.axis) @ v
        if self.merge == "turned back":
            mixed = mixed.transpose(1, 2)
        return self.out(mixed.reshape(batch, time, width))


class Mlp(nn.Module):
    def __init__(self, plan: Plan, width: int) -> None:
        super().__init__()
        wide = plan.get("ratio", 2) * width
        self.kind = plan.get("gelu", "exact")
        self.up = nn.Linear(width, wide)
        self.down = nn.Linear(wide, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.up(x)
        if self.kind == "exact":
            x = functional.gelu(x)
        elif self.kind == "tanh":
            x = functional.gelu(x, approximate="tanh")
        elif self.kind == "quick":
            x = x * torch.sigmoid(1.702 * x)
        else:
            x = getattr(functional, self.kind)(x)
        return self.down(x)


class Block(nn.Module):
    def __init__(self, plan: Plan, width: int, heads: int) -> None:
        super().__init__()
        self.ln1 = _torch_norm(plan.at("ln1"), width)
        self.attn = Attention(plan.at("attn"), width, heads)
        self.ln2 = _torch_norm(plan.at("ln2"), width)
        self.mlp = Mlp(plan.at("mlp"), width)
        self.dropout = nn.Dropout(plan.get("dropout", 0.0))
        self.norm = plan.get("norm", "before")
        self.skip = plan.get("skip", "x")
        self.factor = plan.get("factor", 1.0)
        self.always = plan.get("always_dropping", False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.always:
            self.dropout.train()
        if self.norm == "after":
            x = self.ln1(x + self.attn(x))
            return self.ln2(x + self.mlp(x))
        if self.norm == "parallel":
            return x + self.attn(self.ln1(x)) + self.mlp(self.ln2(x))
        x = x + self.dropout(self.attn(self.ln1(x)))
        inner = self.ln2(x)
        return (inner if self.skip == "normed" else x) + self.factor * self.mlp(inner)


def _torch_norm(plan: Plan, width: int) -> nn.Module:
    if plan.get("kind", "layer") == "rms":
        return nn.RMSNorm(width, eps=plan.get("eps", 1e-5))
    return nn.LayerNorm(width, eps=plan.get("eps", 1e-5), bias=plan.get("bias", True))


class Gpt(nn.Module):
    def __init__(self, plan: Plan) -> None:
        super().__init__()
        vocabulary, width = plan.get("vocabulary", 11), plan.get("width", 8)
        self.tok = nn.Embedding(vocabulary, width)
        self.pos = nn.Embedding(plan.get("context", 8), width)
        depth = range(plan.get("depth", 2))
        heads = plan.get("heads", 2)
        self.blocks = nn.ModuleList(Block(plan.at(f"blocks.{i}"), width, heads) for i in depth)
        self.ln_f = _torch_norm(plan.at("ln_f"), width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.how = _Outside(plan, width)
        if self.how.tied:
            self.head.weight = self.tok.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        places = torch.arange(tokens.shape[1]) + self.how.first_place
        x = self.tok(tokens) * self.how.scale
        if self.how.places:
            x = x + self.pos(places)
        for block in self.blocks:
            x = block(x)
        if self.how.last_norm:
            x = self.ln_f(x)
        logits = self.head(x * self.how.head_scale)
        return logits if self.how.cap is None else self.how.cap * torch.tanh(logits / self.how.cap)


class _Outside:
    """Settings of what is around the blocks."""

    def __init__(self, plan: Plan, width: int) -> None:
        self.tied = plan.get("tied", True)
        self.first_place = plan.get("first_place", 0)
        self.places = plan.get("places", True)
        self.scale = width**0.5 if plan.get("scaled_tokens", False) else 1.0
        self.head_scale = width**-0.5 if plan.get("scaled_head", False) else 1.0
        self.last_norm = plan.get("last_norm", True)
        self.cap = plan.get("cap", None)


def torch_side(plan: Plan, seed: int) -> port.Torch:
    """The side of PyTorch."""
    torch.manual_seed(seed)
    module = Gpt(plan)
    return port.Torch(module, call=_call(plan), loss=torch_loss(plan), **torch_optimizer(plan))


# Flax NNX


class NnxAttention(nnx.Module):
    def __init__(self, plan: Plan, width: int, heads: int, rngs: nnx.Rngs) -> None:
        self.heads, self.scale = heads, _scale(plan, width, heads)
        self.order = plan.get("order", "qkv")
        self.mask = plan.get("mask", "causal")
        self.split = plan.get("split", "heads first")
        self.merge = plan.get("merge", "turned back")
        self.axis = plan.get("softmax_axis", -1)
        self.separate = plan.get("separate", False)
        if self.separate:
            self.q = nnx.Linear(width, width, rngs=rngs)
            self.k = nnx.Linear(width, width, rngs=rngs)
            self.v = nnx.Linear(width, width, rngs=rngs)
        else:
            self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        batch, time, width = x.shape
        if self.separate:
            parts = {"q": self.q(x), "k": self.k(x), "v": self.v(x)}
        else:
            parts = dict(zip(self.order, jnp.split(self.qkv(x), 3, -1), strict=True))
        if self.split == "heads first":
            shape = (batch, time, self.heads, width // self.heads)
            q, k, v = (parts[n].reshape(shape) for n in "qkv")
        else:
            shape = (batch, time, width // self.heads, self.heads)
            q, k, v = (parts[n].reshape(shape).swapaxes(2, 3) for n in "qkv")
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * self.scale
        allowed = jnp.ones((time, time), bool)
        if self.mask == "causal":
            allowed = jnp.tril(allowed)
        elif self.mask == "turned":
            allowed = jnp.triu(allowed)
        elif self.mask == "window":
            allowed = jnp.tril(allowed) & jnp.triu(allowed, -2)
        if self.mask == "zero":
            scores = scores * jnp.tril(allowed)
        else:
            scores = jnp.where(allowed, scores, -jnp.inf)
        mixed = jnp.einsum("bhqk,bkhd->bhqd", jax.nn.softmax(scores, self.axis), v)
        if self.merge == "turned back":
            mixed = mixed.swapaxes(1, 2)
        return self.out(mixed.reshape(batch, time, width))


class NnxMlp(nnx.Module):
    def __init__(self, plan: Plan, width: int, rngs: nnx.Rngs) -> None:
        wide = plan.get("ratio", 2) * width
        self.kind = plan.get("gelu", "exact")
        self.up = nnx.Linear(width, wide, rngs=rngs)
        self.down = nnx.Linear(wide, width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.up(x)
        if self.kind == "exact":
            x = nnx.gelu(x, approximate=False)
        elif self.kind == "tanh":
            x = nnx.gelu(x)
        elif self.kind == "quick":
            x = x * nnx.sigmoid(1.702 * x)
        else:
            x = getattr(jax.nn, self.kind)(x)
        return self.down(x)


class NnxBlock(nnx.Module):
    def __init__(self, plan: Plan, width: int, heads: int, rngs: nnx.Rngs) -> None:
        self.ln1 = _nnx_norm(plan.at("ln1"), width, rngs)
        self.attn = NnxAttention(plan.at("attn"), width, heads, rngs)
        self.ln2 = _nnx_norm(plan.at("ln2"), width, rngs)
        self.mlp = NnxMlp(plan.at("mlp"), width, rngs)
        self.dropout = nnx.Dropout(plan.get("dropout", 0.0), rngs=rngs)
        self.norm = plan.get("norm", "before")
        self.skip = plan.get("skip", "x")
        self.factor = plan.get("factor", 1.0)
        self.always = plan.get("always_dropping", False)

    def __call__(self, x: jax.Array) -> jax.Array:
        keep: dict[str, Any] = {"deterministic": False} if self.always else {}
        if self.norm == "after":
            x = self.ln1(x + self.attn(x))
            return self.ln2(x + self.mlp(x))
        if self.norm == "parallel":
            return x + self.attn(self.ln1(x)) + self.mlp(self.ln2(x))
        x = x + self.dropout(self.attn(self.ln1(x)), **keep)
        inner = self.ln2(x)
        return (inner if self.skip == "normed" else x) + self.factor * self.mlp(inner)


def _nnx_norm(plan: Plan, width: int, rngs: nnx.Rngs) -> nnx.Module:
    eps = plan.get("eps", 1e-5)
    if plan.get("kind", "layer") == "rms":
        return nnx.RMSNorm(width, epsilon=eps, rngs=rngs)
    bias = plan.get("bias", True)
    return nnx.LayerNorm(width, epsilon=eps, use_bias=bias, use_fast_variance=False, rngs=rngs)


class NnxGpt(nnx.Module):
    def __init__(self, plan: Plan, rngs: nnx.Rngs) -> None:
        vocabulary, width = plan.get("vocabulary", 11), plan.get("width", 8)
        self.tok = nnx.Embed(vocabulary, width, rngs=rngs)
        self.pos = nnx.Embed(plan.get("context", 8), width, rngs=rngs)
        depth = range(plan.get("depth", 2))
        heads = plan.get("heads", 2)
        self.blocks = nnx.List(
            [NnxBlock(plan.at(f"blocks.{i}"), width, heads, rngs) for i in depth]
        )
        self.ln_f = _nnx_norm(plan.at("ln_f"), width, rngs)
        self.how = nnx.static(_Outside(plan, width))
        if not self.how.tied:
            self.head = nnx.Linear(width, vocabulary, use_bias=False, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        how = self.how
        places = jnp.arange(tokens.shape[1]) + how.first_place
        x = self.tok(tokens) * how.scale
        if how.places:
            x = x + self.pos(places)
        for block in self.blocks:
            x = block(x)
        if how.last_norm:
            x = self.ln_f(x)
        x = x * how.head_scale
        logits = self.tok.attend(x) if how.tied else self.head(x)
        return logits if how.cap is None else how.cap * jnp.tanh(logits / how.cap)


def jax_side(plan: Plan, seed: int) -> port.Nnx:
    """The side of NNX."""
    model = NnxGpt(plan, nnx.Rngs(seed))
    return port.Nnx(model, call=_call(plan), loss=jax_loss(plan), **jax_optimizer(plan))


# Both


def _call(plan: Plan) -> Any:
    """The model on tokens as a data pipeline gives them."""
    offset, turned = plan.get("data.token_offset", 0), plan.get("data.time_reversed", False)
    clipped = plan.get("data.unknown_token", None)
    vocabulary = plan.get("vocabulary", 11)

    def call(model: Any, batch: Any) -> Any:
        tokens = batch["tokens"]
        if turned:
            tokens = tokens.flip(1) if torch.is_tensor(tokens) else tokens[:, ::-1]
        if clipped is not None:  # words beyond the port's vocabulary become one token
            where = torch.where if torch.is_tensor(tokens) else jnp.where
            tokens = where(tokens < clipped, tokens, clipped + 0 * tokens)
        return model((tokens + offset) % vocabulary)

    return call


def batches(plan: Plan, seed: int) -> list[dict[str, Any]]:
    """Two batches of `tokens` and `labels`, each (batch, time); some labels are left out."""
    numbers = np.random.default_rng(seed)
    vocabulary = plan.get("vocabulary", 11)
    shape = (plan.get("batch", 3), plan.get("time", 5))
    made = []
    for _ in range(2):
        labels = numbers.integers(0, vocabulary, shape)
        if plan.get("unlabelled", True):
            labels[0, :2] = plan.get("loss.ignore_in_data", -100)
        made.append({"tokens": numbers.integers(0, vocabulary, shape), "labels": labels})
    return made
