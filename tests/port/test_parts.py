"""A part of a model against a part of another, for every kind of side."""

from __future__ import annotations

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

from twofold import port
from twofold.errors import BadInput

X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


class TorchBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.norm = nn.Linear(4, 4), nn.LayerNorm(4)

    def forward(self, x):
        return torch.tanh(self.norm(self.fc(x)))


def original():
    torch.manual_seed(0)
    return nn.Sequential(TorchBlock(), TorchBlock(), nn.Linear(4, 2))


class Block(linen.Module):
    epsilon: float = 1e-5

    def setup(self):
        self.fc, self.norm = linen.Dense(4), linen.LayerNorm(epsilon=self.epsilon)

    def __call__(self, x):
        return jnp.tanh(self.norm(self.fc(x)))


class Ported(linen.Module):
    """Its second block is wrong."""

    def setup(self):
        self.blocks = [Block(), Block(1e-3)]
        self.last = linen.Dense(2)

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return self.last(x)


class Compact(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(2)(Block(name="block")(x))


def judged(ported, part):
    return port.Pair(original(), ported, batches=[(X,)], part=part).certify(precisions=())


@pytest.fixture(scope="module")
def ported():
    module = Ported()
    return module, module.init(jax.random.key(0), X)


def test_parts_that_setup_makes_are_judged_one_by_one(ported):
    right = judged(ported, {"0": "blocks_0"})
    assert right.passed
    assert right.port == "Linen Block"
    wrong = judged(ported, {"1": "blocks_1"})
    assert wrong.first_difference.module == wrong.first_difference.port_module == "norm"
    assert judged(ported, {"1.fc": "blocks_1.fc"}).passed


def test_names_that_setup_does_not_make_are_refused_with_those_it_makes(ported):
    with pytest.raises(BadInput, match=r"in the model, setup makes blocks_0, blocks_1, last;"):
        judged(ported, {"0": "blocks.0"})
    with pytest.raises(BadInput, match=r"in blocks_0, setup makes fc, norm;"):
        judged(ported, {"0": "blocks_0.attention"})


def test_what_compact_makes_is_refused_and_can_be_given_itself():
    module = Compact()
    variables = module.init(jax.random.key(0), X)
    with pytest.raises(BadInput, match=r"setup makes no modules; what nn\.compact makes exists"):
        judged((module, variables), {"0": "block"})
    block = port.Linen(Block(), {"params": variables["params"]["block"]})
    assert judged(block, {"0": ""}).passed


def test_a_function_is_a_part_itself():
    def block(parameters, x):
        y = x @ parameters["w"] + parameters["b"]
        mean, variance = y.mean(-1, keepdims=True), y.var(-1, keepdims=True)
        return jnp.tanh((y - mean) / jnp.sqrt(variance + 1e-5) * parameters["g"] + parameters["o"])

    names = {"w": (4, 4), "b": (4,), "g": (4,), "o": (4,)}
    numbers = np.random.default_rng(1)
    parameters = {k: numbers.normal(size=v).astype(np.float32) for k, v in names.items()}
    assert judged((block, parameters), {"0": ""}).passed
    with pytest.raises(BadInput, match=r"JAX block has no modules; give the function of that part"):
        judged((block, parameters), {"0": "w"})
