"""Mean, variance and their use in a norm, forward and back, with bounds.

Both norms compute y = (x - m) r w + b with r = 1 / sqrt(v + eps), m and v the mean and the biased
variance along one axis of n numbers. The bounds cover these ways to evaluate them:

* The mean as a sum in any order, off by gamma_{n+1} of the mean magnitude; or updated number by
  number (Welford) or merged from parts. An update m + c (x - m) adds at most u |m| + 3 c u |x - m|,
  with the weight k / n that its k numbers have in the end: (n / 2 + 8 + 3 log2 n) u max|x| in all.
* The variance from the deviations of the whole mean, or Welford's sum of (x - m_k)(x - m_{k-1}).
  A mean off by e changes a deviation by e. The sum of |deviations| is at most n sqrt(2 v), so this
  moves v by less than 4 e sqrt(v) + 2 e^2, apart from gamma_{n+8} v (compare Chan, Golub and
  LeVeque, *Algorithms for computing the sample variance*, Am. Stat. 37 (1983)). Not covered is
  mean(x^2) - mean(x)^2, Flax's fast variance, which the backend switches off.
* The result as ((x - m) r) w + b, as (x - m) (r w) + b, or as x (r w) + (b - m r w), which is
  what PyTorch does for batches: so roundings count for |x| + |m|, not for |x - m|.
* The gradient in the formula below, as PyTorch's a g + b x + c, or by reverse differentiation of
  the steps (JAX), where the sum of the deviations is not zero but off by e.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from twofold.parity.oracle.arithmetic import RSQRT_ULPS, Arithmetic, FloatArray
from twofold.parity.oracle.bounded import (
    Bounded,
    magnitude,
    multiply,
    rounded,
    scale,
    total,
    underflow,
)

MEAN_ROUNDINGS: Final = 8
OUTPUT_ROUNDINGS: Final = 6
GRADIENT_ROUNDINGS: Final = 12
FLUSHES: Final = 8


@dataclass(frozen=True)
class Statistics:
    """Mean and biased variance along an axis, which they keep with length one."""

    mean: Bounded
    variance: Bounded


@dataclass(frozen=True)
class Normalized:
    """x along an axis with its mean taken away and divided by its deviation.

    `scaled` is (x - mean) inverse; `spread` is (|x| + |mean|) inverse, what roundings count for.
    """

    scaled: Bounded
    spread: FloatArray
    mean: Bounded
    inverse: Bounded
    axis: int


def statistics_of(x: Bounded, axis: int, arithmetic: Arithmetic) -> Statistics:
    """Mean and biased variance of x along an axis."""
    count = x.value.shape[axis]
    mean = x.value.mean(axis=axis, keepdims=True)
    deviation = x.value - mean
    variance = (deviation * deviation).mean(axis=axis, keepdims=True)
    reach = x.reach
    largest = reach.max(axis=axis, keepdims=True)
    chain = count / 2 + MEAN_ROUNDINGS + 3.0 * np.log2(count)
    off = np.maximum(
        arithmetic.gamma(count + 1) * reach.mean(axis=axis, keepdims=True),
        arithmetic.gamma(chain) * largest,
    )
    off = off + underflow(largest, FLUSHES, arithmetic)
    moved = 2.0 * (magnitude(deviation) * x.bound).mean(axis=axis, keepdims=True)
    moved = moved + (x.bound**2).mean(axis=axis, keepdims=True)
    reached = magnitude(variance) + moved
    bound = moved + arithmetic.gamma(count + 8) * reached + 4.0 * off * np.sqrt(reached)
    bound = bound + 2.0 * off**2 + underflow(largest, FLUSHES, arithmetic)
    beyond = count * largest**2 > arithmetic.largest
    return Statistics(
        Bounded(mean, x.bound.mean(axis=axis, keepdims=True) + off),
        Bounded(variance, np.where(beyond, np.inf, bound)),
    )


def inverse_root(variance: Bounded, eps: float, arithmetic: Arithmetic) -> Bounded:
    """1 / sqrt(variance + eps); a computed variance is never below zero."""
    kind = arithmetic.oracle_dtype.type
    value = 1 / np.sqrt(variance.value + kind(eps))
    high = 1 / np.sqrt(np.maximum(variance.value - variance.bound, 0) + kind(eps))
    low = 1 / np.sqrt(variance.value + variance.bound + kind(eps))
    moved = magnitude(np.maximum(high - value, value - low))
    return Bounded(value, moved + arithmetic.gamma(2 + 2 * RSQRT_ULPS) * magnitude(high))


def normalized(
    x: Bounded, statistics: Statistics, eps: float, axis: int, arithmetic: Arithmetic
) -> Normalized:
    """x with a mean taken away and divided by the root of a variance."""
    mean, inverse = statistics.mean, inverse_root(statistics.variance, eps, arithmetic)
    deviation = x.value - mean.value
    spread = (x.reach + mean.reach) * inverse.reach
    bound = magnitude(deviation) * inverse.bound + (x.bound + mean.bound) * inverse.reach
    flushed = underflow(spread, FLUSHES, arithmetic) * (1.0 + inverse.reach)
    scaled = Bounded(deviation * inverse.value, bound + flushed)
    return Normalized(scaled, spread, mean, inverse, axis)


def affine_of(x: Normalized, weight: Bounded, bias: Bounded, arithmetic: Arithmetic) -> Bounded:
    """scaled * weight + bias, both (features,)."""
    value = x.scaled.value * weight.value + bias.value
    moved = x.scaled.bound * weight.reach + magnitude(x.scaled.value) * weight.bound + bias.bound
    own = arithmetic.gamma(OUTPUT_ROUNDINGS) * x.spread * weight.reach
    own = own + arithmetic.gamma(2) * bias.reach
    flushed = underflow(x.spread + bias.reach, FLUSHES, arithmetic) * (1.0 + weight.reach)
    return Bounded(value, moved + own + flushed)


def parameter_gradients(
    x: Normalized, delta: Bounded, arithmetic: Arithmetic
) -> tuple[Bounded, Bounded]:
    """Of weight and bias, (features,): sums over the rows of delta times `scaled`, and of delta."""
    terms = multiply(delta, _with_roundings(x, arithmetic), arithmetic)
    weight = total(terms, 0, arithmetic)
    return rounded(weight.value, weight.bound, 2, arithmetic), total(delta, 0, arithmetic)


def input_gradient(x: Normalized, delta: Bounded, arithmetic: Arithmetic) -> Bounded:
    """r (g - mean(g) - s mean(g s)) for g = delta * weight and s = `scaled`, along the axis."""
    count = x.scaled.value.shape[x.axis]
    scaled = _with_roundings(x, arithmetic)
    along = multiply(delta, scaled, arithmetic)
    mean, slope = (_mean(each, x.axis, arithmetic) for each in (delta, along))
    inner = delta.value - mean.value - x.scaled.value * slope.value
    size, inverse = scaled.reach, x.inverse.reach
    moved = delta.bound + mean.bound + size * slope.bound + scaled.bound * slope.reach
    # What cancels in PyTorch's b = (m sum(g) - sum(g x)) r^3 / n, and in JAX's sum of deviations.
    spread = (delta.reach * x.spread).mean(axis=x.axis, keepdims=True)
    many = arithmetic.gamma(count + GRADIENT_ROUNDINGS)
    moved = moved + many * (spread * size + slope.reach)
    moved = moved + slope.reach * x.mean.bound * inverse
    few = arithmetic.gamma(GRADIENT_ROUNDINGS)
    reach = delta.reach + mean.reach
    moved = moved + few * (reach + x.spread * slope.reach)
    bound = moved * inverse + magnitude(inner) * x.inverse.bound
    flushed = underflow(reach, FLUSHES, arithmetic) * (1.0 + inverse) ** 3 * (1.0 + x.spread)
    return Bounded(inner * x.inverse.value, bound + flushed)


def _with_roundings(x: Normalized, arithmetic: Arithmetic) -> Bounded:
    own = arithmetic.gamma(OUTPUT_ROUNDINGS) * x.spread
    return Bounded(x.scaled.value, x.scaled.bound + own)


def _mean(array: Bounded, axis: int, arithmetic: Arithmetic) -> Bounded:
    summed = total(array, axis, arithmetic)
    kept = Bounded(np.expand_dims(summed.value, axis), np.expand_dims(summed.bound, axis))
    share = np.asarray(arithmetic.oracle_dtype.type(1) / array.value.shape[axis])
    return scale(kept, share, 2, arithmetic)
