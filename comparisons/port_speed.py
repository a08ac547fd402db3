"""How long the judge takes, and how much memory, for a GPT of 124 million parameters.

    python -m comparisons.port_speed [--layers 12] [--json FILE]

Forward and gradients in float64 with two twins, PyTorch against NNX. The head is the token table.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from flax import nnx
from torch import nn

from twofold import port
from twofold.results import write_json

WIDTH, HEADS, VOCABULARY, LENGTH, STEPS = 768, 12, 50257, 1024, 64


class TorchBlock(nn.Module):
    """A block of GPT-2: attention and a perceptron, each behind a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, steps, _ = x.shape
        q, k, v = self.qkv(self.ln1(x)).split(WIDTH, -1)
        q, k, v = (y.view(batch, steps, HEADS, -1).transpose(1, 2) for y in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, steps, WIDTH))
        return x + self.fc2(F.gelu(self.fc1(self.ln2(x)), approximate="tanh"))


class TorchGPT(nn.Module):
    """GPT-2 small as a person writes it in PyTorch."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.tok, self.pos = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList([TorchBlock() for _ in range(layers)])
        self.lnf = nn.LayerNorm(WIDTH)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tok(ids) + self.pos(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return F.linear(self.lnf(x), self.tok.weight)


class NnxBlock(nnx.Module):
    """The same block in NNX."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.ln1, self.ln2 = (nnx.LayerNorm(WIDTH, epsilon=1e-5, rngs=rngs) for _ in range(2))
        self.qkv = nnx.Linear(WIDTH, 3 * WIDTH, rngs=rngs)
        self.out = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.fc1 = nnx.Linear(WIDTH, 4 * WIDTH, rngs=rngs)
        self.fc2 = nnx.Linear(4 * WIDTH, WIDTH, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        batch, steps, _ = x.shape
        parts = jnp.split(self.qkv(self.ln1(x)), 3, -1)
        q, k, v = (y.reshape(batch, steps, HEADS, -1) for y in parts)
        y = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.reshape(batch, steps, WIDTH))
        return x + self.fc2(jax.nn.gelu(self.fc1(self.ln2(x)), approximate=True))


class NnxGPT(nnx.Module):
    """GPT-2 small as a person writes it in NNX."""

    def __init__(self, layers: int) -> None:
        rngs = nnx.Rngs(0)
        self.tok = nnx.Embed(VOCABULARY, WIDTH, rngs=rngs)
        self.pos = nnx.Embed(LENGTH, WIDTH, rngs=rngs)
        self.blocks = nnx.List([NnxBlock(rngs) for _ in range(layers)])
        self.lnf = nnx.LayerNorm(WIDTH, epsilon=1e-5, rngs=rngs)

    def __call__(self, ids: jax.Array) -> jax.Array:
        x = self.tok(ids) + self.pos(jnp.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.tok.attend(self.lnf(x))


def main() -> None:
    """Judge once and print seconds and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    original, copy = TorchGPT(options.layers), NnxGPT(options.layers)
    size = sum(parameter.numel() for parameter in original.parameters())
    ids = np.random.default_rng(0).integers(0, VOCABULARY, (1, STEPS))
    start = time.perf_counter()

    def told(rung: object) -> None:
        print(f"{time.perf_counter() - start:6.1f} s  {rung.rung}: {rung.verdict}", flush=True)  # type: ignore[attr-defined]

    report = port.certify(original, copy, (ids,), precisions=(), on_rung=told)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(report.summary())
    print(f"{size / 1e6:.0f} million parameters: {seconds:.0f} s, peak {peak / 2**30:.1f} GiB")
    if options.json is not None:
        measured = {
            "schema": "twofold.port-speed/1",
            "parameters": size,
            "tokens": STEPS,
            "twins": report.twins,
            "seconds": seconds,
            "peak_bytes": peak,
            "threads": torch.get_num_threads(),
            "passed": report.passed,
            "environment": dict(report.environment),
        }
        write_json(options.json, measured)
    sys.exit(0 if report.passed else 1)


if __name__ == "__main__":
    main()
