"""Images: a residual network, a vision transformer, and convolutions of every kind."""

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

IMAGES = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
CHANNELS_LAST = IMAGES.transpose(0, 2, 3, 1)
STATISTICS = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}


# A residual network: NNX runs the shortcut first, Linen has another order of definition


class TorchBasic(tnn.Module):
    def __init__(self, inner, outer, stride):
        super().__init__()
        self.conv1 = tnn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = tnn.BatchNorm2d(outer)
        self.conv2 = tnn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = tnn.BatchNorm2d(outer)
        self.down = None
        if stride != 1:
            self.down = tnn.Sequential(
                tnn.Conv2d(inner, outer, 1, stride, bias=False), tnn.BatchNorm2d(outer)
            )

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.down is None else self.down(x)))


class TorchResNet(tnn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.bn = tnn.Conv2d(3, 8, 3, 1, 1, bias=False), tnn.BatchNorm2d(8)
        blocks = [TorchBasic(8, 8, 1), TorchBasic(8, 16, 2), TorchBasic(16, 16, 1)]
        self.layers = tnn.Sequential(*blocks, TorchBasic(16, 16, 2))
        self.fc1, self.fc2 = tnn.Linear(16 * 2 * 2, 12), tnn.Linear(12, 5)

    def forward(self, x):
        x = self.layers(F.relu(self.bn(self.stem(x))))
        return self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))


class NnxBasic(nnx.Module):
    def __init__(self, inner, outer, stride, rngs):
        def conv(inner, size, step):
            pad = [(size // 2, size // 2)] * 2
            return nnx.Conv(
                inner, outer, (size, size), step, padding=pad, use_bias=False, rngs=rngs
            )

        self.norm2 = nnx.BatchNorm(outer, rngs=rngs)
        self.norm1 = nnx.BatchNorm(outer, rngs=rngs)
        self.conv2, self.conv1 = conv(outer, 3, 1), conv(inner, 3, stride)
        self.shortcut = conv(inner, 1, stride) if stride != 1 else None
        self.norm3 = nnx.BatchNorm(outer, rngs=rngs) if stride != 1 else None

    def __call__(self, x):
        side = x if self.shortcut is None else self.norm3(self.shortcut(x))
        y = jax.nn.relu(self.norm1(self.conv1(x)))
        return jax.nn.relu(side + self.norm2(self.conv2(y)))


class NnxResNet(nnx.Module):
    """`permute` puts channels first before flattening; without it the weights have to follow."""

    def __init__(self, permute=True):
        rngs = nnx.Rngs(0)
        self.out, self.hidden = nnx.Linear(12, 5, rngs=rngs), nnx.Linear(64, 12, rngs=rngs)
        sizes = [(8, 8, 1), (8, 16, 2), (16, 16, 1), (16, 16, 2)]
        self.stages = nnx.List([NnxBasic(*size, rngs) for size in sizes])
        self.first = nnx.Conv(3, 8, (3, 3), padding=1, use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.permute = permute

    def __call__(self, x):
        x = jax.nn.relu(self.norm(self.first(x)))
        for stage in self.stages:
            x = stage(x)
        x = x.transpose(0, 3, 1, 2) if self.permute else x
        return self.out(jax.nn.relu(self.hidden(x.reshape(x.shape[0], -1))))


class LinenResNet(nn.Module):
    """Names as Linen makes them: Conv_0, BatchNorm_0, in the order of definition."""

    @nn.compact
    def __call__(self, x, train: bool = False):
        def norm(x):
            return nn.BatchNorm(use_running_average=not train)(x)

        x = nn.relu(norm(nn.Conv(8, (3, 3), padding=1, use_bias=False)(x)))
        for outer, stride in ((8, 1), (16, 2), (16, 1), (16, 2)):
            y = nn.relu(norm(nn.Conv(outer, (3, 3), stride, padding=1, use_bias=False)(x)))
            y = norm(nn.Conv(outer, (3, 3), padding=1, use_bias=False)(y))
            if stride != 1:
                x = norm(nn.Conv(outer, (1, 1), stride, padding="VALID", use_bias=False)(x))
            x = nn.relu(x + y)
        x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
        return nn.Dense(5)(nn.relu(nn.Dense(12)(x)))


def statistics(original, port):
    return [(f"{original}.{one}", f"{port}.{other}") for one, other in STATISTICS.items()]


def layer(original, port):
    return [(f"{original}.weight", f"{port}.kernel"), (f"{original}.bias", f"{port}.bias")]


def counters(side):
    return tuple(t.name for t in side.tensors() if t.leaf == "num_batches_tracked")


def resnet_to_nnx(permute=True):
    pairs = [("stem.weight", "first.kernel"), *statistics("bn", "norm")]
    for i in range(4):
        t, n = f"layers.{i}", f"stages.{i}"
        for k in (1, 2):
            pairs += [(f"{t}.conv{k}.weight", f"{n}.conv{k}.kernel")]
            pairs += statistics(f"{t}.bn{k}", f"{n}.norm{k}")
        if i in (1, 3):
            pairs += [(f"{t}.down.0.weight", f"{n}.shortcut.kernel")]
            pairs += statistics(f"{t}.down.1", f"{n}.norm3")
    pairs += layer("fc1", "hidden") + layer("fc2", "out")
    original = Torch(TorchResNet())
    left = (counters(original), ())
    return Case(original, Nnx(NnxResNet(permute)), (IMAGES,), (CHANNELS_LAST,), pairs, left)


def resnet_to_linen():
    pairs = [("stem.weight", "Conv_0.kernel"), *statistics("bn", "BatchNorm_0")]
    count = 1
    for i in range(4):
        layers = [
            ("conv1", "bn1"),
            ("conv2", "bn2"),
            *([("down.0", "down.1")] if i in (1, 3) else []),
        ]
        for conv, norm in layers:
            pairs += [(f"layers.{i}.{conv}.weight", f"Conv_{count}.kernel")]
            pairs += statistics(f"layers.{i}.{norm}", f"BatchNorm_{count}")
            count += 1
    pairs += layer("fc1", "Dense_1") + layer("fc2", "Dense_0")  # the outer one is made first
    variables = LinenResNet().init(jax.random.key(0), CHANNELS_LAST)
    original = Torch(TorchResNet())
    port = Linen(LinenResNet(), variables)
    return Case(original, port, (IMAGES,), (CHANNELS_LAST,), pairs, (counters(original), ()))


# A vision transformer: patches by a convolution, or as one vector through a dense layer


class TorchViT(tnn.Module):
    def __init__(self):
        super().__init__()
        self.cls = tnn.Parameter(torch.zeros(1, 1, 12))
        self.place = tnn.Parameter(torch.zeros(1, 5, 12))
        self.patches = tnn.Conv2d(3, 12, 4, 4)
        layer = tnn.TransformerEncoderLayer(
            12, 3, 20, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.encoder = tnn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = tnn.LayerNorm(12), tnn.Linear(12, 4)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.place
        return self.head(self.norm(self.encoder(x))[:, 0])


class NnxViTBlock(nnx.Module):
    def __init__(self, rngs):
        self.before = nnx.LayerNorm(12, epsilon=1e-5, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(3, 12, decode=False, rngs=rngs)
        self.after = nnx.LayerNorm(12, epsilon=1e-5, rngs=rngs)
        self.wide, self.narrow = nnx.Linear(12, 20, rngs=rngs), nnx.Linear(20, 12, rngs=rngs)

    def __call__(self, x):
        x = x + self.attention(self.before(x))
        return x + self.narrow(jax.nn.gelu(self.wide(self.after(x)), approximate=False))


class NnxViT(nnx.Module):
    def __init__(self, dense):
        rngs = nnx.Rngs(0)
        self.positions = nnx.Param(jnp.zeros((5, 12)))
        self.start = nnx.Param(jnp.zeros(12))
        self.dense = dense
        if dense:
            self.embed = nnx.Linear(48, 12, rngs=rngs)
        else:
            self.embed = nnx.Conv(3, 12, (4, 4), (4, 4), padding="VALID", rngs=rngs)
        self.blocks = nnx.List([NnxViTBlock(rngs) for _ in range(2)])
        self.final = nnx.LayerNorm(12, epsilon=1e-5, rngs=rngs)
        self.classes = nnx.Linear(12, 4, rngs=rngs)

    def __call__(self, x):
        if self.dense:
            x = x.reshape(-1, 2, 4, 2, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 4, 48)
            x = self.embed(x)
        else:
            x = self.embed(x).reshape(x.shape[0], 4, 12)
        start = jnp.broadcast_to(self.start[...], (x.shape[0], 1, 12))
        x = jnp.concatenate([start, x], 1) + self.positions[...]
        for block in self.blocks:
            x = block(x)
        return self.classes(self.final(x)[:, 0])


def vit_to_nnx(dense=False):
    pairs = [("cls", "start"), ("place", "positions"), *layer("patches", "embed")]
    pairs += [("norm.weight", "final.scale"), ("norm.bias", "final.bias")]
    pairs += layer("head", "classes")
    for i in range(2):
        t, n = f"encoder.layers.{i}", f"blocks.{i}"
        for k, name in enumerate(("query", "key", "value")):
            part = f"[{12 * k}:{12 * (k + 1)}]"
            pairs += [(f"{t}.self_attn.in_proj_weight{part}", f"{n}.attention.{name}.kernel")]
            pairs += [(f"{t}.self_attn.in_proj_bias{part}", f"{n}.attention.{name}.bias")]
        pairs += layer(f"{t}.self_attn.out_proj", f"{n}.attention.out")
        pairs += layer(f"{t}.linear1", f"{n}.wide") + layer(f"{t}.linear2", f"{n}.narrow")
        for one, other in (("norm1", "before"), ("norm2", "after")):
            pairs += [(f"{t}.{one}.weight", f"{n}.{other}.scale")]
            pairs += [(f"{t}.{one}.bias", f"{n}.{other}.bias")]
    return Case(Torch(TorchViT()), Nnx(NnxViT(dense)), (IMAGES,), (CHANNELS_LAST,), pairs)


# Convolutions: grouped, depthwise, transposed, in one and three dimensions


class TorchConvolutions(tnn.Module):
    def __init__(self):
        super().__init__()
        self.grouped = tnn.Conv2d(4, 8, 3, groups=2)
        self.depthwise = tnn.Conv2d(8, 8, 3, groups=8)
        self.pointwise = tnn.Conv2d(8, 4, 1)
        self.up = tnn.ConvTranspose2d(4, 6, 3, stride=2)
        self.same = tnn.ConvTranspose2d(6, 6, 3)
        self.line = tnn.Conv1d(6, 3, 5)
        self.volume = tnn.Conv3d(1, 2, (1, 2, 3))
        self.slope = tnn.PReLU()
        self.group_norm, self.rms = tnn.GroupNorm(2, 4), tnn.RMSNorm(3, eps=1e-6)

    def forward(self, x):
        x = self.pointwise(F.relu(self.depthwise(F.relu(self.grouped(x)))))
        x = self.same(self.slope(self.up(self.group_norm(x))))
        x = self.rms(self.line(x.flatten(2)).transpose(1, 2)).transpose(1, 2)
        return self.volume(x[:, None, :, :, None].expand(-1, -1, -1, -1, 4))


class NnxConvolutions(nnx.Module):
    def __init__(self, turned):
        rngs = nnx.Rngs(0)
        plain = {"padding": "VALID", "rngs": rngs}
        self.a = nnx.Conv(4, 8, (3, 3), feature_group_count=2, **plain)
        self.b = nnx.Conv(8, 8, (3, 3), feature_group_count=8, **plain)
        self.c = nnx.Linear(8, 4, rngs=rngs)
        self.d = nnx.ConvTranspose(4, 6, (3, 3), 2, transpose_kernel=turned, **plain)
        self.e = nnx.ConvTranspose(6, 6, (3, 3), transpose_kernel=turned, **plain)
        self.f = nnx.Conv(6, 3, (5,), **plain)
        self.g = nnx.Conv(1, 2, (1, 2, 3), **plain)
        self.h = nnx.PReLU()
        self.i = nnx.GroupNorm(4, 2, epsilon=1e-5, rngs=rngs)
        self.j = nnx.RMSNorm(3, epsilon=1e-6, rngs=rngs)

    def __call__(self, x):
        x = self.i(self.c(jax.nn.relu(self.b(jax.nn.relu(self.a(x))))))
        x = self.e(self.h(self.d(x)))
        x = self.j(self.f(x.reshape(x.shape[0], -1, 6))).transpose(0, 2, 1)
        x = jnp.broadcast_to(x[:, :, :, None, None], (*x.shape, 4, 1))
        return self.g(x).transpose(0, 4, 1, 2, 3)


def convolutions(turned=False):
    x = np.random.default_rng(1).normal(size=(2, 4, 8, 8)).astype(np.float32)
    names = {"grouped": "a", "depthwise": "b", "pointwise": "c", "up": "d", "same": "e"}
    names |= {"line": "f", "volume": "g"}
    pairs = [pair for one, other in names.items() for pair in layer(one, other)]
    pairs += [("slope.weight", "h.negative_slope"), ("rms.weight", "j.scale")]
    pairs += [("group_norm.weight", "i.scale"), ("group_norm.bias", "i.bias")]
    port = Nnx(NnxConvolutions(turned))
    return Case(Torch(TorchConvolutions()), port, (x,), (x.transpose(0, 2, 3, 1),), pairs)


def grouped_transposed():
    """A transposed convolution in groups, which only JAX's own operation has."""
    x = np.random.default_rng(2).normal(size=(2, 4, 5)).astype(np.float32)
    module = tnn.ConvTranspose1d(4, 6, 3, stride=2, groups=2)

    def port(parameters, x):
        y = jax.lax.conv_general_dilated(
            x,
            parameters["k"],
            window_strides=(1,),
            padding=[(2, 2)],
            lhs_dilation=(2,),
            dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=2,
        )
        return (y + parameters["b"]).transpose(0, 2, 1)

    tree = {"k": np.zeros((3, 2, 6), np.float32), "b": np.zeros(6, np.float32)}
    pairs = [("weight", "k"), ("bias", "b")]
    return Case(Torch(module), Function(port, tree), (x,), (x.transpose(0, 2, 1),), pairs)
