"""Each kind of cause, planted in a small pair, is the one that is named.

Pairs of PyTorch against PyTorch: what is planted is the port's, and needs no compilation.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from twofold import port
from twofold.port.causes.kinds import EVERY

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(5, 8))
WORDS = RANDOM.integers(0, 7, (2, 6))
SERIES = RANDOM.normal(size=(2, 6, 8))
IMAGES = RANDOM.normal(size=(2, 4, 9, 9))


class Model(nn.Module):
    """Layers by name, and a function of the module and its input."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.function(self, x)


def linear(bias=True):
    return nn.Linear(8, 8, bias=bias)


def after(function):
    """A layer, then a function."""
    return Model(lambda self, x: self.last(function(self.first(x))), first=linear(), last=linear())


def layer(module):
    return Model(
        lambda self, x: self.last(self.norm(self.first(x))),
        first=linear(),
        norm=module,
        last=linear(),
    )


def image(function, **layers):
    return Model(function, conv=nn.Conv2d(4, 4, 3, 2, 1), **layers)


def unbiased(x):
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True) + 1e-5)


def outside(x):
    variance = x.var(-1, keepdim=True, correction=0)
    return (x - x.mean(-1, keepdim=True)) / (variance.sqrt() + 1e-5)


def without_mean(x):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5)


class Affine(nn.Module):
    """A layer norm by hand."""

    def __init__(self, function):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(8)), nn.Parameter(torch.zeros(8))
        self.function = function

    def forward(self, x):
        return self.function(x) * self.weight + self.bias


def attention(scale=None, causal=False, shift=None):
    def run(self, x):
        q, k, v = self.q(x), self.k(x), self.v(x)
        if shift is None:
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale)
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril(shift)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)

    return Model(run, q=linear(), k=linear(), v=linear())


def masked(polarity):
    def run(self, x):
        y = self.first(x)
        mask = y > 0 if polarity else y <= 0
        return self.last(y.masked_fill(mask, 0.5))

    return Model(run, first=linear(), last=linear())


def words(factor=1.0, shift=0):
    def run(self, x):
        places = torch.arange(x.shape[1]) + 0
        tokens = self.tokens(x)
        tokens = tokens if factor == 1 else tokens * factor
        return self.last(tokens + self.places(places + shift if shift else places))

    return Model(run, tokens=nn.Embedding(7, 8), places=nn.Embedding(9, 8), last=linear())


def table(factor=1.0):
    def run(self, x):
        found = F.embedding(x, self.tokens)
        return self.last(found if factor == 1 else found * factor)

    model = Model(run, last=linear())
    model.tokens = nn.Parameter(torch.zeros(7, 8))
    return model


def block(kind):
    def run(self, x):
        y = self.norm(x)
        z = self.second(torch.tanh(self.first(y)))
        return {"right": lambda: x + z, "none": lambda: z + 0, "norm": lambda: y + z}[kind]()

    return Model(run, norm=nn.LayerNorm(8), first=linear(), second=linear())


def transposed(self, x):
    return F.linear(x, self.first.weight.T, self.first.bias)


def no_bias(self, x):
    return F.linear(x, self.first.weight)


def turned(self, x):
    return F.conv2d(x, self.conv.weight.flip(2, 3), self.conv.bias, 2, 1)


def flattened(last):
    def run(self, x):
        y = self.conv(x)
        return self.last(torch.flatten(y.movedim(1, -1) if last else y, 1))

    return image(run, last=nn.Linear(100, 3))


def pooled(pool):
    return image(lambda self, x: self.last(pool(self.conv(x))), last=nn.Conv2d(4, 2, 1))


def resized(**options):
    return image(
        lambda self, x: self.last(F.interpolate(self.conv(x), size=(8, 8), **options)),
        last=nn.Conv2d(4, 2, 1),
    )


def batch_norm(**options):
    return image(lambda self, x: self.norm(self.conv(x)), norm=nn.BatchNorm2d(4, **options))


def conv(**options):
    return Model(lambda self, x: self.conv(x), conv=nn.Conv2d(4, 4, 3, **options))


def same_padding():
    return Model(lambda self, x: self.conv(F.pad(x, (0, 1, 0, 1))), conv=nn.Conv2d(4, 4, 3, 2))


def dropped(wrong):
    def run(self, x):
        y = self.first(x)
        return self.last(F.dropout(y, 0.3, training=wrong))

    return Model(run, first=linear(), last=linear())


def cut(self, x):
    return self.last(torch.tanh(self.first(x).detach()))


def uncut(self, x):
    return self.last(torch.tanh(self.first(x)))


EVEN = RANDOM.normal(size=(2, 4, 8, 8))
FORWARD = {
    "epsilon of a layer norm": (layer(nn.LayerNorm(8)), layer(nn.LayerNorm(8, eps=3e-6)), SERIES),
    "epsilon of a rms norm": (layer(nn.RMSNorm(8, eps=1e-6)), layer(nn.RMSNorm(8)), SERIES),
    "epsilon of a group norm": (
        Model(lambda self, x: self.norm(x), norm=nn.GroupNorm(2, 4)),
        Model(lambda self, x: self.norm(x), norm=nn.GroupNorm(2, 4, eps=1e-6)),
        IMAGES,
    ),
    "epsilon of a batch norm": (batch_norm(), batch_norm(eps=1e-3), IMAGES),
    "groups of a norm": (
        Model(lambda self, x: self.norm(x), norm=nn.GroupNorm(2, 4)),
        Model(lambda self, x: self.norm(x), norm=nn.GroupNorm(4, 4)),
        IMAGES,
    ),
    "variance of a norm": (layer(nn.LayerNorm(8)), layer(Affine(unbiased)), SERIES),
    "place of epsilon": (layer(nn.LayerNorm(8)), layer(Affine(outside)), SERIES),
    "mean of a norm": (layer(nn.LayerNorm(8)), layer(Affine(without_mean)), SERIES),
    "biased or unbiased variance": (
        after(lambda y: y / y.std(-1, keepdim=True)),
        after(lambda y: y / y.std(-1, keepdim=True, correction=0)),
        SERIES,
    ),
    "flavour of gelu": (after(F.gelu), after(lambda y: F.gelu(y, approximate="tanh")), ROWS),
    "slope of an activation": (
        after(lambda y: F.leaky_relu(y, 0.2)),
        after(lambda y: F.leaky_relu(y, 0.07)),
        ROWS,
    ),
    "missing activation": (after(torch.tanh), after(lambda y: y), ROWS),
    "other activation": (after(F.silu), after(F.gelu), ROWS),
    "scale of attention": (attention(), attention(scale=0.125), SERIES),
    "axis of a softmax": (
        after(lambda y: F.softmax(y, -1)),
        after(lambda y: F.softmax(y, 1)),
        SERIES,
    ),
    "mask of attention": (attention(causal=True), attention(), SERIES),
    "shifted mask": (attention(causal=True), attention(shift=1), SERIES),
    "polarity of a mask": (masked(True), masked(False), ROWS),
    "padding of a convolution": (conv(stride=2, padding=1), same_padding(), EVEN),
    "dilation": (conv(padding=1), conv(padding=2, dilation=2), IMAGES),
    "flipped kernel": (
        Model(lambda self, x: self.conv(x), conv=nn.Conv2d(4, 4, 3, 2, 1)),
        Model(turned, conv=nn.Conv2d(4, 4, 3, 2, 1)),
        IMAGES,
    ),
    "rim of an average pool": (
        pooled(lambda y: F.avg_pool2d(y, 3, 2, 1)),
        pooled(lambda y: F.avg_pool2d(y, 3, 2, 1, count_include_pad=False)),
        IMAGES,
    ),
    "kind of pool": (
        pooled(lambda y: F.max_pool2d(y, 2)),
        pooled(lambda y: F.avg_pool2d(y, 2)),
        IMAGES,
    ),
    "corners of a resize": (
        resized(mode="bilinear"),
        resized(mode="bilinear", align_corners=True),
        IMAGES,
    ),
    "mode of a resize": (resized(mode="bilinear"), resized(mode="nearest"), IMAGES),
    "dropout on or off": (dropped(False), dropped(True), ROWS),
    "transposed weight": (
        Model(lambda self, x: self.first(x), first=linear()),
        Model(transposed, first=linear()),
        ROWS,
    ),
    "missing bias": (
        Model(lambda self, x: self.first(x), first=linear()),
        Model(no_bias, first=linear()),
        ROWS,
    ),
    "missing residual": (block("right"), block("none"), SERIES),
    "residual behind a norm": (block("right"), block("norm"), SERIES),
    "scale of an embedding": (table(), table(factor=3.5), WORDS),
    "factor of a part": (words(), words(factor=math.sqrt(8)), WORDS),
    "offset of positions": (words(), words(shift=1), WORDS),
    "order of a join": (
        after(lambda y: torch.cat([y[:, :4], y[:, 4:]], 1)),
        after(lambda y: torch.cat([y[:, 4:], y[:, :4]], 1)),
        ROWS,
    ),
    "mean or sum": (after(lambda y: y.mean(1)), after(lambda y: y.sum(1)), SERIES),
    "pooling": (after(lambda y: y[:, -1]), after(lambda y: y.mean(1)), SERIES),
    "constant": (after(lambda y: y * 0.7), after(lambda y: y * 0.6), ROWS),
}


@pytest.mark.parametrize("kind", FORWARD)
def test_a_planted_difference_of_the_forward_is_named(kind):
    original, wrong, inputs = FORWARD[kind]
    report = port.certify(original, wrong, (inputs,), gradients=False, precisions=())
    first = report.first_difference
    assert first is not None, report.summary()
    assert first.kind == kind, first
    assert first.evidence
    assert not first.likely
    assert first.line.startswith("tests/port/causes/test_kinds.py:")


def test_an_activation_that_only_the_port_has_is_named():
    original, wrong = after(lambda y: y), after(lambda y: F.elu(y))
    first = port.certify(original, wrong, (ROWS,), gradients=False, precisions=()).first_difference
    assert first.cause == "the activation: none in the original, elu in the port"


def test_a_difference_of_no_known_kind_keeps_its_place():
    original = after(torch.tanh)
    wrong = after(lambda y: torch.sinh(torch.tanh(y)))
    first = port.certify(original, wrong, (ROWS,), gradients=False, precisions=()).first_difference
    assert first.cause == "no known cause"
    assert first.kind == first.trap == first.evidence == ""
    assert first.port_line.startswith("tests/port/causes/test_kinds.py:")


def test_a_cut_gradient_is_named():
    layers = {"first": linear(), "last": linear()}
    original, wrong = Model(uncut, **layers), Model(cut, first=linear(), last=linear())
    first = port.certify(original, wrong, (ROWS,), precisions=()).first_difference
    assert first.rung == "gradients"
    assert first.kind == "cut gradient"


def looked_up(**options):
    return Model(
        lambda self, x: self.last(self.tokens(x)),
        last=linear(),
        tokens=nn.Embedding(7, 8, **options),
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "cause"),
    [
        ({"padding_idx": 3}, {}, "row 3 gets none in the original, every row gets one in the port"),
        ({}, {"padding_idx": 1}, "every row gets one in the original, row 1 gets none in the port"),
    ],
)
def test_a_row_of_padding_is_named(ours, theirs, cause):
    first = port.certify(
        looked_up(**ours), looked_up(**theirs), (WORDS,), precisions=()
    ).first_difference
    assert (first.rung, first.kind, first.trap) == (
        "gradients",
        "padding row",
        "embedding-padding-row",
    )
    assert first.cause.endswith(cause)


def test_a_wrong_momentum_is_named():
    report = port.certify(batch_norm(), batch_norm(momentum=0.9), (IMAGES,), precisions=())
    first = report.first_difference
    assert (first.rung, first.kind) == ("buffers", "momentum of a batch norm")
    assert first.trap == "batchnorm-momentum"


def test_there_are_kinds_enough_and_each_has_a_name_of_its_own():
    names = [kind.name for kind in EVERY]
    assert len(names) == len(set(names))
    assert len(names) >= 25


def test_every_trap_is_in_the_atlas():
    from comparisons.atlas.traps.registry import all_traps

    known = {trap.id for trap in all_traps()}
    named = {kind.trap for kind in EVERY if kind.trap}
    assert named <= known, named - known
    assert len(named) >= 15
