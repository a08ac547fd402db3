"""The losses in Optax; each takes logits (batch, out_features) and is a mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import jax.numpy as jnp
import optax
from jax import Array

from twofold.experiment import Loss

LossFunction = Callable[[Array, Array], Array]


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Softmax cross-entropy with class labels (batch,), mean over the batch."""
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def mse(logits: Array, targets: Array) -> Array:
    """Squared error to targets (batch, out_features), mean over batch and outputs."""
    return jnp.mean(optax.squared_error(logits, targets))


def bce_with_logits(logits: Array, targets: Array) -> Array:
    """Binary cross-entropy to targets (batch, out_features), mean over batch and outputs."""
    return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, targets))


LOSSES: Final[Mapping[str, LossFunction]] = {
    "cross_entropy": cross_entropy,
    "mse": mse,
    "bce_with_logits": bce_with_logits,
}


def build_loss(loss: Loss) -> LossFunction:
    """The loss of an experiment."""
    return LOSSES[loss.kind]
