"""Ports of the originals to NNX and Linen by hand; `bug` plants one difference."""

from __future__ import annotations

import math

import flax.linen as linen
import jax
import jax.numpy as jnp
from flax import nnx


class Attention(nnx.Module):
    def __init__(self, width, heads, dropout, bug, *, rngs):
        self.q = nnx.Linear(width, width, rngs=rngs)
        self.k = nnx.Linear(width, width, rngs=rngs)
        self.v = nnx.Linear(width, width, rngs=rngs)
        self.out_proj = nnx.Linear(width, width, rngs=rngs)
        self.drop = nnx.Dropout(dropout, rngs=rngs)
        self.heads = heads
        self.bug = bug

    def __call__(self, x):
        batch, steps, width = x.shape
        q, k, v = (f(x).reshape(batch, steps, self.heads, -1) for f in (self.q, self.k, self.v))
        scale = math.sqrt(width if self.bug == "scale" else width // self.heads)
        scores = jnp.einsum("bqhc,bkhc->bhqk", q, k) / scale
        scores = jnp.where(jnp.tril(jnp.ones((steps, steps), bool)), scores, -jnp.inf)
        weights = self.drop(jax.nn.softmax(scores, -1))
        if self.bug == "bfloat16":
            weights = weights.astype(jnp.bfloat16).astype(x.dtype)
        mixed = jnp.einsum("bhqk,bkhc->bqhc", weights, v).reshape(batch, steps, width)
        return self.out_proj(mixed)


class Block(nnx.Module):
    def __init__(self, width, heads, dropout, bug, *, rngs):
        self.ln1 = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.attn = Attention(width, heads, dropout, bug, rngs=rngs)
        self.ln2 = nnx.LayerNorm(width, epsilon=1e-6 if bug == "eps" else 1e-5, rngs=rngs)
        self.fc1 = nnx.Linear(width, 4 * width, rngs=rngs)
        self.fc2 = nnx.Linear(4 * width, width, rngs=rngs)
        self.drop = nnx.Dropout(0.3 if bug == "rate" else dropout, rngs=rngs)
        self.bug = bug

    def __call__(self, x):
        x = x + self.attn(self.ln1(x))
        hidden = jax.nn.gelu(self.fc1(self.ln2(x)), approximate=self.bug == "gelu")
        return x + self.drop(self.fc2(hidden))


class GPT(nnx.Module):
    def __init__(
        self, vocabulary=31, length=12, width=16, heads=2, layers=2, dropout=0.0, bug="", bug_at=1
    ):
        rngs = nnx.Rngs(0)
        self.tok = nnx.Embed(vocabulary, width, rngs=rngs)
        self.pos = nnx.Embed(length, width, rngs=rngs)
        self.blocks = nnx.List(
            [
                Block(width, heads, dropout, bug if i == bug_at else "", rngs=rngs)
                for i in range(layers)
            ]
        )
        self.lnf = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.head = nnx.Linear(width, vocabulary, rngs=rngs)

    def __call__(self, ids):
        x = self.tok(ids) + self.pos(jnp.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.lnf(x))


class Basic(nnx.Module):
    def __init__(self, inputs, outputs, stride, bug, *, rngs):
        pad = "SAME" if bug == "same" else 1
        norm = {"epsilon": 1e-5, "momentum": 0.99 if bug == "momentum" else 0.9, "rngs": rngs}
        plain = {"use_bias": False, "rngs": rngs}
        self.conv1 = nnx.Conv(inputs, outputs, (3, 3), strides=stride, padding=pad, **plain)
        self.bn1 = nnx.BatchNorm(outputs, **norm)
        self.conv2 = nnx.Conv(outputs, outputs, (3, 3), padding=1, **plain)
        self.bn2 = nnx.BatchNorm(outputs, **norm)
        self.down = (
            None
            if stride == 1 and inputs == outputs
            else nnx.Conv(inputs, outputs, (1, 1), strides=stride, padding="VALID", rngs=rngs)
        )

    def __call__(self, x):
        y = self.bn2(self.conv2(jax.nn.relu(self.bn1(self.conv1(x)))))
        return jax.nn.relu(y + (x if self.down is None else self.down(x)))


class ResNet(nnx.Module):
    def __init__(self, width=4, classes=5, bug=""):
        rngs = nnx.Rngs(0)
        self.stem = nnx.Conv(3, width, (3, 3), padding=1, use_bias=False, rngs=rngs)
        self.bn = nnx.BatchNorm(width, epsilon=1e-5, momentum=0.9, rngs=rngs)
        self.layer1 = Basic(width, width, 1, bug, rngs=rngs)
        self.layer2 = Basic(width, 2 * width, 2, bug, rngs=rngs)
        self.fc = nnx.Linear(2 * width * 2 * 2, classes, rngs=rngs)
        self.bug = bug

    def __call__(self, x):
        x = nnx.max_pool(jax.nn.relu(self.bn(self.stem(x))), (2, 2), (2, 2))
        x = self.layer2(self.layer1(x))
        if self.bug != "flatten":
            x = x.transpose(0, 3, 1, 2)
        return self.fc(x.reshape(x.shape[0], -1))


class MLP(nnx.Module):
    def __init__(self, inputs=6, width=8, outputs=3, epsilon=1e-5):
        rngs = nnx.Rngs(0)
        self.fc1 = nnx.Linear(inputs, width, rngs=rngs)
        self.norm = nnx.LayerNorm(width, epsilon=epsilon, rngs=rngs)
        self.fc2 = nnx.Linear(width, outputs, rngs=rngs)

    def __call__(self, x):
        return self.fc2(jax.nn.gelu(self.norm(self.fc1(x)), approximate=False))


class LinenMLP(linen.Module):
    width: int = 8
    outputs: int = 3
    epsilon: float = 1e-5

    def setup(self):
        self.fc1 = linen.Dense(self.width)
        self.norm = linen.LayerNorm(epsilon=self.epsilon)
        self.fc2 = linen.Dense(self.outputs)

    def __call__(self, x):
        return self.fc2(jax.nn.gelu(self.norm(self.fc1(x)), approximate=False))
