"""Losses with a margin: hinges and triplets."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
import torch
import torch.nn.functional as F
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Trap

OPTAX = "https://optax.readthedocs.io/en/latest/api/losses.html"


def hinge_pytorch() -> Tensor:
    scores, labels = torch.tensor([[1.0, 2.0, 2.0]]), torch.tensor([0])
    return F.multi_margin_loss(scores, labels)


def hinge_jax() -> Array:
    scores, labels = jnp.array([[1.0, 2.0, 2.0]]), jnp.array([0])
    return optax.losses.multiclass_hinge_loss(scores, labels).mean()


def hinge_jax_fixed() -> Array:
    scores, labels = jnp.array([[1.0, 2.0, 2.0]]), jnp.array([0])
    true = jnp.take_along_axis(scores, labels[:, None], axis=1)
    margins = jnp.maximum(1.0 - true + scores, 0.0) * (1 - jax.nn.one_hot(labels, 3))
    return margins.mean()


HINGE_MULTICLASS = Trap(
    id="hinge-multiclass",
    statement="The multiclass hinge sums over ALL wrong classes and divides by their number plus "
    "one in PyTorch; Optax takes the worst wrong class only.",
    severity="silent wrong result",
    symptoms="SVM loss differs, MultiMarginLoss, Crammer-Singer, Weston-Watkins",
    pytorch=hinge_pytorch,
    pytorch_gives=4.0 / 3.0,  # (2 + 2) / 3 classes
    jax=hinge_jax,
    jax_gives=2.0,
    fix="Write PyTorch's sum out; neither has the other's loss.",
    jax_fixed=hinge_jax_fixed,
    source=f"https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiMarginLoss.html; {OPTAX}",
)


def hinge_embedding_pytorch() -> Tensor:
    return F.hinge_embedding_loss(torch.tensor([3.0]), torch.tensor([1.0]))


def hinge_embedding_jax() -> Array:
    return optax.hinge_loss(jnp.array([3.0]), jnp.array([1.0])).mean()


def hinge_embedding_pytorch_fixed() -> Tensor:
    return torch.relu(1.0 - torch.tensor([1.0]) * torch.tensor([3.0])).mean()


HINGE_EMBEDDING = Trap(
    id="hinge-embedding",
    statement="nn.HingeEmbeddingLoss is not the hinge loss: for target 1 it IS its input, a "
    "distance. optax.hinge_loss is max(0, 1 - y x).",
    severity="silent wrong result",
    symptoms="SVM in PyTorch learns the wrong way, correct predictions cost more",
    pytorch=hinge_embedding_pytorch,
    pytorch_gives=3.0,
    jax=hinge_embedding_jax,
    jax_gives=0.0,
    fix="Write relu(1 - y * x) in PyTorch.",
    pytorch_fixed=hinge_embedding_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.HingeEmbeddingLoss.html",
)


def triplet_pytorch() -> Tensor:
    anchor, positive, negative = torch.tensor([[[0.0, 0.0]], [[1.0, -1.0]], [[9.0, 0.0]]])
    return F.triplet_margin_loss(anchor, positive, negative, margin=8.0, p=1.0, eps=0.0)


def triplet_jax() -> Array:
    anchor, positive, negative = jnp.array([[[0.0, 0.0]], [[1.0, -1.0]], [[9.0, 0.0]]])
    distances = {"norm_degree": 1, "eps": 0.0}
    return optax.losses.triplet_margin_loss(
        anchor, positive, negative, margin=8.0, **distances
    ).mean()


def triplet_jax_fixed() -> Array:
    anchor, positive, negative = jnp.array([[[0.0, 0.0]], [[1.0, -1.0]], [[9.0, 0.0]]])
    near, far = (jnp.abs(anchor - other).sum(axis=-1) for other in (positive, negative))
    return jnp.maximum(near - far + 8.0, 0.0).mean()


TRIPLET_ODD_NORM = Trap(
    id="triplet-odd-norm",
    statement="Optax's triplet loss takes powers of the differences without their absolute values: "
    "with norm_degree=1 they cancel. PyTorch's distance is a norm.",
    severity="silent wrong result",
    symptoms="triplet margin loss with L1 distance wrong, metric learning, negative distance",
    pytorch=triplet_pytorch,
    pytorch_gives=1.0,  # |1| + |-1| - 9 + 8
    jax=triplet_jax,
    jax_gives=17.0,  # (-1 + 1) - (-9) + 8
    fix="Write the L1 distances out; even degrees agree.",
    jax_fixed=triplet_jax_fixed,
    source="optax/losses/_self_supervised.py (0.2.8)",
)


def triplet_zero_pytorch() -> Tensor:
    anchor, negative = torch.tensor([[[0.0, 0.0]], [[0.0, 1.0]]], dtype=torch.float64)
    return F.triplet_margin_loss(anchor, anchor, negative)


def triplet_zero_jax() -> Array:
    with jax.enable_x64(True):
        anchor, negative = jnp.array([[[0.0, 0.0]], [[0.0, 1.0]]])
        return optax.losses.triplet_margin_loss(anchor, anchor, negative).mean()


def triplet_zero_jax_fixed() -> Array:
    with jax.enable_x64(True):
        anchor, negative = jnp.array([[[0.0, 0.0]], [[0.0, 1.0]]])
        losses = optax.losses.triplet_margin_loss(anchor + 1e-6, anchor, negative, eps=0.0)
        return losses.mean()


TRIPLET_EPSILON = Trap(
    id="triplet-epsilon",
    statement="The eps of 1e-6 is added to each difference in PyTorch's triplet loss and to the "
    "sum of squares in Optax's, where it makes a distance of 0.001 out of none.",
    severity="silent wrong result",
    symptoms="triplet loss of identical embeddings, eps, pairwise distance",
    pytorch=triplet_zero_pytorch,
    pytorch_gives=2**0.5 * 1e-6 + 1e-6,  # near: sqrt(2) eps; far: 1 - eps; margin: 1
    jax=triplet_zero_jax,
    jax_gives=1e-3 - 5e-7,  # near: sqrt(eps); far: sqrt(1 + eps)
    fix="Add 1e-6 to the anchors and pass eps=0.",
    jax_fixed=triplet_zero_jax_fixed,
    fix_tolerance=1e-9,
    fix_tolerance_reason="float64: what is left after 1 - 1",
    source="optax/losses/_self_supervised.py (0.2.8); "
    "https://docs.pytorch.org/docs/stable/generated/torch.nn.PairwiseDistance.html",
)
