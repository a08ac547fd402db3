"""Optimizer steps as people write them: the same, or different at the step where it shows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
import torch.nn.functional as F
from flax import nnx
from torch import nn
from torch.nn.utils import clip_grad_norm_

from tests.port import flax_models, torch_models
from twofold import port
from twofold.errors import BadInput

RANDOM = np.random.default_rng(0)
BATCHES = [{"x": RANDOM.normal(size=(8, 6)), "y": RANDOM.integers(0, 3, 8)} for _ in range(3)]


def torch_loss(outputs, batch):
    return F.cross_entropy(outputs, batch["y"])


def jax_loss(outputs, batch):
    return optax.softmax_cross_entropy_with_integer_labels(outputs, batch["y"]).mean()


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    return torch_models.MLP(), flax_models.MLP()


def certify(models, optimizer, transformation, **options):
    original, copy = models
    pair = port.Pair(
        port.Torch(original, loss=torch_loss, optimizer=optimizer, **options),
        port.Nnx(copy, loss=jax_loss, optimizer=transformation),
        batches=BATCHES,
    )
    return pair.certify(3, precisions=())


def steps(report):
    return [rung.verdict for rung in report.rungs if rung.rung.startswith("step ")]


CORRECT = {
    "sgd with momentum": (
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
        optax.sgd(0.1, momentum=0.9, nesterov=True),
    ),
    "adamw": (
        lambda p: torch.optim.AdamW(p, 1e-3),
        optax.adamw(1e-3, weight_decay=1e-2),
    ),
    "adagrad": (
        lambda p: torch.optim.Adagrad(p, 0.1, initial_accumulator_value=0.1, eps=0.0),
        optax.adagrad(0.1, initial_accumulator_value=0.1, eps=0.0),
    ),
}


@pytest.mark.parametrize("name", CORRECT)
def test_the_same_optimizer_makes_the_same_steps(models, name):
    report = certify(models, *CORRECT[name])
    assert report.passed
    assert steps(report) == ["same"] * 3


def test_a_schedule_and_an_nnx_optimizer(models):
    def scheduled(parameters):
        optimizer = torch.optim.SGD(parameters, 0.1)
        return optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    transformation = optax.sgd(optax.exponential_decay(0.1, 1, 0.5))
    optimizer = nnx.Optimizer(models[1], transformation, wrt=nnx.Param)
    assert steps(certify(models, scheduled, optimizer)) == ["same"] * 3
    late = optax.sgd(lambda count: 0.1 * 0.5 ** jnp.maximum(count - 1, 0))
    assert steps(certify(models, scheduled, late)) == ["same", "differs", "differs"]


WRONG = {
    "weight decay": (optax.adamw(1e-3, weight_decay=1e-4), ["differs"] * 3),
    "beta2": (optax.adamw(1e-3, b2=0.99, weight_decay=1e-2), ["same", "differs", "differs"]),
    "eps": (optax.adamw(1e-3, eps=1e-7, weight_decay=1e-2), ["differs"] * 3),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_optimizer_differs_from_the_step_where_it_shows(models, name):
    transformation, expected = WRONG[name]
    report = certify(models, lambda p: torch.optim.AdamW(p, 1e-3), transformation)
    assert steps(report) == expected
    assert report.first_difference.rung.startswith("step ")


def test_a_clip_that_never_acts_is_said(models):
    report = certify(
        models,
        lambda p: torch.optim.SGD(p, 0.1),
        optax.sgd(0.1),
        clip=lambda p: clip_grad_norm_(p, 1e6),
    )
    assert steps(report) == ["same"] * 3
    assert any("the clip did not act" in rung.note for rung in report.rungs)


def test_a_schedule_that_starts_at_zero_is_not_exercised(models):
    report = certify(models, lambda p: torch.optim.SGD(p, 0.0), optax.sgd(0.0))
    assert steps(report) == ["not exercised"] * 3


def test_a_true_gradient_of_zero_is_not_called_undecided():
    """Keys of attention have a bias without effect; Adam makes steps of its rounding noise."""

    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k = torch.nn.Linear(6, 4), torch.nn.Linear(6, 4)

        def forward(self, x):
            return torch.softmax(self.q(x) @ self.k(x).T, -1) @ x

    class Port(nnx.Module):
        def __init__(self):
            self.q, self.k = (nnx.Linear(6, 4, rngs=nnx.Rngs(i)) for i in range(2))

        def __call__(self, x):
            return jax.nn.softmax(self.q(x) @ self.k(x).T, -1) @ x

    pair = port.Pair(
        port.Torch(
            Attention(),
            loss=lambda z, _: z.square().mean(),
            optimizer=lambda p: torch.optim.Adam(p, 1e-3, eps=1e-30),
        ),
        port.Nnx(Port(), loss=lambda z, _: (z**2).mean(), optimizer=optax.adam(1e-3, eps=1e-30)),
        batches=[(BATCHES[0]["x"],)],
    )
    report = pair.certify(2, precisions=())
    assert report.passed
    step = next(rung for rung in report.rungs if rung.rung == "step 1")
    idle = next(found for found in step.findings if found.tensor == "k.bias")
    assert idle.verdict == "not exercised"
    assert "true gradient is zero" in idle.note


def torch_step(state, batch):
    weight = state["w"].clone().requires_grad_()
    loss = ((batch["x"] @ weight) ** 2).mean()
    (gradient,) = torch.autograd.grad(loss, [weight])
    moment = 0.9 * state["m"] + gradient
    return {"w": (weight - 0.1 * moment).detach(), "m": moment, "n": state["n"] + 1}, loss.detach()


def jax_step(decay):
    @jax.jit
    def step(state, batch):
        loss, gradient = jax.value_and_grad(lambda w: ((batch["x"] @ w) ** 2).mean())(state["w"])
        moment = decay * state["m"] + gradient
        return {"w": state["w"] - 0.1 * moment, "m": moment, "n": state["n"] + 1}, loss

    return step


@pytest.mark.parametrize(("decay", "passed"), [(0.9, True), (0.8, False)])
def test_black_box_steps(decay, passed):
    state = {"w": torch.ones(6, 2), "m": torch.zeros(6, 2), "n": torch.tensor(0)}
    other = {name: jnp.asarray(value.numpy()) for name, value in state.items()}
    pair = port.Pair(
        port.Step(torch_step, state), port.Step(jax_step(decay), other), batches=BATCHES
    )
    report = pair.certify(2)
    assert report.passed == passed
    assert torch.equal(state["w"], torch.ones(6, 2))


def test_an_optimizer_on_one_side_only_is_refused(models):
    original, copy = models
    with pytest.raises(BadInput, match=r"optimizer: PyTorch MLP has one, NNX MLP has none"):
        port.Pair(
            port.Torch(original, loss=torch_loss, optimizer=lambda p: torch.optim.SGD(p, 0.1)),
            port.Nnx(copy, loss=jax_loss),
            batches=BATCHES,
        )


@pytest.mark.parametrize("wrong", [3, lambda _: 3])
def test_what_is_no_optimizer_is_refused(models, wrong):
    with pytest.raises(BadInput, match="optimizer"):
        certify(models, wrong, optax.sgd(0.1))


class Residue(nn.Module):
    """A parameter whose last element has a true gradient of zero, left of three roundings."""

    def __init__(self, order):
        super().__init__()
        self.p, self.order = nn.Parameter(torch.ones(4)), order

    def forward(self, x):
        zero = sum(self.p[3] * number for number in self.order)
        return (x * self.p[:3]).sum(-1), zero


def with_rmsprop(order, **options):
    return port.Torch(
        Residue(order),
        loss=lambda outputs, _: (outputs[0] ** 2).sum() / 7 + outputs[1],
        optimizer=lambda p: torch.optim.RMSprop(p, 0.1, **options),
    )


def after_steps(original, wrong):
    batches = [(np.random.default_rng(n).normal(size=(5, 3)),) for n in range(2)]
    return port.Pair(original, wrong, batches=batches).certify(3, precisions=())


def test_an_optimizer_may_make_the_noise_of_a_true_zero_large():
    # Autograd adds from the last to the first: both are what rounding leaves of zero, in all twins.
    first, second = (-0.3, 0.2, 0.1), (0.1, -0.3, 0.2)
    assert 0 != sum(first[::-1]) != sum(second[::-1]) != 0
    assert after_steps(with_rmsprop(first), with_rmsprop(second)).passed


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"eps": 1e-7}, "epsilon of the optimizer"),
        ({"alpha": 0.9}, "decay of squares"),
        ({"weight_decay": 1e-4}, "weight decay"),
    ],
)
def test_another_setting_shows_beside_such_noise(options, kind):
    first, second = (-0.3, 0.2, 0.1), (0.1, -0.3, 0.2)
    report = after_steps(with_rmsprop(first), with_rmsprop(second, **options))
    found = report.first_difference
    assert (found.rung, found.kind) == ("step 1", kind)
