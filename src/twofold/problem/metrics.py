"""What a trained model is worth: accuracy and R^2 of logits and targets, in NumPy."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from twofold.errors import DataError
from twofold.problem.state import Array

LossName = Literal["cross_entropy", "mse", "huber", "bce_with_logits"]
MetricName = Literal["accuracy", "R^2"]

METRIC_OF_LOSS: Final[dict[LossName, MetricName]] = {
    "cross_entropy": "accuracy",
    "bce_with_logits": "accuracy",
    "mse": "R^2",
    "huber": "R^2",
}


def accuracy(logits: Array, labels: Array) -> float:
    """Share of rows whose largest logit is their label's; the first one wins a tie.

    `logits` (batch, classes), `labels` integers (batch,). Raises DataError.
    """
    _check(logits, labels, logits.shape[:1])
    return float(np.mean(np.argmax(logits, axis=1) == labels))


def binary_accuracy(logits: Array, targets: Array) -> float:
    """Share of elements on the right side: logit above 0 where the target is above 0.5.

    Both (batch, out_features); a logit of exactly 0 counts as a vote for 0. Raises DataError.
    """
    _check(logits, targets, logits.shape)
    return float(np.mean((logits > 0) == (targets > 0.5)))


def r_squared(predictions: Array, targets: Array) -> float:
    """1 - residual / total sum of squares, mean over the outputs; both (batch, out_features).

    1 is perfect, 0 is what the mean of these targets would get. Raises DataError, also for a
    column of equal targets, for which R^2 has no value.
    """
    _check(predictions, targets, predictions.shape)
    predicted, wanted = predictions.astype(np.float64), targets.astype(np.float64)
    with np.errstate(over="ignore"):  # infinite, and the metric with it
        residual = np.sum((wanted - predicted) ** 2, axis=0)  # (out_features,)
    total = np.sum((wanted - wanted.mean(axis=0)) ** 2, axis=0)  # (out_features,)
    if np.any(np.ptp(wanted, axis=0) == 0):
        raise DataError("targets: all equal in one column; R^2 needs targets that differ")
    return float(np.mean(1.0 - residual / total))


def metric_of(loss: LossName, logits: Array, targets: Array) -> float:
    """The metric that belongs to a loss: accuracy for the cross-entropies, else R^2."""
    if loss == "cross_entropy":
        return accuracy(logits, targets)
    if loss == "bce_with_logits":
        return binary_accuracy(logits, targets)
    return r_squared(logits, targets)


def why_no_score(loss: LossName, test_targets: Array) -> str | None:
    """Why the metric of a loss has no value on these test rows; None where it has one.

    R^2 divides by the squares of the targets about their mean. Not for 0 rows.
    """
    if METRIC_OF_LOSS[loss] != "R^2" or not np.any(np.ptp(test_targets, axis=0) == 0):
        return None
    rows = len(test_targets)
    found = "1 test row" if rows == 1 else f"{rows:,} test rows whose targets are all alike"
    return (
        f"R^2 has no value on {found}; allowed are 2 or more whose targets differ, so change "
        "data.test_fraction or the seed that splits the rows"
    )


def baseline_of(loss: LossName, train_targets: Array, test_targets: Array) -> float:
    """The same metric for a model that ignores its inputs.

    It answers with the most common training label (the lowest of several), or for R^2 with the
    mean of the training targets.
    """
    if loss == "cross_entropy":
        return float(np.mean(test_targets == np.argmax(np.bincount(train_targets))))
    if loss == "bce_with_logits":
        constant = np.where(train_targets.mean(axis=0) > 0.5, 1.0, -1.0)
        return binary_accuracy(np.broadcast_to(constant, test_targets.shape), test_targets)
    mean = train_targets.astype(np.float64).mean(axis=0)
    return r_squared(np.broadcast_to(mean, test_targets.shape), test_targets)


def _check(logits: Array, targets: Array, wanted: tuple[int, ...]) -> None:
    if logits.ndim != 2 or logits.size == 0:
        raise DataError(
            f"logits: shape {logits.shape} given; allowed is (batch, out_features), neither zero"
        )
    if targets.shape != wanted:
        raise DataError(f"targets: shape {targets.shape} given; allowed is {wanted}")
    if not np.all(np.isfinite(logits)):
        row = int(np.argwhere(~np.isfinite(logits))[0][0])
        raise DataError(f"logits[{row}]: not finite; a metric needs finite logits")
    if not np.all(np.isfinite(targets)):
        row = int(np.argwhere(~np.isfinite(targets))[0][0])
        raise DataError(f"targets[{row}]: not finite; a metric needs finite targets")
