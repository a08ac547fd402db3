"""Causes that pairs of two PyTorch modules show: nothing is compiled, so that many are tried."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from twofold import port

RANDOM = np.random.default_rng(0)
TIME = RANDOM.normal(size=(2, 5, 8))
ROWS = RANDOM.normal(size=(6, 8))
PICTURES = RANDOM.normal(size=(2, 3, 8, 8))
WORDS = RANDOM.integers(0, 7, (3, 5))
CUT = WORDS.copy()
CUT[0, :2] = -100


class Model(nn.Module):
    """Layers by name, and what the model does with them."""

    def __init__(self, does, **layers):
        super().__init__()
        self.does = does
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *inputs):
        return self.does(self, *inputs)


def attend(order=(0, 1, 2), mask="causal", fill=-torch.inf, merge=True, scale=0.5, heads=True):
    """Attention of two heads, written by hand."""

    def does(model, x):
        rows, time, width = x.shape
        parts = model.qkv(x).chunk(3, -1)

        def split(value):
            if heads:
                return value.reshape(rows, time, 2, width // 2).transpose(1, 2)
            return value.reshape(rows, time, width // 2, 2).permute(0, 3, 1, 2)

        q, k, v = (split(parts[i]) for i in order)
        allowed = torch.ones(time, time, dtype=torch.bool)
        allowed = {"causal": allowed.tril(), "turned": allowed.triu(), "none": allowed}[mask]
        scores = (q @ k.transpose(-1, -2) * scale).masked_fill(~allowed, fill)
        mixed = scores.softmax(-1) @ v
        mixed = mixed.transpose(1, 2) if merge else mixed
        return model.out(mixed.reshape(rows, time, width))

    return does, {"qkv": lambda: nn.Linear(8, 24), "out": lambda: nn.Linear(8, 8)}, (TIME,)


def rows(does):
    return does, {"a": lambda: nn.Linear(8, 8), "b": lambda: nn.Linear(8, 8)}, (ROWS,)


def padded(*pads, mode="constant"):
    def does(model, x):
        return model.conv(F.pad(x, pads, mode))

    return does, {"conv": lambda: nn.Conv2d(3, 4, 3, 2)}, (PICTURES,)


def places(first):
    def does(model, tokens):
        return model.out(model.tok(tokens) + model.pos(torch.arange(5) + first))

    layers = {
        "tok": lambda: nn.Embedding(7, 8),
        "pos": lambda: nn.Embedding(9, 8),
        "out": lambda: nn.Linear(8, 3),
    }
    return does, layers, (WORDS,)


def step(index):
    return lambda model, x: model.out(x[:, index]), {"out": lambda: nn.Linear(8, 3)}, (TIME,)


FORWARD = {
    "order of packed parts": (attend(), attend(order=(1, 0, 2)), "packed query, key and value"),
    "missing mask": (attend(), attend(mask="none"), "there in the original, missing in the port"),
    "turned mask": (attend(), attend(mask="turned"), "the other side in the port"),
    "axes of merged heads": (attend(), attend(merge=False), "left as they stand in the port"),
    "split of heads": (attend(), attend(heads=False), "last, behind the numbers of each"),
    "factor of attention scores": (attend(), attend(scale=0.25), "0.5 in the original, 0.25 in"),
    "padding": (padded(1, 1, 1, 1), padded(0, 1, 0, 1), "0 before and 1 behind"),
    "offset of positions": (places(0), places(1), "shifted by +1 in the port"),
    "pooling": (step(-1), step(0), "the last in the original, the first in the port"),
    "scale of a branch": (
        rows(lambda m, x: x + 0.1 * m.b(m.a(x))),
        rows(lambda m, x: x + m.b(m.a(x))),
        "0.1 in the original, 1 in the port",
    ),
    "beta of an activation": (
        rows(lambda m, x: m.b(F.softplus(m.a(x), 2.0))),
        rows(lambda m, x: m.b(F.softplus(m.a(x)))),
        "beta of the softplus: 2 in the original, 1 in the port",
    ),
    "alpha of an activation": (
        rows(lambda m, x: m.b(F.elu(m.a(x), 0.7))),
        rows(lambda m, x: m.b(F.elu(m.a(x)))),
        "alpha of the elu: 0.7 in the original, 1 in the port",
    ),
    "order of the input": (
        rows(lambda m, x: m.b(m.a(x))),
        rows(lambda m, x: m.b(m.a(x.flip(1)))),
        "reversed along the columns",
    ),
}


@pytest.mark.parametrize("kind", FORWARD)
def test_a_planted_difference_is_named(kind):
    (does, layers, inputs), (wrong, _, _), told = FORWARD[kind]
    torch.manual_seed(0)
    sides = [Model(f, **{k: make() for k, make in layers.items()}) for f in (does, wrong)]
    first = port.certify(*sides, inputs, precisions=()).first_difference
    assert first is not None
    assert first.kind == kind
    assert told in first.cause
    assert first.evidence


def test_a_mask_filled_with_zero_is_named():
    torch.manual_seed(0)
    (does, layers, inputs), (wrong, _, _) = attend(), attend(fill=0.0)
    sides = [Model(f, **{k: make() for k, make in layers.items()}) for f in (does, wrong)]
    first = port.certify(*sides, inputs, precisions=()).first_difference
    assert first is not None
    assert "zero, which a softmax still counts in the port" in first.cause


def weighted(*ratios):
    def loss(z, batch):
        weight = z.new_tensor(ratios)
        return F.cross_entropy(z, batch["y"] % 3, weight)

    return loss


def shifted(by):
    def loss(z, batch):
        z, y = (z[:, :-by], batch["y"][:, by:]) if by else (z, batch["y"])
        return F.cross_entropy(z.reshape(-1, 7), y.reshape(-1))

    return loss


def ignoring(number):
    def loss(z, batch):
        y = batch["y"].reshape(-1)
        each = F.cross_entropy(z.reshape(-1, 7), y, ignore_index=number, reduction="none")
        return each.sum() / (y != number).sum()

    return loss


def huber(delta):
    def loss(z, batch):
        size = (z - batch["v"]).abs()
        return torch.where(size < delta, 0.5 * size**2, delta * (size - 0.5 * delta)).mean()

    return loss


def positive(weight):
    def loss(z, batch):
        t = (batch["v"] > 0).to(z.dtype)
        return -((1 + (weight - 1) * t) * (t * F.logsigmoid(z) + (1 - t) * F.logsigmoid(-z))).mean()

    return loss


def plain(z, batch):
    return F.cross_entropy(z, batch["y"] % 3)


FLAT = ({"y": RANDOM.integers(0, 3, 6), "v": RANDOM.normal(size=(6, 3))}, 3, ROWS)
SEQUENCE = ({"y": WORDS[:2]}, 7, TIME)
MASKED = ({"y": np.array([[0, 1, 2, 0, 3], [4, 0, 5, 6, 1]])}, 7, TIME)
LOSSES = {
    "class weights": (weighted(1.0, 2.0, 0.5), weighted(2.0, 1.0, 0.5), FLAT, "2, 1, 0.5"),
    "shift of labels": (shifted(1), shifted(2), SEQUENCE, "by 1 in the original, by 2"),
    "number of ignored labels": (ignoring(-100), ignoring(0), MASKED, "-100 in the original, 0"),
    "delta of a loss": (huber(0.8), huber(0.5), FLAT, "0.8 in the original, 0.5"),
    "weight of positives": (positive(3.0), positive(1.0), FLAT, "3 in the original, 1"),
    "power of an error": (
        lambda z, b: ((z - b["v"]) ** 2).mean(),
        lambda z, b: (z - b["v"]).abs().mean(),
        FLAT,
        "squared",
    ),
    "root of a loss": (
        lambda z, b: ((z - b["v"]) ** 2).mean(),
        lambda z, b: ((z - b["v"]) ** 2).mean() ** 0.5,
        FLAT,
        "root",
    ),
    "mean or sum of a loss": (plain, lambda z, b: 6 * plain(z, b), FLAT, "the mean of 6"),
    "factor of a loss": (plain, lambda z, b: 0.5 * plain(z, b), FLAT, "0.5 in the port"),
    "offset of labels": (
        lambda z, b: F.cross_entropy(z, b["y"]),
        lambda z, b: F.cross_entropy(z, b["y"] + 1),
        (FLAT[0], 4, ROWS),
        "shifted by +1",
    ),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_another_loss_is_named(kind):
    own, wrong, (labels, width, x), told = LOSSES[kind]
    torch.manual_seed(0)
    sides = [
        port.Torch(nn.Linear(8, width), loss=loss, call=lambda m, b: m(b["x"]))
        for loss in (own, wrong)
    ]
    pair = port.Pair(*sides, batches=[{"x": x, **labels}])
    first = pair.certify(precisions=()).first_difference
    assert first is not None
    assert first.kind == kind
    assert told in first.cause
