"""Binary cross entropy: probabilities or logits, certainty, shapes."""

from __future__ import annotations

from math import e, inf, log

import jax.numpy as jnp
import optax
import torch
import torch.nn.functional as F
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Raises, Trap

OPTAX = "https://optax.readthedocs.io/en/latest/api/losses.html"


def bce_input_pytorch() -> Tensor:
    return F.binary_cross_entropy(torch.tensor([0.5]), torch.tensor([1.0]))


def bce_input_jax() -> Array:
    return optax.sigmoid_binary_cross_entropy(jnp.array([0.5]), jnp.array([1.0])).mean()


def bce_input_pytorch_fixed() -> Tensor:
    return F.binary_cross_entropy_with_logits(torch.tensor([0.0]), torch.tensor([1.0]))


def bce_input_jax_fixed() -> Array:
    return optax.sigmoid_binary_cross_entropy(jnp.array([0.0]), jnp.array([1.0])).mean()


BCE_PROBABILITIES_OR_LOGITS = Trap(
    id="bce-probabilities-or-logits",
    statement="F.binary_cross_entropy takes probabilities, optax.sigmoid_binary_cross_entropy "
    "takes logits, and numbers between 0 and 1 suit both.",
    severity="silent wrong result",
    symptoms="binary loss does not fall below 0.31, sigmoid applied twice, BCELoss port",
    pytorch=bce_input_pytorch,
    pytorch_gives=log(2.0),
    jax=bce_input_jax,
    jax_gives=log(1.0 + e**-0.5),
    fix="Give logits to both: F.binary_cross_entropy_with_logits.",
    pytorch_fixed=bce_input_pytorch_fixed,
    jax_fixed=bce_input_jax_fixed,
    source=f"{OPTAX}; https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html",
)


def bce_certain_pytorch() -> Tensor:
    return F.binary_cross_entropy(torch.tensor([0.0]), torch.tensor([1.0]))


def bce_certain_jax() -> Array:
    p, y = jnp.array([0.0]), jnp.array([1.0])
    return -(y * jnp.log(p) + (1.0 - y) * jnp.log1p(-p)).mean()


def bce_certain_jax_fixed() -> Array:
    p, y = jnp.array([0.0]), jnp.array([1.0])
    log_p, log_not_p = jnp.maximum(jnp.log(p), -100.0), jnp.maximum(jnp.log1p(-p), -100.0)
    return -(y * log_p + (1.0 - y) * log_not_p).mean()


BCE_LOG_CLAMP = Trap(
    id="bce-log-clamp",
    statement="nn.BCELoss never takes a logarithm below -100, so a certain and wrong prediction "
    "costs 100; the formula written out in JAX gives infinity.",
    severity="silent wrong result",
    symptoms="inf loss or nan in GAN discriminator, binary cross entropy log(0)",
    pytorch=bce_certain_pytorch,
    pytorch_gives=100.0,
    jax=bce_certain_jax,
    jax_gives=inf,
    fix="Better, use logits on both sides; else clamp the logarithms at -100.",
    jax_fixed=bce_certain_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html",
)


def bce_shapes_pytorch() -> Tensor:
    logits, targets = torch.zeros(2, 1), torch.ones(2)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def bce_shapes_jax() -> Array:
    return optax.sigmoid_binary_cross_entropy(jnp.zeros((2, 1)), jnp.ones(2))


def bce_shapes_pytorch_fixed() -> Tensor:
    logits, targets = torch.zeros(2, 1), torch.ones(2)
    return F.binary_cross_entropy_with_logits(logits[:, 0], targets, reduction="none")


def bce_shapes_jax_fixed() -> Array:
    return optax.sigmoid_binary_cross_entropy(jnp.zeros((2, 1))[:, 0], jnp.ones(2))


BCE_SHAPES = Trap(
    id="bce-shapes",
    statement="Logits (n, 1) with targets (n,) raise in PyTorch; Optax broadcasts them and pairs "
    "every prediction with every target.",
    severity="silent wrong result",
    symptoms="model predicts the mean, binary classifier stuck at base rate, loss shape (n, n)",
    pytorch=bce_shapes_pytorch,
    pytorch_gives=Raises("ValueError", "must be the same as input size"),
    jax=bce_shapes_jax,
    jax_gives=[[log(2.0), log(2.0)], [log(2.0), log(2.0)]],
    fix="Remove the last axis of the logits, and assert that the shapes are equal.",
    pytorch_fixed=bce_shapes_pytorch_fixed,
    jax_fixed=bce_shapes_jax_fixed,
    source=OPTAX,
)
