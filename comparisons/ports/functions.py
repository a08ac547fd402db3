"""Functions of JAX and losses of Optax against PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from torch import nn
from torch.nn import functional

from comparisons.ports.case import DEFAULTS, SAME_ARGUMENTS, Case
from comparisons.ports.rows import NUMBERS, ROWS
from twofold import port

ACTIVATIONS: Final[tuple[tuple[str, str, Callable[..., Any], Callable[..., Any]], ...]] = (
    ("gelu", SAME_ARGUMENTS, functional.gelu, lambda x: jax.nn.gelu(x, approximate=False)),
    ("gelu", DEFAULTS, functional.gelu, jax.nn.gelu),
    ("gelu, tanh", SAME_ARGUMENTS, lambda x: functional.gelu(x, approximate="tanh"), jax.nn.gelu),
    ("relu", SAME_ARGUMENTS, functional.relu, jax.nn.relu),
    ("relu6", SAME_ARGUMENTS, functional.relu6, jax.nn.relu6),
    ("leaky_relu", DEFAULTS, functional.leaky_relu, jax.nn.leaky_relu),
    ("elu", DEFAULTS, functional.elu, jax.nn.elu),
    ("selu", DEFAULTS, functional.selu, jax.nn.selu),
    ("celu", DEFAULTS, functional.celu, jax.nn.celu),
    ("silu", SAME_ARGUMENTS, functional.silu, jax.nn.silu),
    ("mish", SAME_ARGUMENTS, functional.mish, jax.nn.mish),
    ("softplus", DEFAULTS, functional.softplus, jax.nn.softplus),
    ("softsign", SAME_ARGUMENTS, functional.softsign, jax.nn.soft_sign),
    ("hardtanh", DEFAULTS, functional.hardtanh, jax.nn.hard_tanh),
    ("hardsigmoid", DEFAULTS, functional.hardsigmoid, jax.nn.hard_sigmoid),
    ("hardswish", DEFAULTS, functional.hardswish, jax.nn.hard_swish),
    ("logsigmoid", SAME_ARGUMENTS, functional.logsigmoid, jax.nn.log_sigmoid),
    ("tanh", SAME_ARGUMENTS, torch.tanh, jnp.tanh),
    ("softmax", SAME_ARGUMENTS, lambda x: x.softmax(-1), jax.nn.softmax),
    ("log_softmax", SAME_ARGUMENTS, lambda x: x.log_softmax(-1), jax.nn.log_softmax),
    ("glu", SAME_ARGUMENTS, functional.glu, jax.nn.glu),
    (
        "normalize and optax.safe_normalize",
        SAME_ARGUMENTS,
        lambda x: functional.normalize(x, dim=-1),
        lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True),
    ),
    ("std", DEFAULTS, lambda x: torch.std(x, -1), lambda x: jnp.std(x, -1)),
    (
        "var, one degree of freedom less",
        SAME_ARGUMENTS,
        lambda x: torch.var(x, -1),
        lambda x: jnp.var(x, -1, ddof=1),
    ),
)

LABELS: Final = NUMBERS.integers(0, 6, 3)
TARGETS: Final = NUMBERS.normal(size=(3, 6))
SHARES: Final = NUMBERS.dirichlet(np.ones(6), 3)
SIGNS: Final = (NUMBERS.random((3, 6)) < 0.5).astype(float)

LOSSES: Final[tuple[tuple[str, str, Callable[..., Any], Callable[..., Any], Any], ...]] = (
    (
        "cross_entropy",
        SAME_ARGUMENTS,
        functional.cross_entropy,
        lambda x, y: optax.softmax_cross_entropy_with_integer_labels(x, y).mean(),
        LABELS,
    ),
    (
        "cross_entropy",
        DEFAULTS,
        functional.cross_entropy,
        lambda x, y: optax.softmax_cross_entropy_with_integer_labels(x, y).sum(),
        LABELS,
    ),
    (
        "cross_entropy, label smoothing",
        SAME_ARGUMENTS,
        lambda x, y: functional.cross_entropy(x, y, label_smoothing=0.1),
        lambda x, y: optax.softmax_cross_entropy(
            x, optax.smooth_labels(jax.nn.one_hot(y, 6), 0.1)
        ).mean(),
        LABELS,
    ),
    (
        "mse_loss and l2_loss",
        DEFAULTS,
        functional.mse_loss,
        lambda x, y: optax.l2_loss(x, y).mean(),
        TARGETS,
    ),
    (
        "mse_loss and squared_error",
        SAME_ARGUMENTS,
        functional.mse_loss,
        lambda x, y: optax.squared_error(x, y).mean(),
        TARGETS,
    ),
    (
        "huber_loss",
        DEFAULTS,
        functional.huber_loss,
        lambda x, y: optax.huber_loss(x, y).mean(),
        TARGETS,
    ),
    (
        "smooth_l1_loss and huber_loss, 0.5",
        "beta and delta 0.5",
        lambda x, y: functional.smooth_l1_loss(x, y, beta=0.5),
        lambda x, y: optax.huber_loss(x, y, delta=0.5).mean(),
        TARGETS,
    ),
    ("l1_loss", SAME_ARGUMENTS, functional.l1_loss, lambda x, y: jnp.abs(x - y).mean(), TARGETS),
    (
        "binary_cross_entropy_with_logits",
        SAME_ARGUMENTS,
        functional.binary_cross_entropy_with_logits,
        lambda x, y: optax.sigmoid_binary_cross_entropy(x, y).mean(),
        SIGNS,
    ),
    (
        "kl_div, batchmean",
        SAME_ARGUMENTS,
        lambda x, y: functional.kl_div(x.log_softmax(-1), y, reduction="batchmean"),
        lambda x, y: optax.kl_divergence(jax.nn.log_softmax(x), y).mean(),
        SHARES,
    ),
    (
        "kl_div",
        DEFAULTS,
        lambda x, y: functional.kl_div(x.log_softmax(-1), y),
        lambda x, y: optax.kl_divergence(jax.nn.log_softmax(x), y).mean(),
        SHARES,
    ),
    (
        "cosine_similarity",
        DEFAULTS,
        lambda x, y: functional.cosine_similarity(x, y).mean(),
        lambda x, y: optax.cosine_similarity(x, y).mean(),
        TARGETS,
    ),
    (
        "hinge_embedding and hinge_loss",
        "no counterpart",
        lambda x, y: functional.hinge_embedding_loss(x, 2 * y - 1),
        lambda x, y: optax.hinge_loss(x, 2 * y - 1).mean(),
        SIGNS,
    ),
    (
        "poisson_nll_loss",
        SAME_ARGUMENTS,
        lambda x, y: functional.poisson_nll_loss(x, y),
        lambda x, y: optax.losses.poisson_nll_loss(x, y).mean(),
        SIGNS,
    )
    if hasattr(optax.losses, "poisson_nll_loss")
    else (
        "log_cosh",
        SAME_ARGUMENTS,
        lambda x, y: torch.log(torch.cosh(x - y)).mean(),
        lambda x, y: optax.log_cosh(x, y).mean(),
        TARGETS,
    ),
)


class Scaled(nn.Module):
    """A function of numbers that a parameter scales, so that there are gradients."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(6))
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x * self.w)


def cases() -> Iterator[Case]:
    """Every row of the tables."""
    for name, arguments, ours, theirs in ACTIVATIONS:
        yield Case("functions", name, arguments, _function_pair(ours, theirs), {"steps": 0})
    for name, arguments, ours, theirs, labels in LOSSES:
        yield Case("losses", name, arguments, _loss_pair(ours, theirs, labels), {"steps": 0})


def _function_pair(ours: Any, theirs: Any) -> Callable[[], port.Pair]:
    def scaled(p: Any, x: jax.Array) -> jax.Array:
        return theirs(x * p["w"])

    return lambda: port.Pair(
        port.Torch(Scaled(ours)),
        port.Function(scaled, {"w": jnp.ones(6)}),
        batches=[(3 * ROWS,)],
    )


def _loss_pair(ours: Any, theirs: Any, labels: Any) -> Callable[[], port.Pair]:
    def scaled(p: Any, x: jax.Array) -> jax.Array:
        return x * p["w"]

    return lambda: port.Pair(
        port.Torch(Scaled(lambda x: x), loss=lambda out, batch: ours(out, batch[1])),
        port.Function(scaled, {"w": jnp.ones(6)}, loss=lambda out, batch: theirs(out, batch[1])),
        batches=[(3 * ROWS, labels)],
    )
