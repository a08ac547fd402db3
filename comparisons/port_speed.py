"""How long the judge of ports takes, and how much memory, for a GPT of 124 million parameters.

    python -m comparisons.port_speed [--layers 12] [--out FOLDER | --store]

Forward pass and gradients in float64 with two twins, PyTorch against NNX, in a process that does
nothing else. The head is the token table. Writes `port-speed.json`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from flax import nnx
from torch import nn

from comparisons.folders import add_folder_options, chosen_folder
from twofold import port
from twofold.commands import run_command
from twofold.port.report import PortRung
from twofold.results import environment
from twofold.results.json_files import write_json
from twofold.timing.memory import forget_peak, peak_memory_bytes

SCHEMA: Final = "twofold.port-speed/1"
NAME: Final = "port-speed.json"


@dataclass(frozen=True)
class Size:
    """The sizes of a GPT, and how many tokens it reads; by default GPT-2 small."""

    width: int = 768
    heads: int = 12
    layers: int = 12
    vocabulary: int = 50_257
    positions: int = 1_024
    tokens: int = 64


class TorchBlock(nn.Module):
    """A block of GPT-2: attention and a perceptron, each behind a norm."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        width = size.width
        self.heads = size.heads
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width) to the same."""
        batch, tokens, width = x.shape
        parts = self.qkv(self.ln1(x)).split(width, -1)
        # each has batch, heads, tokens and the features of a head
        q, k, v = (y.view(batch, tokens, self.heads, -1).transpose(1, 2) for y in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, tokens, width))
        hidden = F.gelu(self.fc1(self.ln2(x)), approximate="tanh")
        after: torch.Tensor = x + self.fc2(hidden)
        return after


class TorchGPT(nn.Module):
    """GPT-2 as a person writes it in PyTorch."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.tok = nn.Embedding(size.vocabulary, size.width)
        self.pos = nn.Embedding(size.positions, size.width)
        self.blocks = nn.ModuleList([TorchBlock(size) for _ in range(size.layers)])
        self.lnf = nn.LayerNorm(size.width)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Token numbers (batch, tokens) to logits (batch, tokens, vocabulary)."""
        x = self.tok(ids) + self.pos(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits: torch.Tensor = F.linear(self.lnf(x), self.tok.weight)
        return logits


class NnxBlock(nnx.Module):
    """The same block in NNX."""

    def __init__(self, size: Size, rngs: nnx.Rngs) -> None:
        width = size.width
        self.heads = size.heads
        self.ln1, self.ln2 = (nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs) for _ in range(2))
        self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.fc1 = nnx.Linear(width, 4 * width, rngs=rngs)
        self.fc2 = nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(batch, tokens, width) to the same."""
        batch, tokens, width = x.shape
        parts = jnp.split(self.qkv(self.ln1(x)), 3, -1)
        # each has batch, tokens, heads and the features of a head
        q, k, v = (y.reshape(batch, tokens, self.heads, -1) for y in parts)
        y = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.reshape(batch, tokens, width))
        return x + self.fc2(jax.nn.gelu(self.fc1(self.ln2(x)), approximate=True))


class NnxGPT(nnx.Module):
    """GPT-2 as a person writes it in NNX."""

    def __init__(self, size: Size) -> None:
        rngs = nnx.Rngs(0)
        self.tok = nnx.Embed(size.vocabulary, size.width, rngs=rngs)
        self.pos = nnx.Embed(size.positions, size.width, rngs=rngs)
        self.blocks = nnx.List([NnxBlock(size, rngs) for _ in range(size.layers)])
        self.lnf = nnx.LayerNorm(size.width, epsilon=1e-5, rngs=rngs)

    def __call__(self, ids: jax.Array) -> jax.Array:
        """Token numbers (batch, tokens) to logits (batch, tokens, vocabulary)."""
        x = self.tok(ids) + self.pos(jnp.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.tok.attend(self.lnf(x))


def measure(size: Size, tell: Callable[[str], None]) -> dict[str, Any]:
    """Judge the pair once; what it took, as JSON.

    `peak_bytes` is the largest memory of the process, `before_bytes` that before the judgement,
    with both models built.
    """
    torch.manual_seed(0)
    original, copy = TorchGPT(size), NnxGPT(size)
    ids = np.random.default_rng(0).integers(0, size.vocabulary, (1, size.tokens))
    forget_peak()
    before = peak_memory_bytes()
    start = time.perf_counter()

    def told(rung: PortRung) -> None:
        tell(f"{time.perf_counter() - start:6.1f} s  {rung.rung}: {rung.verdict}")

    report = port.certify(original, copy, (ids,), precisions=(), on_rung=told)
    return {
        "size": asdict(size),
        "parameters": sum(each.numel() for each in original.parameters()),
        "twins": report.twins,
        "seconds": time.perf_counter() - start,
        "before_bytes": before,
        "peak_bytes": peak_memory_bytes(),
        "passed": report.passed,
        "environment": environment.describe(),
    }


def line_of(measured: dict[str, Any]) -> str:
    """What was measured, in a line for a person."""
    parameters = measured["parameters"]
    return (
        f"{parameters / 1e6:.0f} million parameters: {measured['seconds']:.0f} s, peak "
        f"{measured['peak_bytes'] / 2**30:.1f} GiB, "
        f"{measured['peak_bytes'] / (8 * parameters):.1f} times the parameters in float64"
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure once and store it; returns 0 if the pair is called the same, else 1."""
    parser = argparse.ArgumentParser(prog="python -m comparisons.port_speed")
    parser.add_argument("--layers", type=int, default=Size().layers)
    add_folder_options(parser)
    given = parser.parse_args(arguments)
    measured = measure(replace(Size(), layers=given.layers), print)
    print(line_of(measured))
    path = chosen_folder(given) / NAME
    write_json(path, {"schema": SCHEMA, **measured})
    print(f"stored: {path}")
    return 0 if measured["passed"] else 1


if __name__ == "__main__":
    run_command(main)
