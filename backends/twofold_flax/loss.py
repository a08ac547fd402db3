"""The losses in Optax; each takes logits (batch, out_features) and is a mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import jax
import jax.numpy as jnp
import optax
from jax import Array

from twofold.spec.experiment import Loss

LossFunction = Callable[[Array, Array], Array]


def cross_entropy(logits: Array, labels: Array, label_smoothing: float = 0.0) -> Array:
    """Softmax cross-entropy with class labels (batch,), mean over the batch."""
    if label_smoothing == 0.0:
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
    one_hot = jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)  # (batch, classes)
    smoothed = optax.smooth_labels(one_hot, label_smoothing)
    return jnp.mean(optax.softmax_cross_entropy(logits, smoothed))


def mse(logits: Array, targets: Array) -> Array:
    """Squared error to targets (batch, out_features), mean over batch and outputs."""
    return jnp.mean(optax.squared_error(logits, targets))


def bce_with_logits(logits: Array, targets: Array) -> Array:
    """Binary cross-entropy to targets (batch, out_features), mean over batch and outputs."""
    return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, targets))


LOSSES: Final[Mapping[str, LossFunction]] = {
    "mse": mse,
    "bce_with_logits": bce_with_logits,
}


def build_loss(loss: Loss) -> LossFunction:
    """The loss of an experiment."""
    if loss.kind == "cross_entropy":
        return partial(cross_entropy, label_smoothing=loss.label_smoothing)
    return LOSSES[loss.kind]
