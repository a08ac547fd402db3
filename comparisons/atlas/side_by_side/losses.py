"""Losses: cross-entropy, squared error, binary cross-entropy, and softmax applied twice."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import torch.nn.functional as F

from comparisons.atlas.side_by_side.topic import (
    Topic,
    Values,
    show,
)

LOGITS = np.array(
    [[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]], np.float32
)
LABELS = np.array([0, 2])
TARGETS = np.array([[1, 0, 0], [0, 1, 1]], np.float32)


def with_pytorch() -> Values:
    logits = torch.from_numpy(LOGITS)
    labels = torch.from_numpy(LABELS)
    targets = torch.from_numpy(TARGETS)
    probabilities = F.softmax(logits, dim=-1)
    return {
        "cross-entropy": F.cross_entropy(logits, labels),
        "cross-entropy of each row": F.cross_entropy(
            logits, labels, reduction="none"
        ),
        "squared error": F.mse_loss(logits, targets),
        "binary cross-entropy": F.binary_cross_entropy_with_logits(
            logits, targets
        ),
        "softmax twice (a bug)": F.cross_entropy(
            probabilities, labels
        ),
    }


def with_jax() -> Values:
    logits = jnp.array(LOGITS)
    labels = jnp.array(LABELS)
    targets = jnp.array(TARGETS)
    ce = optax.softmax_cross_entropy_with_integer_labels
    bce = optax.sigmoid_binary_cross_entropy
    probabilities = jax.nn.softmax(logits, axis=-1)
    return {
        "cross-entropy": ce(logits, labels).mean(),
        "cross-entropy of each row": ce(logits, labels),
        "squared error": optax.squared_error(
            logits, targets
        ).mean(),
        "binary cross-entropy": bce(logits, targets).mean(),
        "softmax twice (a bug)": ce(probabilities, labels).mean(),
    }


def with_numpy() -> Values:
    def ce(logits):
        top = logits.max(axis=-1, keepdims=True)  # no overflow
        log_sum = np.log(np.exp(logits - top).sum(axis=-1))
        rows = np.arange(len(LABELS))
        return log_sum + top[:, 0] - logits[rows, LABELS]

    exp = np.exp(LOGITS)
    probabilities = exp / exp.sum(axis=-1, keepdims=True)
    return {
        "cross-entropy": ce(LOGITS).mean(),
        "cross-entropy of each row": ce(LOGITS),
        "squared error": ((LOGITS - TARGETS) ** 2).mean(),
        "binary cross-entropy": (
            np.logaddexp(0, LOGITS) - TARGETS * LOGITS
        ).mean(),
        "softmax twice (a bug)": ce(probabilities).mean(),
    }


TOPIC = Topic(
    title="Losses",
    about="""The formulas agree; the shape of the answer does not. PyTorch's losses are means over
    everything unless `reduction` says otherwise. Optax's cross-entropy gives one number a row,
    its others one number an element, and the mean is yours to take. Logits go into both: the loss
    applies the softmax itself, stably. Applying it in the model as well raises no error anywhere;
    the loss is merely another one, with weak gradients.""",
    pytorch=with_pytorch,
    jax=with_jax,
    numpy=with_numpy,
)

if __name__ == "__main__":
    show(TOPIC)
