"""The losses in Optax; each takes logits (batch, out_features) and is a mean."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from twofold.spec.losses import Loss, output_weights

LossFunction = Callable[[Array, Array], Array]
RowWeights = Callable[[Array], Array]
"""From class labels (batch,) to the weight of each row (batch,) in the mean."""


def cross_entropy(
    logits: Array,
    labels: Array,
    label_smoothing: float = 0.0,
    class_weights: Array | None = None,
) -> Array:
    """Softmax cross-entropy with class labels (batch,), mean over the batch.

    Optax has no class weights (0.2.8). They are put in as JAX code does it: as factors of the
    losses of rows, or, with smoothing, of the classes' shares in the target; and divided by is the
    sum of the labels' weights, not `jnp.mean`'s number of rows.
    """
    if label_smoothing == 0.0:
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)  # (batch,)
        if class_weights is None:
            return jnp.mean(losses)
        weights = class_weights[labels]  # (batch,)
        return jnp.sum(weights * losses) / jnp.sum(weights)
    one_hot = jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)  # (batch, classes)
    smoothed = optax.smooth_labels(one_hot, label_smoothing)
    if class_weights is None:
        return jnp.mean(optax.softmax_cross_entropy(logits, smoothed))
    losses = optax.softmax_cross_entropy(logits, class_weights * smoothed)  # (batch,)
    return jnp.sum(losses) / jnp.sum(class_weights[labels])


def mse(logits: Array, targets: Array) -> Array:
    """Squared error to targets (batch, out_features), mean over batch and outputs."""
    return jnp.mean(optax.squared_error(logits, targets))


def huber(logits: Array, targets: Array, delta: float) -> Array:
    """Huber's loss to targets (batch, out_features), mean over batch and outputs."""
    return jnp.mean(optax.huber_loss(logits, targets, delta=delta))


def bce_with_logits(logits: Array, targets: Array, pos_weight: Array | None = None) -> Array:
    """Binary cross-entropy to targets (batch, out_features), mean over batch and outputs.

    `optax.sigmoid_binary_cross_entropy` has no `pos_weight` (0.2.8): its own two terms are written
    out, the target's times the weight (out_features,). A factor on the whole loss would be another
    one for targets between 0 and 1.
    """
    if pos_weight is None:
        return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, targets))
    positive = -pos_weight * targets * jax.nn.log_sigmoid(logits)
    return jnp.mean(positive - (1.0 - targets) * jax.nn.log_sigmoid(-logits))


def build_loss(loss: Loss, dtype: jnp.dtype[Any]) -> LossFunction:
    """The loss of an experiment; its weights are arrays of the parameters' dtype."""
    weights = weights_of(loss, dtype)
    match loss.kind:
        case "cross_entropy":
            smoothing = loss.label_smoothing
            return partial(cross_entropy, label_smoothing=smoothing, class_weights=weights)
        case "mse":
            return mse
        case "huber":
            return partial(huber, delta=loss.delta)
        case "bce_with_logits":
            return partial(bce_with_logits, pos_weight=weights)


def build_row_weights(loss: Loss, dtype: jnp.dtype[Any]) -> RowWeights | None:
    """The rows' weights in a loss that is a weighted mean over the batch; None for the others."""
    weights = weights_of(loss, dtype)
    if loss.kind != "cross_entropy" or weights is None:
        return None
    return weights.__getitem__


def weights_of(loss: Loss, dtype: jnp.dtype[Any]) -> Array | None:
    """The loss's number for each class or output (out_features,), if it has them."""
    weights = output_weights(loss)
    return None if weights is None else jnp.asarray(weights, dtype)
