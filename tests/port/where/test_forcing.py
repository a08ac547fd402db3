"""Exactly the wrong modules are named, not those that come after them, with their lines."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from tests.port import flax_models, torch_models
from twofold import port

IDS = np.random.default_rng(0).integers(0, 31, (2, 12))
ROWS = np.random.default_rng(2).normal(size=(4, 6)).astype(np.float32)
QUICK = {"gradients": False, "precisions": ()}


def gpt(bug):
    torch.manual_seed(0)
    original, copy = torch_models.GPT(layers=2), flax_models.GPT(layers=2, bug=bug)
    return port.certify(original, copy, (IDS,), **QUICK).first_difference


def line_of(module, text, name="flax_models.py"):
    """The line of a module's file that has a text, as a report writes it."""
    lines = inspect.getsource(module).splitlines()
    (found,) = [i for i, line in enumerate(lines, 1) if text in line]
    return f"tests/port/{name}:{found}"


@pytest.mark.parametrize(
    ("bug", "module", "text"),
    [
        ("eps", "blocks.1.ln2", "self.fc1(self.ln2(x))"),
        ("gelu", "blocks.1", "self.fc1(self.ln2(x))"),
        ("scale", "blocks.1.attn", 'jnp.einsum("bqhc,bkhc->bhqk", q, k) / scale'),
    ],
)
def test_a_wrong_constant_is_found_in_its_module_and_line(bug, module, text):
    first = gpt(bug)
    assert (first.module, first.port_module) == (module, module)
    assert first.port_line == line_of(flax_models, text)
    assert first.line.startswith("tests/port/torch_models.py:")
    assert first.also == ()
    assert first.size > 0


def test_every_wrong_module_is_named_and_none_behind_them():
    original, copy = torch_models.GPT(layers=3), flax_models.GPT(layers=3)
    for block in (copy.blocks[0], copy.blocks[2]):
        block.ln1.epsilon = 1e-6
    first = port.certify(original, copy, (IDS,), **QUICK).first_difference
    assert first.port_module == "blocks.0.ln1"
    assert first.also == ("blocks.2.ln1",)


def test_a_side_of_torch_takes_forced_outputs_too():
    copy = flax_models.MLP(epsilon=1e-3)
    first = port.certify(copy, torch_models.MLP(), (ROWS,), **QUICK).first_difference
    assert first.module == first.port_module == "norm"


def test_linen_takes_forced_outputs_too():
    module = flax_models.LinenMLP()
    variables = module.init(jax.random.key(0), ROWS)
    copy = flax_models.LinenMLP(epsilon=1e-3)
    report = port.certify(flax_models.MLP(), (copy, variables), (ROWS,), **QUICK)
    assert report.first_difference.port_module == "norm"
    assert report.first_difference.port_line.startswith("tests/port/flax_models.py:")


def test_a_function_without_modules_has_lines():
    original = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.GELU(), torch.nn.Linear(8, 3))

    def function(parameters, x):
        hidden = x @ parameters["first"] + parameters["first_bias"]
        hidden = jax.nn.gelu(hidden, approximate=True)  # the original has the other one
        return hidden @ parameters["second"] + parameters["second_bias"]

    parameters = {
        "first": np.zeros((6, 8), np.float32),
        "first_bias": np.zeros(8, np.float32),
        "second": np.zeros((8, 3), np.float32),
        "second_bias": np.zeros(3, np.float32),
    }
    first = port.certify(original, (function, parameters), (ROWS,), **QUICK).first_difference
    source, start = inspect.getsourcelines(function)
    line = start + next(i for i, text in enumerate(source) if "approximate=True" in text)
    assert first.port_module == ""
    assert first.port_line == f"tests/port/where/test_forcing.py:{line}"


class Inner(nnx.Module):
    """A container whose border lies elsewhere: the residual is inside."""

    def __init__(self, rngs):
        self.fc1 = nnx.Linear(6, 8, rngs=rngs)
        self.fc2 = nnx.Linear(8, 6, rngs=rngs)

    def __call__(self, x):
        return x + self.fc2(jnp.tanh(self.fc1(x)))


class Outer(nnx.Module):
    def __init__(self, rngs, factor):
        self.mlp = Inner(rngs)
        self.out = nnx.Linear(6, 3, rngs=rngs)
        self.factor = factor

    def __call__(self, x):
        return self.out(self.mlp(x)) * self.factor


class TorchInner(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = torch.nn.Linear(6, 8), torch.nn.Linear(8, 6)

    def forward(self, x):
        return self.fc2(torch.tanh(self.fc1(x)))


class TorchOuter(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.mlp, self.out = TorchInner(), torch.nn.Linear(6, 3)

    def forward(self, x):
        return self.out(x + self.mlp(x)) * 2.0


def test_a_container_with_another_border_is_not_blamed():
    assert port.certify(TorchOuter(), Outer(nnx.Rngs(0), 2.0), (ROWS,), **QUICK).passed
    wrong = port.certify(TorchOuter(), Outer(nnx.Rngs(0), 2.1), (ROWS,), **QUICK)
    assert wrong.first_difference.port_module == ""
    assert wrong.first_difference.also == ()


def test_a_correct_pair_is_not_asked_where_it_parts(monkeypatch):
    def refuse(*_):
        raise AssertionError("where ran for a pair that is the same")

    monkeypatch.setattr("twofold.port.judge.first.Forcing", refuse)
    assert port.certify(torch_models.MLP(), flax_models.MLP(), (ROWS,), **QUICK).passed
