"""Tables that both sides round to float32, each in its own way; no other difference is one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from flax import nnx
from torch import nn

from twofold import port
from twofold.port.judge.constants import ROUNDING, _other

WIDTH, STEPS = 8, 6
X = np.random.default_rng(0).normal(size=(3, STEPS, WIDTH)).astype(np.float32)


class Original(nn.Module):
    """Frequencies in float32, angles and their sines made while it runs."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.last = nn.Linear(WIDTH, 3)
        places = torch.arange(0, WIDTH, 2).float() / WIDTH
        self.register_buffer("frequencies", 1 / 10000**places, persistent=False)

    def forward(self, x):
        angles = torch.outer(torch.arange(x.shape[1]).float(), self.frequencies)
        cos, sin = torch.cos(angles), torch.sin(angles)
        a, b = self.first(x).chunk(2, -1)
        turned = torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
        return self.last(self.norm(turned))


def table(base=10000.0, wrong=0.0):
    """Sines and cosines of angles in float64, rounded to float32 at the end."""
    angles = np.outer(np.arange(STEPS), base ** (-np.arange(0, WIDTH, 2) / WIDTH))
    made = np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    made[0, 3, 1] += np.float32(wrong)
    return made


class Ported(nnx.Module):
    def __init__(self, epsilon=1e-5, base=10000.0, wrong=0.0):
        rngs = nnx.Rngs(0)
        self.first = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.norm = nnx.LayerNorm(WIDTH, epsilon=epsilon, rngs=rngs)
        self.last = nnx.Linear(WIDTH, 3, rngs=rngs)
        self.base, self.wrong = base, wrong

    def __call__(self, x):
        cos, sin = jnp.array(table(self.base, self.wrong))
        a, b = jnp.split(self.first(x), 2, -1)
        turned = jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)
        return self.last(self.norm(turned))


class InFloat64(Ported):
    """The same function without any number of float32."""

    def __call__(self, x):
        angles = jnp.outer(jnp.arange(STEPS), 10000.0 ** (-jnp.arange(0, WIDTH, 2) / WIDTH))
        cos, sin = jnp.cos(angles), jnp.sin(angles)
        a, b = jnp.split(self.first(x), 2, -1)
        turned = jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)
        return self.last(self.norm(turned))


def forward(original, ported, **options):
    report = port.certify(original, ported, (X,), gradients=False, precisions=(), **options)
    return report, next(r for r in report.rungs if r.rung == "forward, evaluation")


def torch_loss(outputs, batch):
    return (outputs - batch[1]).square().mean()


def trained(original, ported):
    target = np.random.default_rng(1).normal(size=(3, STEPS, 3)).astype(np.float32)

    def side(model):
        if isinstance(model, nn.Module):
            return port.Torch(
                model, loss=torch_loss, optimizer=lambda p: torch.optim.SGD(p, lr=0.1)
            )
        loss = lambda outputs, batch: jnp.square(outputs - batch[1]).mean()  # noqa: E731
        return port.Nnx(model, loss=loss, optimizer=optax.sgd(0.1))

    pair = port.Pair(side(original), side(ported), batches=[(X, target)])
    return pair.certify(steps=2, precisions=())


def test_tables_of_unlike_roundings_are_explained_with_their_places():
    report, rung = forward(Original(), Ported())
    assert report.passed
    assert rung.verdict == "explained"
    assert rung.ratio <= 64
    assert report.first_difference is None
    assert "float32 at frequencies of the original" in rung.explanation
    line = Ported.__call__.__code__.co_firstlineno + 1
    assert f"tests/port/test_constants.py:{line} of the port" in rung.explanation


def test_a_table_against_one_made_in_float64_is_explained_too():
    report, rung = forward(Original(), InFloat64())
    assert report.passed
    assert rung.verdict == "explained"


@pytest.mark.parametrize("models", [(Original, Ported), (Ported, Original), (Ported, InFloat64)])
def test_gradients_and_steps_are_judged_with_the_same_tables(models):
    report = trained(*(make() for make in models))
    verdicts = {rung.rung: rung.verdict for rung in report.rungs}
    explained = {
        "forward, evaluation",
        "forward, training",
        "loss",
        "gradients",
        "step 1",
        "step 2",
    }
    assert {name for name, verdict in verdicts.items() if verdict == "explained"} == explained
    assert report.passed


@pytest.mark.parametrize("wrong", [{"base": 1000.0}, {"base": 10001.0}, {"wrong": 1e-4}])
def test_a_wrong_table_differs_though_it_is_in_float32(wrong):
    report, rung = forward(Original(), Ported(**wrong))
    assert not report.passed
    assert rung.verdict == "differs"
    assert not rung.explanation


@pytest.mark.parametrize("epsilon", [1e-6, 1.1e-5])
def test_another_bug_beside_a_table_differs_and_is_found(epsilon):
    report, rung = forward(Original(), Ported(epsilon))
    assert rung.verdict == "differs"
    first = report.first_difference
    assert first.module == first.port_module == "norm"
    assert first.cause.startswith("the epsilon of the layer norm: 1e-05 in the original")
    assert "judged with the same numbers on both sides for constants made in float32" in rung.note


def test_a_constant_of_float64_that_is_off_by_a_rounding_of_float32_differs():
    """Nothing was made in float32, so that a rounding is no excuse."""
    weights = {"w": np.random.default_rng(2).normal(size=(WIDTH, 3))}

    def function(factor):
        def apply(parameters, x):
            return (x @ parameters["w"]) * jnp.linspace(0.1, factor, 3)

        return apply, weights

    assert port.certify(function(0.3), function(0.3), (X,), precisions=()).passed
    _, rung = forward(function(0.3), function(0.3 * (1 + 2.0**-24)))
    assert rung.verdict == "differs"


@pytest.mark.parametrize(("roundings", "fits"), [(15, True), (17, False)])
def test_sixteen_roundings_are_the_most(roundings, fits):
    frequencies = np.array([1.0, 2.0, 4.0])
    other = frequencies * [1, 1 + roundings * ROUNDING, 1]
    assert bool(list(_other(frequencies, other))) == fits


def test_tables_that_repeat_themselves_are_one():
    """(2, 3) repeated over a batch of 4, against (2, 1, 3) as it is."""
    mine = np.arange(6.0).reshape(2, 3)
    other = (mine * (1 + ROUNDING)).reshape(2, 1, 3)
    distance, new = min(_other(np.broadcast_to(mine, (4, 2, 3)), other), key=lambda one: one[0])
    assert distance == pytest.approx(5 * ROUNDING, rel=1e-6)
    assert np.array_equal(new, np.broadcast_to(other.reshape(2, 3), (4, 2, 3)))


def test_models_are_as_they_were():
    original, ported = Original(), Ported()
    before = original.frequencies
    forward(original, ported)
    assert original.frequencies is before
    assert before.dtype is torch.float32
    assert not jax.config.read("jax_enable_x64")
