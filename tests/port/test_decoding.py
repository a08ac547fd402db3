"""Decoders with a cache, asked token by token."""

from __future__ import annotations

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch import nn

from twofold import port
from twofold.errors import BadInput

WIDTH, LENGTH, WORDS = 8, 4, 11
IDS = np.random.default_rng(0).integers(0, WORDS, (2, LENGTH))


class Decoder(nn.Module):
    """One head of causal attention: over a whole text, or for one token with those before it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(self, ids):
        x = self.embed(ids) + self.places(torch.arange(ids.shape[1]))
        scores = self.q(x) @ self.k(x).mT / WIDTH**0.5
        later = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
        return self.head(scores.masked_fill(later, -torch.inf).softmax(-1) @ self.v(x))

    def step(self, cache, token):
        place = 0 if cache is None else cache[0].shape[1]
        x = (self.embed(token) + self.places(torch.tensor(place)))[:, None]
        k, v = self.k(x), self.v(x)
        if cache is not None:
            k, v = torch.cat([cache[0], k], 1), torch.cat([cache[1], v], 1)
        weights = (self.q(x) @ k.mT / WIDTH**0.5).softmax(-1)
        return (k, v), self.head(weights @ v)[:, 0]


class Cached(nnx.Module):
    """The same with a cache of a fixed size; `late` writes from the third token on too late."""

    def __init__(self, late=False):
        rngs = nnx.Rngs(0)
        self.embed = nnx.Embed(WORDS, WIDTH, rngs=rngs)
        self.places = nnx.Embed(LENGTH, WIDTH, rngs=rngs)
        for name in "qkv":
            setattr(self, name, nnx.Linear(WIDTH, WIDTH, rngs=rngs))
        self.head = nnx.Linear(WIDTH, WORDS, rngs=rngs)
        self.late = late

    def first(self, ids):
        empty = jnp.zeros((ids.shape[0], LENGTH, WIDTH), jnp.float32)
        return 0, empty, empty

    def step(self, cache, token):
        place, keys, values = cache
        x = self.embed(token) + self.places(jnp.asarray(place))
        at = place - 1 if self.late and place >= 2 else place
        keys, values = keys.at[:, at].set(self.k(x)), values.at[:, at].set(self.v(x))
        scores = jnp.einsum("bc,btc->bt", self.q(x), keys) / WIDTH**0.5
        scores = jnp.where(jnp.arange(LENGTH) <= place, scores, -jnp.inf)
        mixed = jnp.einsum("bt,btc->bc", jax.nn.softmax(scores, -1), values)
        return (place + 1, keys, values), self.head(mixed)


def torch_step(model, cache, token):
    return model.step(cache, token[0])


def jax_step(model, cache, token):
    return model.step(cache, token[0])


def jax_first(model, batch):
    return model.first(batch[0])


def original():
    return port.Torch(Decoder(), call=port.token_by_token(torch_step))


def certify(a, b, **options):
    return port.Pair(a, b, batches=[(IDS,)]).certify(precisions=(), **options)


def test_two_caches_of_unlike_shapes_are_the_same_token_by_token():
    ported = port.Nnx(Cached(), call=port.token_by_token(jax_step, jax_first))
    report = certify(original(), ported)
    assert report.passed
    forward = next(r for r in report.rungs if r.rung == "forward, evaluation")
    assert [found.tensor for found in forward.findings] == ["0", "1", "2", "3"]
    # The cache of the port is made in float32; kept in float64 it takes nothing away.
    assert forward.verdict in ("same", "explained")


def test_the_first_token_that_differs_is_named():
    ported = port.Nnx(Cached(late=True), call=port.token_by_token(jax_step, jax_first))
    report = certify(original(), ported, gradients=False)
    forward = next(r for r in report.rungs if r.rung == "forward, evaluation")
    assert [found.verdict for found in forward.findings[:2]] == ["same", "same"]
    assert {found.verdict for found in forward.findings[2:]} == {"differs"}
    assert report.first_difference.tensor == "2"


def test_a_cache_against_the_whole_text():
    """The same model with its cache and without one."""

    def stacked(model, batch):
        return torch.stack(port.token_by_token(torch_step)(model, batch), 1)

    assert certify(port.Torch(Decoder()), port.Torch(Decoder(), call=stacked)).passed


class LinenCached(linen.Module):
    """Flax's own cache: a collection of variables that each call changes."""

    @linen.compact
    def __call__(self, token):
        total = self.variable("cache", "total", jnp.zeros, (token.shape[0], WIDTH), jnp.float32)
        total.value = total.value + linen.Embed(WORDS, WIDTH, name="embed")(token)
        return linen.Dense(3, name="head")(total.value)


class TorchSummed(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, 3)


def test_a_collection_of_linen_is_a_state():
    module = LinenCached()
    variables = module.init(jax.random.key(0), IDS[:, 0])

    def step(bound, cache, token):
        plain, own = bound.unbind()
        own = {"params": own["params"], **cache}
        output, cache = plain.apply(own, token[0], mutable=["cache"])
        return cache, output

    def first(_bound, batch):
        return {"cache": {"total": jnp.zeros((batch[0].shape[0], WIDTH))}}

    def torch_summed(model, total, token):
        total = total + model.embed(token[0])
        return total, model.head(total)

    def torch_first(_model, batch):
        return torch.zeros(batch[0].shape[0], WIDTH)

    report = certify(
        port.Torch(TorchSummed(), call=port.token_by_token(torch_summed, torch_first)),
        port.Linen(module, variables["params"], call=port.token_by_token(step, first)),
    )
    assert report.passed


def test_lengths_and_answers_that_do_not_fit_are_named():
    call = port.token_by_token(lambda _model, _state, token: token)
    with pytest.raises(BadInput, match=r"lengths along axis 1: 0: 3, 1: 4; allowed is one length"):
        call(None, (np.zeros((2, 3)), np.zeros((2, 4))))
    with pytest.raises(BadInput, match="lengths along axis 1: none"):
        call(None, (np.zeros(2),))
    with pytest.raises(BadInput, match=r"step returned a ndarray; allowed is \(state, output\)"):
        call(None, np.zeros((2, 3)))


def test_a_function_and_arrays_without_the_axis():
    def add(function, parameters, total, token):
        x, scale = token
        total = total + function(parameters, x) * scale
        return total, total

    call = port.token_by_token(add, lambda *_: 0.0)
    outputs = call(np.multiply, 2.0, (np.array([[1.0, 2.0, 3.0]]), np.float64(10.0)))
    assert [float(item[0]) for item in outputs] == [20.0, 60.0, 120.0]
