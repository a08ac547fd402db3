"""Causes that whole pairs show: losses, weights without a partner, optimizers; and both ways."""

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
from twofold_torch.port.rules import apply

from tests.port import flax_models, torch_models
from twofold import port

RANDOM = np.random.default_rng(0)
LABELS = np.array([0, 1, 2, -100, 1, 0, 2, -100])
BATCHES = [{"x": RANDOM.normal(size=(8, 6)), "y": LABELS % 3} for _ in range(3)]
MASKED = [{"x": RANDOM.normal(size=(8, 6)), "y": LABELS}]
VALUES = [{"x": RANDOM.normal(size=(8, 6)), "y": RANDOM.normal(size=(8, 3))}]


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    return torch_models.MLP(), flax_models.MLP()


def losses(models, torch_loss, jax_loss, batches):
    pair = port.Pair(
        port.Torch(models[0], loss=torch_loss),
        port.Nnx(models[1], loss=jax_loss),
        batches=batches,
    )
    return pair.certify(precisions=()).first_difference


def cross_entropy(outputs, batch):
    return F.cross_entropy(outputs, batch["y"])


def jax_cross_entropy(outputs, batch):
    return optax.softmax_cross_entropy_with_integer_labels(outputs, batch["y"])


LOSSES = {
    "mean or sum of a loss": (
        cross_entropy,
        lambda z, b: jax_cross_entropy(z, b).sum(),
        BATCHES,
        "loss-reduction",
    ),
    "label smoothing": (
        lambda z, b: F.cross_entropy(z, b["y"], label_smoothing=0.1),
        lambda z, b: jax_cross_entropy(z, b).mean(),
        BATCHES,
        "",
    ),
    "ignored labels": (
        cross_entropy,
        lambda z, b: jnp.where(
            b["y"] >= 0,
            optax.softmax_cross_entropy_with_integer_labels(z, jnp.maximum(b["y"], 0)),
            0.0,
        ).mean(),
        MASKED,
        "ce-ignore-index",
    ),
    "factor of a loss": (
        lambda z, b: F.mse_loss(z, b["y"]),
        lambda z, b: optax.l2_loss(z, b["y"]).mean(),
        VALUES,
        "l2-loss-half",
    ),
    "flavour of a loss": (
        lambda z, b: F.smooth_l1_loss(z, b["y"]),
        lambda z, b: jnp.abs(z - b["y"]).mean(),
        VALUES,
        "smooth-l1-or-huber",
    ),
    "mean of a divergence": (
        lambda z, b: 4 * F.kl_div((z / 2).log_softmax(-1), torch.softmax(b["y"] / 2, -1)),
        lambda z, b: (
            4 * optax.kl_divergence(jax.nn.log_softmax(z / 2), jax.nn.softmax(b["y"] / 2)).mean()
        ),
        VALUES,
        "kl-div-mean",
    ),
    "beta of smooth L1": (
        lambda z, b: F.smooth_l1_loss(z, b["y"], beta=0.25),
        lambda z, b: optax.huber_loss(z, b["y"], delta=0.25).mean(),
        VALUES,
        "smooth-l1-or-huber",
    ),
    "hinge loss": (
        lambda z, b: F.hinge_embedding_loss(z, b["y"].sign(), reduction="sum"),
        lambda z, b: optax.hinge_loss(z, jnp.sign(b["y"])).sum(),
        VALUES,
        "hinge-embedding",
    ),
    "softmax twice": (
        cross_entropy,
        lambda z, b: jax_cross_entropy(jax.nn.softmax(z), b).mean(),
        BATCHES,
        "ce-softmax-twice",
    ),
}


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("kind", LOSSES)
def test_another_loss_is_named(models, kind):
    torch_loss, jax_loss, batches, trap = LOSSES[kind]
    first = losses(models, torch_loss, jax_loss, batches)
    assert (first.rung, first.kind, first.trap) == ("loss", kind, trap)
    assert first.line.startswith("tests/port/causes/test_pairs.py:")
    assert first.port_line.startswith("tests/port/causes/test_pairs.py:")


def sgd(parameters):
    return torch.optim.SGD(parameters, 0.1, momentum=0.9)


def adamw(parameters):
    return torch.optim.AdamW(parameters, 1e-3)


def scheduled(parameters):
    optimizer = torch.optim.SGD(parameters, 0.1)
    return optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)


def clipped(parameters):
    clip_grad_norm_(parameters, 0.1)


def decayed(path, _):
    return jax.tree_util.keystr(path).endswith("kernel']")


OPTIMIZERS = {
    "weight decay": (adamw, optax.adamw(1e-3, weight_decay=1e-4), {}),
    "kind of weight decay": (
        adamw,
        optax.chain(optax.add_decayed_weights(1e-2), optax.adam(1e-3)),
        {},
    ),
    "epsilon of the optimizer": (adamw, optax.adamw(1e-3, eps=3e-7, weight_decay=1e-2), {}),
    "place of the optimizer's epsilon": (
        adamw,
        optax.adamw(1e-3, eps=0.0, eps_root=1e-8, weight_decay=1e-2),
        {},
    ),
    "beta2": (adamw, optax.adamw(1e-3, b2=0.97, weight_decay=1e-2), {}),
    "momentum": (sgd, optax.sgd(0.1, momentum=0.8), {}),
    "nesterov": (sgd, optax.sgd(0.1, momentum=0.9, nesterov=True), {}),
    "nesterov, left out": (
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
        optax.sgd(0.1, momentum=0.9),
        {},
    ),
    "centred": (
        lambda p: torch.optim.RMSprop(p, 1e-3, centered=True),
        optax.rmsprop(1e-3, decay=0.99, eps_in_sqrt=False),
        {},
    ),
    "decay of squares": (
        lambda p: torch.optim.RMSprop(p, 1e-3),
        optax.rmsprop(1e-3, decay=0.9, eps_in_sqrt=False),
        {},
    ),
    "schedule": (scheduled, optax.sgd(lambda n: 0.1 * 0.5 ** jnp.maximum(n - 1, 0)), {}),
    "learning rate": (sgd, optax.sgd(0.03, momentum=0.9), {}),
    "clip epsilon": (
        sgd,
        optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.1, momentum=0.9)),
        {"clip": clipped},
    ),
    "missing clip": (sgd, optax.sgd(0.1, momentum=0.9), {"clip": clipped}),
    "factor of the gradient": (
        adamw,
        optax.chain(optax.scale(8.0), optax.adamw(1e-3, weight_decay=1e-2)),
        {},
    ),
    "corrected maximum": (
        lambda p: torch.optim.Adam(p, 0.1, betas=(0.8, 0.9), amsgrad=True),
        optax.amsgrad(0.1, b1=0.8, b2=0.9),
        {},
    ),
    "rising momentum": (
        lambda p: torch.optim.NAdam(p, 3e-3, betas=(0.8, 0.99), momentum_decay=0.02),
        optax.nadam(3e-3, b1=0.8, b2=0.99),
        {},
    ),
    "place of Adagrad's epsilon": (
        lambda p: torch.optim.Adagrad(p, 0.1, initial_accumulator_value=0.01, eps=1e-6),
        optax.adagrad(0.1, 0.01, 1e-6),
        {},
    ),
    "start of the squares": (
        lambda p: torch.optim.Adagrad(p, 0.1, eps=0.0),
        optax.adagrad(0.1, 0.1, eps=0.0),
        {},
    ),
    "late step": (
        lambda p: torch.optim.Rprop(p, 1e-3, step_sizes=(1e-5, 1.0)),
        optax.rprop(1e-3, min_step_size=1e-5, max_step_size=1.0),
        {},
    ),
    "several settings of the optimizer": (
        lambda p: torch.optim.RMSprop(p, 1e-3, alpha=0.97, eps=1e-6),
        optax.rmsprop(1e-3, decay=0.95, eps=1e-6),
        {},
    ),
}
RIGHT = {
    "adagrad": (
        lambda p: torch.optim.Adagrad(p, 0.1, initial_accumulator_value=0.2, eps=0.0),
        optax.adagrad(0.1, 0.2, eps=0.0),
    ),
    "rmsprop": (
        lambda p: torch.optim.RMSprop(p, 1e-3, alpha=0.95, eps=1e-6),
        optax.rmsprop(1e-3, decay=0.95, eps=1e-6, eps_in_sqrt=False),
    ),
    # From the first step on the second moment falls, and its maximum is that of one step.
    "nadam": (
        lambda p: torch.optim.NAdam(p, 3e-3, momentum_decay=float("inf")),
        optax.nadam(3e-3),
    ),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_another_optimizer_is_named(models, kind):
    optimizer, transformation, options = OPTIMIZERS[kind]
    pair = port.Pair(
        port.Torch(models[0], loss=cross_entropy, optimizer=optimizer, **options),
        port.Nnx(
            models[1],
            loss=lambda z, b: jax_cross_entropy(z, b).mean(),
            optimizer=transformation,
        ),
        batches=BATCHES,
    )
    first = pair.certify(3, precisions=()).first_difference
    assert first.rung.startswith("step ")
    assert first.kind == kind.partition(",")[0], first


@pytest.mark.parametrize("kind", RIGHT)
def test_the_same_rule_has_no_cause(models, kind):
    optimizer, transformation = RIGHT[kind]
    pair = port.Pair(
        port.Torch(models[0], loss=cross_entropy, optimizer=optimizer),
        port.Nnx(
            models[1],
            loss=lambda z, b: jax_cross_entropy(z, b).mean(),
            optimizer=transformation,
        ),
        batches=BATCHES,
    )
    assert pair.certify(3, precisions=()).first_difference is None


def test_each_of_several_settings_is_told(models):
    pair = port.Pair(
        port.Torch(
            models[0],
            loss=cross_entropy,
            optimizer=lambda p: torch.optim.Adagrad(p, 0.1, eps=1e-9),
        ),
        port.Nnx(
            models[1],
            loss=lambda z, b: jax_cross_entropy(z, b).mean(),
            optimizer=optax.adagrad(0.1, 0.1, 1e-4),
        ),
        batches=BATCHES,
    )
    first = pair.certify(1, precisions=()).first_difference
    for part in ("1e-09", "outside the root", "start 0 in the original", "0.0001", "inside", "0.1"):
        assert part in first.cause


def test_a_late_step_is_the_one_before_but_for_turned_gradients():
    weight = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    rule = torch.optim.Rprop([weight], lr=0.5)
    apply(rule, {"late": True})
    seen = []
    for gradient in ([1.0, 1.0, -1.0], [1.0, -1.0, -1.0], [1.0, -1.0, -1.0]):
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        rule.step()
        seen.append(weight.detach().tolist())
    # The second gradient of the second number turned, so that nothing is taken in two steps.
    assert seen == [[0.0] * 3, [-0.5, 0.0, 0.5], [-1.1, 0.0, 1.1]]


def test_epsilon_inside_the_root_leaves_alone_what_has_no_gradient():
    weights = nn.Parameter(torch.ones(2, dtype=torch.float64))
    adam = torch.optim.Adam([weights], lr=0.5, eps=0.25)
    apply(adam, {"eps inside": True})
    weights.grad = torch.tensor([0.0, 2.0], dtype=torch.float64)
    adam.step()
    # m = 2 and v = 4 after their corrections: 1 - 0.5 * 2 / sqrt(4 + 0.25)
    expected = [1.0, 1 - 1 / 4.25**0.5]
    np.testing.assert_allclose(weights.detach().numpy(), expected, rtol=1e-12)


def test_a_bias_that_the_port_has_not_is_named():
    original = nn.Sequential(nn.Linear(6, 3), nn.Tanh())

    def function(parameters, x):
        return jnp.tanh(x @ parameters["w"])

    first = port.certify(
        original,
        (function, {"w": np.zeros((6, 3), np.float32)}),
        (RANDOM.normal(size=(4, 6)),),
        precisions=(),
    ).first_difference
    assert (first.rung, first.kind) == ("weights", "missing bias or scale")
    assert "0.bias" in first.cause


def test_the_hidden_bias_of_a_gru_is_named_with_what_to_do():
    class Original(nn.Module):
        def __init__(self):
            super().__init__()
            self.memory, self.head = nn.GRU(6, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x):
            return self.head(self.memory(x)[0][:, -1])

    class Port(nnx.Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            self.memory = nnx.RNN(nnx.GRUCell(6, 5, rngs=rngs))
            self.head = nnx.Linear(5, 2, rngs=rngs)

        def __call__(self, x):
            return self.head(self.memory(x)[:, -1])

    first = port.certify(
        Original(), Port(), (RANDOM.normal(size=(3, 4, 6)),), precisions=()
    ).first_difference
    assert (first.rung, first.kind, first.trap) == (
        "weights",
        "hidden bias of a GRU",
        "gru-hidden-bias",
    )
    assert "memory.bias_hh_l0[10:15]" in first.cause
    assert first.remedy.startswith("give the port a parameter for memory.bias_hh_l0[10:15]; or set")


def test_a_weight_that_matters_and_has_no_partner_says_what_to_do():
    original = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3, bias=False))

    def function(parameters, x):
        return jnp.tanh(x @ parameters["w"])

    first = port.certify(
        original,
        (function, {"w": np.zeros((6, 3), np.float32)}),
        (RANDOM.normal(size=(4, 6)),),
        precisions=(),
    ).first_difference
    assert first.rung == "weights"
    assert "weights={original: port}" in first.remedy


def test_weights_that_are_not_tied_are_named():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.body = nn.Embedding(7, 6), nn.Linear(6, 6)
            self.head = nn.Linear(6, 7, bias=False)
            self.head.weight = self.tokens.weight

        def forward(self, ids):
            return self.head(torch.tanh(self.body(self.tokens(ids))))

    class Port(nnx.Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            self.tokens, self.body = nnx.Embed(7, 6, rngs=rngs), nnx.Linear(6, 6, rngs=rngs)
            self.head = nnx.Linear(6, 7, use_bias=False, rngs=rngs)

        def __call__(self, ids):
            return self.head(jnp.tanh(self.body(self.tokens(ids))))

    def loss(outputs, _):
        return outputs.mean()

    pair = port.Pair(
        port.Torch(Tied(), loss=loss, optimizer=lambda p: torch.optim.SGD(p, 0.1)),
        port.Nnx(Port(), loss=loss, optimizer=optax.sgd(0.1)),
        batches=[(RANDOM.integers(0, 7, (2, 5)),)],
    )
    first = pair.certify(1, precisions=()).first_difference
    assert (first.rung, first.kind) == ("step 1", "tied weights")
    assert first.trap == "tied-weights-untie"


def test_the_port_is_changed_where_the_original_cannot_be():
    """A JAX original and a PyTorch port: the sentence keeps its order."""
    original, wrong = flax_models.MLP(epsilon=1e-6), torch_models.MLP()
    report = port.certify(
        original, wrong, (RANDOM.normal(size=(4, 6)),), gradients=False, precisions=()
    )
    first = report.first_difference
    assert first.kind == "epsilon of a layer norm"
    assert first.cause.endswith("1e-06 in the original, 1e-05 in the port")
    assert "in the port as well" in first.evidence
    assert first.port_line.startswith("tests/port/torch_models.py:")
