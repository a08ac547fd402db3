"""Losses of numbers: factors, shapes, and vectors of length zero."""

from __future__ import annotations

from math import nan

import jax.numpy as jnp
import optax
import torch
import torch.nn.functional as F
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Raises, Trap, Warns

OPTAX = "https://optax.readthedocs.io/en/latest/api/losses.html"


def half_pytorch() -> Tensor:
    return F.mse_loss(torch.tensor([3.0]), torch.tensor([1.0]))


def half_jax() -> Array:
    return optax.l2_loss(jnp.array([3.0]), jnp.array([1.0])).mean()


def half_jax_fixed() -> Array:
    return optax.squared_error(jnp.array([3.0]), jnp.array([1.0])).mean()


L2_LOSS_HALF = Trap(
    id="l2-loss-half",
    statement="optax.l2_loss is HALF the squared error; nn.MSELoss has no half.",
    severity="silent wrong result",
    symptoms="regression loss half as large, gradients half, learning rate seems too small",
    pytorch=half_pytorch,
    pytorch_gives=4.0,
    jax=half_jax,
    jax_gives=2.0,
    fix="Use optax.squared_error.",
    jax_fixed=half_jax_fixed,
    source=OPTAX,
)


def mse_shapes_pytorch() -> Tensor:
    predictions, targets = torch.tensor([[0.0], [2.0]]), torch.tensor([0.0, 2.0])
    return F.mse_loss(predictions, targets)


def mse_shapes_jax() -> Array:
    predictions, targets = jnp.array([[0.0], [2.0]]), jnp.array([0.0, 2.0])
    return optax.squared_error(predictions, targets).mean()


def mse_shapes_pytorch_fixed() -> Tensor:
    predictions, targets = torch.tensor([[0.0], [2.0]]), torch.tensor([0.0, 2.0])
    return F.mse_loss(predictions[:, 0], targets)


def mse_shapes_jax_fixed() -> Array:
    predictions, targets = jnp.array([[0.0], [2.0]]), jnp.array([0.0, 2.0])
    return optax.squared_error(predictions[:, 0], targets).mean()


MSE_SHAPES = Trap(
    id="mse-shapes",
    statement="Predictions (n, 1) with targets (n,) raise in Optax; PyTorch only warns, and pairs "
    "every prediction with every target.",
    severity="silent wrong result",
    symptoms="regression predicts the mean, perfect fit has a loss, target size differs warning",
    pytorch=mse_shapes_pytorch,
    pytorch_gives=Warns("Using a target size", 2.0),  # two of four pairs are off by 2
    jax=mse_shapes_jax,
    jax_gives=Raises("ValueError", "Shape mismatch"),
    fix="Remove the last axis; make that warning an error in PyTorch.",
    pytorch_fixed=mse_shapes_pytorch_fixed,
    jax_fixed=mse_shapes_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.MSELoss.html",
)


def huber_pytorch() -> Tensor:
    return F.smooth_l1_loss(torch.tensor([3.0]), torch.tensor([0.0]), beta=0.5)


def huber_jax() -> Array:
    return optax.huber_loss(jnp.array([3.0]), jnp.array([0.0]), delta=0.5).mean()


def huber_jax_fixed() -> Array:
    return optax.huber_loss(jnp.array([3.0]), jnp.array([0.0]), delta=0.5).mean() / 0.5


SMOOTH_L1_OR_HUBER = Trap(
    id="smooth-l1-or-huber",
    statement="Smooth L1 with beta is the Huber loss with delta DIVIDED by it; they agree at 1 "
    "only.",
    severity="silent wrong result",
    symptoms="object detection box loss scale, DQN loss, beta delta",
    pytorch=huber_pytorch,
    pytorch_gives=2.75,  # 3 - beta/2
    jax=huber_jax,
    jax_gives=1.375,  # delta (3 - delta/2)
    fix="Divide by beta, or use nn.HuberLoss.",
    jax_fixed=huber_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.HuberLoss.html",
)


def cosine_pytorch() -> Tensor:
    return F.cosine_similarity(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 4.0]), dim=0)


def cosine_jax() -> Array:
    return optax.cosine_similarity(jnp.array([0.0, 0.0]), jnp.array([3.0, 4.0]))


def cosine_jax_fixed() -> Array:
    return optax.cosine_similarity(jnp.array([0.0, 0.0]), jnp.array([3.0, 4.0]), epsilon=1e-8)


COSINE_ZERO_VECTOR = Trap(
    id="cosine-zero-vector",
    statement="The cosine with a zero vector is 0 in PyTorch, whose eps is 1e-8, and NaN in Optax, "
    "whose epsilon is 0.",
    severity="silent wrong result",
    symptoms="nan loss, contrastive learning, retrieval, empty embedding",
    pytorch=cosine_pytorch,
    pytorch_gives=0.0,
    jax=cosine_jax,
    jax_gives=nan,
    fix="Pass an epsilon to Optax.",
    jax_fixed=cosine_jax_fixed,
    source=OPTAX,
)


def cosine_eps_pytorch() -> Tensor:
    x = torch.tensor([1e-5, 0.0])
    return F.cosine_similarity(x, x, dim=0)


def cosine_eps_jax() -> Array:
    x = jnp.array([1e-5, 0.0])
    return optax.cosine_similarity(x, x, epsilon=1e-8)


def cosine_eps_jax_fixed() -> Array:
    x = jnp.array([1e-5, 0.0])
    return optax.cosine_similarity(x, x, epsilon=1e-8**2)


COSINE_EPSILON_SQUARED = Trap(
    id="cosine-epsilon-squared",
    statement="The epsilon of a cosine bounds the norms from below in PyTorch and the SQUARED "
    "norms in Optax: the same 1e-8 spoils vectors shorter than 1e-4.",
    severity="silent wrong result",
    symptoms="similarity of a vector with itself is not one, short embeddings",
    pytorch=cosine_eps_pytorch,
    pytorch_gives=1.0,
    jax=cosine_eps_jax,
    jax_gives=0.01,  # 1e-10 / 1e-8
    fix="Square PyTorch's eps.",
    jax_fixed=cosine_eps_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="the root is taken of a rounded square",
    source=OPTAX,
)
