"""Losses and their gradients with respect to the logits, with bounds.

All are means: cross-entropy over the batch, the others over batch and outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twofold.parity.oracle.arithmetic import (
    EXP_ULPS,
    LOG1P_ULPS,
    LOG_ULPS,
    SIGMOID_ULPS,
    Arithmetic,
    FloatArray,
)
from twofold.parity.oracle.bounded import (
    Bounded,
    exact,
    magnitude,
    mean,
    rounded,
    scale,
    subtract,
    underflow,
)
from twofold.problem.state import Array
from twofold.spec.experiment import BceWithLogits, CrossEntropy, Mse


@dataclass(frozen=True)
class LossResult:
    """The loss, shape (), and its gradient with respect to the logits (batch, out_features)."""

    loss: Bounded
    logits_gradient: Bounded


def evaluate_loss(
    loss: CrossEntropy | Mse | BceWithLogits,
    logits: Bounded,
    targets: Array,
    arithmetic: Arithmetic,
) -> LossResult:
    """The loss of logits (batch, out_features); targets as in `twofold.problem.problem.Batch`."""
    if loss.kind == "cross_entropy":
        classes = logits.value.shape[1]
        distribution = target_distribution(targets, classes, loss.label_smoothing, arithmetic)
        return _cross_entropy(logits, distribution, arithmetic)
    if loss.kind == "mse":
        return _mse(logits, targets, arithmetic)
    return _bce_with_logits(logits, targets, arithmetic)


def target_distribution(
    labels: Array, classes: int, smoothing: float, arithmetic: Arithmetic
) -> Array:
    """Labels (batch,) as distributions (batch, classes): (1 - e) one-hot + e / classes."""
    kind = arithmetic.oracle_dtype.type
    one_hot = np.eye(classes, dtype=arithmetic.oracle_dtype)[labels]
    return np.asarray((kind(1) - kind(smoothing)) * one_hot + kind(smoothing) / classes)


@dataclass(frozen=True)
class _Softmax:
    """Log-probabilities with their bound; the probabilities' ceiling and error, float64."""

    log_probabilities: Bounded
    ceiling: FloatArray  # what a probability may reach as the logits move within their bounds
    error: FloatArray  # of an engine's probabilities, absolute


def _log_softmax(logits: Bounded, arithmetic: Arithmetic) -> _Softmax:
    """log p_j = (z_j - max z) - log sum exp(z - max z), as both frameworks evaluate it.

    The maximum is subtracted before and after, so its own error cancels. If each logit is off by
    at most d_j, log-sum-exp is off by at most log sum p_j exp(d_j): it is monotone in every logit.
    """
    z = logits.value
    classes = z.shape[1]
    unit = arithmetic.gamma(1)
    shifted = z - z.max(axis=1, keepdims=True)  # (batch, classes), <= 0
    exponentials = np.exp(shifted)
    partition = exponentials.sum(axis=1, keepdims=True)  # (batch, 1), >= 1
    log_p = shifted - np.log(partition)
    p = np.exp(log_p).astype(np.float64)
    distance = magnitude(shifted) + 2.0 * logits.bound.max(axis=1, keepdims=True)

    widest = logits.bound.max(axis=1, keepdims=True)
    growth = np.expm1(np.minimum(logits.bound, 1.0))
    drift = np.where(
        widest < 1.0, np.log1p((p * growth).sum(axis=1, keepdims=True)), widest
    )  # beyond one the simple bound, which cannot overflow
    inherited = logits.bound + drift
    # Each exponential: its argument rounded once, then the function's own error.
    of_terms = (p * (distance + 2.0 * EXP_ULPS)).sum(axis=1, keepdims=True) * unit
    of_partition = of_terms + arithmetic.gamma(classes)
    log_partition = magnitude(np.log(partition))
    of_log = of_partition + 2.0 * LOG_ULPS * unit * (log_partition + drift)
    absolute = of_log + unit * (distance + magnitude(log_p) + log_partition + inherited)
    bound = inherited + absolute + underflow(partition.astype(np.float64), classes, arithmetic)
    via_log = absolute + 2.0 * EXP_ULPS * unit
    direct = of_partition + unit * (distance + 2.0 * EXP_ULPS + 2.0)
    ceiling = np.exp(np.minimum(log_p.astype(np.float64) + inherited, 0.0))
    moved = np.where(inherited < 1.0, p * np.expm1(np.minimum(inherited, 1.0)), ceiling)
    error = moved + np.maximum(via_log, direct) * ceiling
    return _Softmax(Bounded(log_p, bound), ceiling, error)


def _cross_entropy(logits: Bounded, q: Array, arithmetic: Arithmetic) -> LossResult:
    """-sum_j q_j log p_j with target distribution q; the gradient is (p - q) / batch."""
    batch = logits.value.shape[0]
    softmax = _log_softmax(logits, arithmetic)
    log_p = softmax.log_probabilities
    targets = q.astype(np.float64)
    counted = int(np.count_nonzero(targets, axis=1).max())  # one for hard labels, else all
    # A smoothed coefficient is rounded up to four times itself; a hard label's one is exact.
    roundings = 1 if counted == 1 else 5
    terms = rounded(-q * log_p.value, targets * log_p.bound, roundings, arithmetic)
    row_reach = terms.reach.sum(axis=1)  # (batch,)
    row_bound = terms.bound.sum(axis=1) + arithmetic.gamma(counted) * row_reach
    loss = mean(Bounded(terms.value.sum(axis=1), row_bound), arithmetic)

    p = np.exp(log_p.value)
    difference = (p - q) / batch
    spread = softmax.error * (1.0 + arithmetic.gamma(1))
    own = arithmetic.gamma(5 + roundings + counted) * (softmax.ceiling + softmax.error + targets)
    bound = (spread + own) / batch
    flushed = underflow(np.ones_like(bound), 4, arithmetic)
    return LossResult(loss, Bounded(difference, bound + flushed))


def _mse(logits: Bounded, targets: Array, arithmetic: Arithmetic) -> LossResult:
    """(z - y)^2, its gradient 2 (z - y) / (batch * out_features)."""
    difference = subtract(logits, exact(targets, arithmetic), arithmetic)
    squared_bound = 2.0 * magnitude(difference.value) * difference.bound + difference.bound**2
    squared = rounded(difference.value**2, squared_bound, 1, arithmetic)
    share = np.asarray(arithmetic.oracle_dtype.type(2) / logits.value.size)
    gradient = scale(difference, share, 4, arithmetic)
    return LossResult(mean(squared, arithmetic), gradient)


def _bce_with_logits(logits: Bounded, targets: Array, arithmetic: Arithmetic) -> LossResult:
    """max(z, 0) - z y + log(1 + exp(-|z|)), its gradient (sigmoid(z) - y) / (batch * out_features).

    PyTorch writes the loss as (1 - y) z - log_sigmoid(z), Optax as
    -y log_sigmoid(z) - (1 - y) log_sigmoid(-z): terms as large as |z| may cancel in either.
    """
    z = logits.value
    y = targets.astype(arithmetic.oracle_dtype)
    unit = arithmetic.gamma(1)
    decay = np.exp(-np.abs(z))
    softening = np.log1p(decay)
    value = np.maximum(z, 0) - z * y + softening
    sigmoid = np.where(z >= 0, 1 / (1 + decay), decay / (1 + decay))
    s, other, label = (array.astype(np.float64) for array in (sigmoid, 1 - sigmoid, y))
    reach = logits.reach

    slope = np.abs(s - label) + 0.25 * logits.bound  # |d loss / d z| and half its curvature
    terms = 6.0 * reach + (2.0 * EXP_ULPS + 2.0 * LOG1P_ULPS + 4.0) * magnitude(softening)
    flushed = underflow(np.ones(z.shape), 4, arithmetic)
    bound = slope * logits.bound + unit * terms + flushed
    loss = mean(Bounded(value, bound), arithmetic)

    count = z.size
    # PyTorch: sigmoid(z) - y. JAX: exponentials of log_sigmoid, whose argument is rounded at |z|.
    direct = (2.0 * SIGMOID_ULPS + 2.0) * s + 2.0 * label
    by_log = (3.0 * reach + 2.0 * EXP_ULPS + 2.0 * LOG1P_ULPS + 6.0) * (
        label * other + (1 - label) * s
    )
    own = unit * (np.maximum(direct, by_log) * (1.0 + logits.bound) + 4.0 * np.abs(s - label))
    spread = logits.bound * np.minimum(0.25, s * other + 0.1 * logits.bound)
    gradient = Bounded((sigmoid - y) / count, (spread + own + flushed) / count + flushed)
    return LossResult(loss, gradient)
