"""A decoder in five ways: packed attention, fused or apart, tied or not; pairs by hand."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from flax import nnx
from mapping_checks import Case
from torch import nn as tnn
from twofold_flax.port.linen import Linen
from twofold_flax.port.nnx import Nnx
from twofold_jax.port.function import Function
from twofold_torch.port.model import Torch

WORDS, LENGTH, WIDTH, HEADS, INNER, LAYERS = 19, 7, 16, 4, 48, 3
IDS = np.random.default_rng(0).integers(0, WORDS, (2, LENGTH))


class TorchBlock(tnn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.ln1, self.ln2 = tnn.LayerNorm(WIDTH), tnn.LayerNorm(WIDTH)
        if kind == "module":
            self.attn = tnn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        else:
            self.qkv = tnn.Linear(WIDTH, 3 * WIDTH)
            self.proj = tnn.Linear(WIDTH, WIDTH)
        self.up, self.down = tnn.Linear(WIDTH, INNER), tnn.Linear(INNER, WIDTH)

    def attend(self, x):
        if self.kind == "module":
            mask = torch.triu(torch.ones(LENGTH, LENGTH, dtype=torch.bool), 1)
            return self.attn(x, x, x, attn_mask=mask, need_weights=False)[0]
        packed = self.qkv(x)
        if self.kind == "fused":
            q, k, v = (y.view(*x.shape[:2], HEADS, -1).transpose(1, 2) for y in packed.chunk(3, -1))
        else:  # interleaved: (heads, 3, size of a head)
            packed = packed.view(*x.shape[:2], HEADS, 3, -1).transpose(1, 2)
            q, k, v = packed.unbind(3)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(y.transpose(1, 2).reshape(x.shape))

    def forward(self, x):
        x = x + self.attend(self.ln1(x))
        return x + self.down(F.gelu(self.up(self.ln2(x))))


class TorchGPT(tnn.Module):
    def __init__(self, kind="module", tied=False):
        super().__init__()
        self.tok, self.pos = tnn.Embedding(WORDS, WIDTH), tnn.Embedding(LENGTH, WIDTH)
        self.blocks = tnn.ModuleList(TorchBlock(kind) for _ in range(LAYERS))
        self.lnf = tnn.LayerNorm(WIDTH)
        self.head = tnn.Linear(WIDTH, WORDS, bias=False)
        if tied:
            self.head.weight = self.tok.weight

    def forward(self, ids):
        x = self.tok(ids) + self.pos(torch.arange(LENGTH))
        for block in self.blocks:
            x = block(x)
        return self.head(self.lnf(x))


def causal(q, k, v):
    """(batch, time, heads, size of a head) each."""
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(q.shape[-1])
    scores = jnp.where(jnp.tril(jnp.ones((LENGTH, LENGTH), bool)), scores, -jnp.inf)
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, -1), v)


class NnxBlock(nnx.Module):
    """The queries, keys and values apart, or in one kernel."""

    def __init__(self, fused, rngs):
        self.ln1 = nnx.LayerNorm(WIDTH, epsilon=1e-5, rngs=rngs)
        self.ln2 = nnx.LayerNorm(WIDTH, epsilon=1e-5, rngs=rngs)
        self.down = nnx.Linear(INNER, WIDTH, rngs=rngs)
        self.up = nnx.Linear(WIDTH, INNER, rngs=rngs)
        self.fused = fused
        if fused:
            self.qkv = nnx.Linear(WIDTH, 3 * WIDTH, rngs=rngs)
        else:
            self.key = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
            self.query = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
            self.value = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.out = nnx.Linear(WIDTH, WIDTH, rngs=rngs)

    def __call__(self, x):
        y = self.ln1(x)
        parts = (
            jnp.split(self.qkv(y), 3, -1)
            if self.fused
            else (self.query(y), self.key(y), self.value(y))
        )
        heads = [part.reshape(*y.shape[:2], HEADS, -1) for part in parts]
        x = x + self.out(causal(*heads).reshape(x.shape))
        return x + self.down(jax.nn.gelu(self.up(self.ln2(x)), approximate=False))


class NnxGPT(nnx.Module):
    def __init__(self, fused=False, tied=False):
        rngs = nnx.Rngs(0)
        self.pos = nnx.Embed(LENGTH, WIDTH, rngs=rngs)
        self.tok = nnx.Embed(WORDS, WIDTH, rngs=rngs)
        self.lnf = nnx.LayerNorm(WIDTH, epsilon=1e-5, rngs=rngs)
        self.blocks = nnx.List([NnxBlock(fused, rngs) for _ in range(LAYERS)])
        self.head = None if tied else nnx.Linear(WIDTH, WORDS, use_bias=False, rngs=rngs)

    def __call__(self, ids):
        x = self.tok(ids) + self.pos(jnp.arange(LENGTH))
        for block in self.blocks:
            x = block(x)
        x = self.lnf(x)
        return self.tok.attend(x) if self.head is None else self.head(x)


class LinenBlock(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = nn.LayerNorm(epsilon=1e-5, name="ln1")(x)
        mask = nn.make_causal_mask(jnp.ones((x.shape[0], LENGTH)))
        x = x + nn.MultiHeadDotProductAttention(num_heads=HEADS, name="attn")(y, y, mask=mask)
        y = nn.Dense(INNER, name="up")(nn.LayerNorm(epsilon=1e-5, name="ln2")(x))
        return x + nn.Dense(WIDTH, name="down")(nn.gelu(y, approximate=False))


class LinenGPT(nn.Module):
    @nn.compact
    def __call__(self, ids):
        x = nn.Embed(WORDS, WIDTH, name="tok")(ids)
        x = x + nn.Embed(LENGTH, WIDTH, name="pos")(jnp.arange(LENGTH))
        for i in range(LAYERS):
            x = LinenBlock(name=f"block{i}")(x)
        x = nn.LayerNorm(epsilon=1e-5, name="lnf")(x)
        return nn.Dense(WORDS, use_bias=False, name="head")(x)


def function_parameters():
    """A tree as people write it by hand: (in, out) matrices, fused ones (in, 3, heads, dim)."""
    rng = np.random.default_rng(1)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    def block():
        return {
            "g1": draw(WIDTH),
            "s1": draw(WIDTH),
            "wqkv": draw(WIDTH, 3, HEADS, WIDTH // HEADS),
            "bqkv": draw(3, HEADS, WIDTH // HEADS),
            "wo": draw(HEADS, WIDTH // HEADS, WIDTH),
            "bo": draw(WIDTH),
            "g2": draw(WIDTH),
            "s2": draw(WIDTH),
            "w1": draw(WIDTH, INNER),
            "b1": draw(INNER),
            "w2": draw(INNER, WIDTH),
            "b2": draw(WIDTH),
        }

    return {
        "wte": draw(WORDS, WIDTH),
        "wpe": draw(LENGTH, WIDTH),
        "layers": [block() for _ in range(LAYERS)],
        "gf": draw(WIDTH),
        "sf": draw(WIDTH),
        "head": draw(WIDTH, WORDS),
    }


def stacked_parameters():
    """The same with the layers' tensors stacked, for a scan."""
    tree = function_parameters()
    tree["layers"] = jax.tree.map(lambda *leaves: np.stack(leaves), *tree["layers"])
    return tree


def norm(x, scale, shift):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-5) * scale + shift


def function_block(x, p):
    q, k, v = jnp.moveaxis(
        jnp.einsum("btc,cphd->btphd", norm(x, p["g1"], p["s1"]), p["wqkv"]) + p["bqkv"], 2, 0
    )
    x = x + jnp.einsum("bthd,hdc->btc", causal(q, k, v), p["wo"]) + p["bo"]
    y = jax.nn.gelu(norm(x, p["g2"], p["s2"]) @ p["w1"] + p["b1"], approximate=False)
    return x + y @ p["w2"] + p["b2"]


def function_gpt(parameters, ids):
    x = parameters["wte"][ids] + parameters["wpe"][: ids.shape[1]]
    for p in parameters["layers"]:
        x = function_block(x, p)
    return norm(x, parameters["gf"], parameters["sf"]) @ parameters["head"]


def scanned_gpt(parameters, ids):
    x = parameters["wte"][ids] + parameters["wpe"][: ids.shape[1]]
    x, _ = jax.lax.scan(lambda x, p: (function_block(x, p), None), x, parameters["layers"])
    return norm(x, parameters["gf"], parameters["sf"]) @ parameters["head"]


# Pairs of pieces


def plain(original, port, kernel="kernel"):
    return [(f"{original}.weight", f"{port}.{kernel}"), (f"{original}.bias", f"{port}.bias")]


def thirds(name):
    return [f"{name}[{i * WIDTH}:{(i + 1) * WIDTH}]" for i in range(3)]


def ends(tied=False):
    pairs = [("tok.weight", "tok.embedding"), ("pos.weight", "pos.embedding")]
    pairs += plain("lnf", "lnf", "scale")
    return pairs if tied else [*pairs, ("head.weight", "head.kernel")]


def around(original, port):
    """The pairs of a block that are the same in every way of writing it."""
    pairs = plain(f"{original}.ln1", f"{port}.ln1", "scale")
    pairs += plain(f"{original}.ln2", f"{port}.ln2", "scale")
    pairs += plain(f"{original}.up", f"{port}.up")
    return pairs + plain(f"{original}.down", f"{port}.down")


def apart(packed_weight, packed_bias, port):
    names = ("query", "key", "value")
    pairs = list(zip(thirds(packed_weight), [f"{port}.{n}.kernel" for n in names], strict=True))
    return pairs + list(zip(thirds(packed_bias), [f"{port}.{n}.bias" for n in names], strict=True))


def module_to_nnx(tied=False, port_tied=None):
    pairs = ends(tied)
    for i in range(LAYERS):
        t = n = f"blocks.{i}"
        pairs += around(t, n) + apart(f"{t}.attn.in_proj_weight", f"{t}.attn.in_proj_bias", n)
        pairs += plain(f"{t}.attn.out_proj", f"{n}.out")
    port_tied = tied if port_tied is None else port_tied
    if tied and not port_tied:
        pairs.append(("tok.weight", "head.kernel"))
    if port_tied and not tied:
        pairs = [p for p in pairs if p[1] != "head.kernel"] + [("head.weight", "tok.embedding")]
    return Case(Torch(TorchGPT(tied=tied)), Nnx(NnxGPT(tied=port_tied)), (IDS,), pairs=pairs)


def fused_to_nnx(kind="fused"):
    pairs = ends()
    for i in range(LAYERS):
        t = n = f"blocks.{i}"
        pairs += around(t, n) + plain(f"{t}.proj", f"{n}.out")
        if kind == "fused":
            pairs += apart(f"{t}.qkv.weight", f"{t}.qkv.bias", n)
        else:
            for name in ("query", "key", "value"):
                pairs += [(f"{t}.qkv.weight", f"{n}.{name}.kernel")]
                pairs += [(f"{t}.qkv.bias", f"{n}.{name}.bias")]
    return Case(Torch(TorchGPT(kind)), Nnx(NnxGPT()), (IDS,), pairs=pairs)


def nnx_apart_to_nnx_fused():
    pairs = [("tok.embedding",) * 2, ("pos.embedding",) * 2, ("head.kernel",) * 2]
    pairs += [("lnf.scale",) * 2, ("lnf.bias",) * 2]
    for i in range(LAYERS):
        for layer in ("up", "down", "out", "ln1", "ln2"):
            first = "scale" if layer.startswith("ln") else "kernel"
            pairs += [(f"blocks.{i}.{layer}.{leaf}",) * 2 for leaf in (first, "bias")]
        for k, name in enumerate(("query", "key", "value")):
            part = f"{k * WIDTH}:{(k + 1) * WIDTH}"
            pairs += [(f"blocks.{i}.{name}.kernel", f"blocks.{i}.qkv.kernel[:, {part}]")]
            pairs += [(f"blocks.{i}.{name}.bias", f"blocks.{i}.qkv.bias[{part}]")]
    return Case(Nnx(NnxGPT()), Nnx(NnxGPT(fused=True)), (IDS,), pairs=pairs)


def module_to_linen():
    pairs = ends()
    for i in range(LAYERS):
        t, n = f"blocks.{i}", f"block{i}"
        pairs += around(t, n) + apart(
            f"{t}.attn.in_proj_weight", f"{t}.attn.in_proj_bias", f"{n}.attn"
        )
        pairs += plain(f"{t}.attn.out_proj", f"{n}.attn.out")
    variables = LinenGPT().init(jax.random.key(0), IDS)
    return Case(Torch(TorchGPT()), Linen(LinenGPT(), variables), (IDS,), pairs=pairs)


LEAVES = {
    "ln1.weight": "g1",
    "ln1.bias": "s1",
    "qkv.weight": "wqkv",
    "qkv.bias": "bqkv",
    "proj.weight": "wo",
    "proj.bias": "bo",
    "ln2.weight": "g2",
    "ln2.bias": "s2",
    "up.weight": "w1",
    "up.bias": "b1",
    "down.weight": "w2",
    "down.bias": "b2",
}
FUNCTION_ENDS = [
    ("tok.weight", "wte"),
    ("pos.weight", "wpe"),
    ("lnf.weight", "gf"),
    ("lnf.bias", "sf"),
    ("head.weight", "head"),
]


def fused_to_function(kind="fused"):
    pairs = FUNCTION_ENDS + [
        (f"blocks.{i}.{one}", f"layers.{i}.{other}")
        for i in range(LAYERS)
        for one, other in LEAVES.items()
    ]
    port = Function(function_gpt, function_parameters())
    return Case(Torch(TorchGPT(kind)), port, (IDS,), pairs=pairs)


def module_to_function():
    """PyTorch's own attention against (in, 3, heads, dim) in one tensor."""
    pairs = list(FUNCTION_ENDS)
    for i in range(LAYERS):
        t, n = f"blocks.{i}", f"layers.{i}"
        for k in range(3):
            part = f"[{k * WIDTH}:{(k + 1) * WIDTH}]"
            pairs += [(f"{t}.attn.in_proj_weight{part}", f"{n}.wqkv[:, {k}]")]
            pairs += [(f"{t}.attn.in_proj_bias{part}", f"{n}.bqkv[{k}]")]
        for one, other in LEAVES.items():
            if not one.startswith("qkv"):
                pairs += [(f"{t}.{one.replace('proj', 'attn.out_proj')}", f"{n}.{other}")]
    port = Function(function_gpt, function_parameters())
    return Case(Torch(TorchGPT()), port, (IDS,), pairs=pairs)


def fused_to_scan():
    pairs = FUNCTION_ENDS + [
        (f"blocks.{i}.{one}", f"layers.{other}[{i}]")
        for i in range(LAYERS)
        for one, other in LEAVES.items()
    ]
    port = Function(scanned_gpt, stacked_parameters())
    return Case(Torch(TorchGPT("fused")), port, (IDS,), pairs=pairs)
