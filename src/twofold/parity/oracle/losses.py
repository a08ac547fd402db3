"""Losses and their gradients with respect to the logits, with bounds.

All are means: cross-entropy over the batch, weighted if there are class weights; the others over
batch and outputs.
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
    total,
    underflow,
)
from twofold.problem.state import Array
from twofold.spec.losses import CrossEntropy, Loss


@dataclass(frozen=True)
class LossResult:
    """The loss, shape (), and its gradient with respect to the logits (batch, out_features)."""

    loss: Bounded
    logits_gradient: Bounded


def evaluate_loss(
    loss: Loss, logits: Bounded, targets: Array, arithmetic: Arithmetic
) -> LossResult:
    """The loss of logits (batch, out_features); targets as in `twofold.problem.problem.Batch`."""
    match loss.kind:
        case "cross_entropy":
            return _cross_entropy(loss, logits, targets, arithmetic)
        case "mse":
            return _mse(logits, targets, arithmetic)
        case "huber":
            return _huber(loss.delta, logits, targets, arithmetic)
        case "bce_with_logits":
            return _bce_with_logits(loss.pos_weight, logits, targets, arithmetic)


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


@dataclass(frozen=True)
class _Divided:
    """What cross-entropy multiplies the log-probabilities by, and divides by at the end.

    `coefficients` (batch, classes) q, or w q with class weights w; `by` the rows, or the sum of
    the labels' weights; `roundings` those of a coefficient, `sharing` those of dividing.
    """

    coefficients: Array
    by: Array
    roundings: int
    sharing: int


def _divided(loss: CrossEntropy, classes: int, labels: Array, arithmetic: Arithmetic) -> _Divided:
    """A smoothed coefficient is rounded up to four times itself; a hard label's one is exact.

    A class weight is rounded when it is written down and when it is multiplied; their sum, of
    positive terms in any order, as often as there are rows, and once more for each weight.
    """
    q = target_distribution(labels, classes, loss.label_smoothing, arithmetic)
    roundings = 1 if loss.label_smoothing == 0 else 5
    if loss.class_weights is None:
        rows = np.asarray(arithmetic.oracle_dtype.type(len(labels)))
        return _Divided(q, rows, roundings, 2)
    weights = np.array(loss.class_weights, arithmetic.oracle_dtype)
    return _Divided(weights * q, weights[labels].sum(), roundings + 2, len(labels) + 3)


def _cross_entropy(
    loss: CrossEntropy, logits: Bounded, labels: Array, arithmetic: Arithmetic
) -> LossResult:
    """-sum_j c_j log p_j / n with coefficients c; the gradient is (p sum_j c_j - c) / n."""
    softmax = _log_softmax(logits, arithmetic)
    log_p = softmax.log_probabilities
    divided = _divided(loss, logits.value.shape[1], labels, arithmetic)
    share = 1 / divided.by
    c = divided.coefficients
    size = c.astype(np.float64)
    counted = int(np.count_nonzero(size, axis=1).max())  # one for hard labels, else all
    roundings = divided.roundings
    terms = rounded(-c * log_p.value, size * log_p.bound, roundings, arithmetic)
    row_reach = terms.reach.sum(axis=1)  # (batch,)
    row_bound = terms.bound.sum(axis=1) + arithmetic.gamma(counted) * row_reach
    summed = total(Bounded(terms.value.sum(axis=1), row_bound), None, arithmetic)
    mean_loss = scale(summed, share, divided.sharing, arithmetic)

    whole = c.sum(axis=1, keepdims=True)  # one without class weights
    difference = (np.exp(log_p.value) * whole - c) * share
    reach = whole.astype(np.float64) * (softmax.ceiling + softmax.error) + size
    spread = softmax.error * (1.0 + arithmetic.gamma(1)) * whole.astype(np.float64)
    own = arithmetic.gamma(3 + divided.sharing + roundings + counted) * reach
    bound = (spread + own) * float(share)
    flushed = underflow(np.ones_like(bound), 4, arithmetic) * np.maximum(1.0, float(share))
    return LossResult(mean_loss, Bounded(difference, bound + flushed))


def _mse(logits: Bounded, targets: Array, arithmetic: Arithmetic) -> LossResult:
    """(z - y)^2, its gradient 2 (z - y) / (batch * out_features)."""
    difference = subtract(logits, exact(targets, arithmetic), arithmetic)
    squared_bound = 2.0 * magnitude(difference.value) * difference.bound + difference.bound**2
    squared = rounded(difference.value**2, squared_bound, 1, arithmetic)
    share = np.asarray(arithmetic.oracle_dtype.type(2) / logits.value.size)
    gradient = scale(difference, share, 4, arithmetic)
    return LossResult(mean(squared, arithmetic), gradient)


def _huber(delta: float, logits: Bounded, targets: Array, arithmetic: Arithmetic) -> LossResult:
    """q^2 / 2 + delta (|e| - q) with q = min(|e|, delta), its gradient sign(e) q / count.

    The gradient is e clipped to +-delta. Optax computes it as delta + (q - delta) (0.2.8,
    `optax/losses/_regression.py`): rounded like delta, however small q is.
    """
    kind = arithmetic.oracle_dtype.type
    error = subtract(logits, exact(targets, arithmetic), arithmetic)
    limit = kind(delta)
    distance = np.abs(error.value)
    q = np.minimum(distance, limit)
    moved = np.minimum(error.reach, delta) * error.bound  # |d loss / d e| is at most delta
    linear = magnitude(distance - q)
    # Where |e| is near delta, either formula may be taken: they agree there but for rounding.
    size = 0.5 * magnitude(q * q) + delta * (linear + error.bound)
    terms = Bounded(
        q * q / 2 + limit * (distance - q),
        moved + arithmetic.gamma(8) * size + underflow(size, 4, arithmetic),
    )
    clipped = np.clip(error.value, -limit, limit)
    ends = [np.clip(error.value + sign * error.bound, -limit, limit) for sign in (-1, 1)]
    drift = np.maximum(magnitude(ends[0] - clipped), magnitude(ends[1] - clipped))
    surely_linear = magnitude(distance) - error.bound > delta * (1.0 + arithmetic.gamma(2))
    own = arithmetic.gamma(4) * np.where(surely_linear, delta, np.minimum(error.reach, delta))
    own = own + arithmetic.gamma(4) * np.where(surely_linear, 0.0, 2.0 * delta)
    count = kind(logits.value.size)
    flushed = underflow(error.reach, 4, arithmetic)
    gradient = scale(Bounded(clipped, drift + own + flushed), 1 / count, 3, arithmetic)
    return LossResult(mean(terms, arithmetic), gradient)


def _bce_with_logits(
    pos_weight: tuple[float, ...] | None,
    logits: Bounded,
    targets: Array,
    arithmetic: Arithmetic,
) -> LossResult:
    """p y softplus(-z) + (1 - y) softplus(z), p one or the outputs' `pos_weight`.

    Without it: max(z, 0) - z y + log(1 + exp(-|z|)). Its gradient is
    ((1 - y) s(z) - p y s(-z)) / (batch * out_features).

    PyTorch writes the loss as (1 - y) z - (1 + (p - 1) y) log_sigmoid(z), JAX as
    -p y log_sigmoid(z) - (1 - y) log_sigmoid(-z): terms as large as |z| may cancel in either, and
    1 + (p - 1) y is rounded like one where p is small.
    """
    z = logits.value
    y = targets.astype(arithmetic.oracle_dtype)
    p = np.ones((), y.dtype) if pos_weight is None else np.array(pos_weight, y.dtype)
    unit = arithmetic.gamma(1)
    decay = np.exp(-np.abs(z))
    softening = np.log1p(decay)
    sigmoid = np.where(z >= 0, 1 / (1 + decay), decay / (1 + decay))
    if pos_weight is None:
        value = np.maximum(z, 0) - z * y + softening
        difference = sigmoid - y
    else:
        value = p * y * (np.maximum(-z, 0) + softening)
        value = value + (1 - y) * (np.maximum(z, 0) + softening)
        difference = (1 - y) * sigmoid - p * y * np.where(z >= 0, decay, 1) / (1 + decay)
    s, other, label = (array.astype(np.float64) for array in (sigmoid, 1 - sigmoid, y))
    reach = logits.reach
    # What the terms grow by, and how often the weight is rounded besides.
    heavier = np.maximum(1.0, p.astype(np.float64))
    extra = 0.0 if pos_weight is None else 6.0

    slope = np.abs(difference.astype(np.float64)) + 0.25 * heavier * logits.bound
    terms = 6.0 * reach + (2.0 * EXP_ULPS + 2.0 * LOG1P_ULPS + 4.0) * magnitude(softening)
    terms = heavier * (terms + extra * (reach + magnitude(softening)))
    flushed = heavier * underflow(np.ones(z.shape), 4, arithmetic)
    bound = slope * logits.bound + unit * terms + flushed
    loss = mean(Bounded(value, bound), arithmetic)

    count = z.size
    # PyTorch: s(z) (p y + 1 - y) - p y. JAX: exponentials of log_sigmoid, whose argument is
    # rounded at |z|.
    positive = label * (1.0 if pos_weight is None else p.astype(np.float64))
    direct = (2.0 * SIGMOID_ULPS + 2.0 + extra) * s * (1.0 if pos_weight is None else heavier)
    direct = direct + (2.0 + extra) * positive
    by_log = (3.0 * reach + 2.0 * EXP_ULPS + 2.0 * LOG1P_ULPS + 6.0 + extra) * (
        positive * other + (1 - label) * s
    )
    off = np.abs(difference.astype(np.float64))
    own = unit * (np.maximum(direct, by_log) * (1.0 + logits.bound) + 4.0 * off)
    spread = heavier * logits.bound * np.minimum(0.25, s * other + 0.1 * logits.bound)
    gradient = Bounded(difference / count, (spread + own + flushed) / count + flushed)
    return LossResult(loss, gradient)
