"""Adam and AdamW with bounds: bias corrections, moments and the update from an uncertain gradient.

Sources: Kingma and Ba, *Adam*, ICLR 2015; Loshchilov and Hutter, *Decoupled weight decay
regularization*, ICLR 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twofold.experiment import Adam, AdamW
from twofold.oracle.arithmetic import Arithmetic, FloatArray
from twofold.oracle.bounded import Bounded, magnitude, rounded, underflow, within
from twofold.oracle.schedule import BoundedRate
from twofold.state import FIRST_MOMENT, SECOND_MOMENT, Array

# Roundings between the moments and the update: two divisions by bias corrections, a square root,
# the sum with eps (rounded too), a division and the product with a rounded learning rate.
UPDATE_ROUNDINGS = 10


@dataclass(frozen=True)
class BiasCorrections:
    """1 - beta^t for both moments, and the relative error that evaluating them may make.

    Both frameworks are modelled as evaluating them in float64 unless a known difference says
    otherwise.
    """

    first: Array
    second: Array
    first_error: float
    second_error: float


def standard_corrections(
    optimizer: Adam | AdamW, step: int, arithmetic: Arithmetic
) -> BiasCorrections:
    """1 - beta^step as float64 arithmetic gives it: beta^step off by two roundings, then one."""
    unit = float(np.finfo(np.float64).eps) / 2
    kind = arithmetic.oracle_dtype.type
    values, errors = [], []
    for beta in optimizer.betas:
        power = kind(beta) ** step
        correction = kind(1) - power
        values.append(np.asarray(correction))
        errors.append(float(2 * unit * power / correction) + 2 * unit)
    return BiasCorrections(values[0], values[1], errors[0], errors[1])


def adam_step(
    optimizer: Adam | AdamW,
    parameter: Bounded,
    slots: dict[str, Bounded],
    gradient: Bounded,
    rate: BoundedRate,
    corrections: BiasCorrections,
    arithmetic: Arithmetic,
    own: Array | None = None,
) -> tuple[Bounded, dict[str, Bounded]]:
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p - lr (m / c1) / (sqrt(v / c2) + eps).

    The gradient already holds Adam's coupled weight decay; AdamW's is subtracted here. `own` is
    the engine's first moment after the step, which tells the gradient that it had.
    """
    moments = _Moments(optimizer, slots[FIRST_MOMENT].value, slots[SECOND_MOMENT].value, arithmetic)
    first = moments.first(gradient)
    if own is not None:
        gradient = within(moments.gradient_of(own), gradient)
    second = moments.second(gradient)
    direction = _direction(moments, gradient, corrections, rate)
    value = parameter.value - rate.value * direction.value
    bound = rate.reach * direction.bound + rate.bound * direction.reach
    bound = bound + arithmetic.gamma(2) * rate.reach * direction.reach
    if optimizer.kind == "adamw" and optimizer.weight_decay > 0:
        # PyTorch: p (1 - lr wd), a coefficient near one. Optax: lr (direction + wd p).
        decay = arithmetic.oracle_dtype.type(optimizer.weight_decay)
        value = value - rate.value * decay * parameter.value
        size = magnitude(parameter.value)
        shrink = rate.reach * optimizer.weight_decay
        bound = bound + (arithmetic.gamma(2) + arithmetic.gamma(5) * shrink) * size
        bound = bound + rate.bound * optimizer.weight_decay * size
    return rounded(value, bound, 1, arithmetic), {FIRST_MOMENT: first, SECOND_MOMENT: second}


@dataclass(frozen=True)
class _Moments:
    """The two moments as functions of the gradient, from a given state."""

    optimizer: Adam | AdamW
    first_before: Array
    second_before: Array
    arithmetic: Arithmetic

    def exact_first(self, gradient: Array) -> Array:
        kind = self.arithmetic.oracle_dtype.type
        beta = kind(self.optimizer.betas[0])
        return np.asarray(beta * self.first_before + (kind(1) - beta) * gradient)

    def exact_second(self, gradient: Array) -> Array:
        kind = self.arithmetic.oracle_dtype.type
        beta = kind(self.optimizer.betas[1])
        return np.asarray(beta * self.second_before + (kind(1) - beta) * gradient * gradient)

    def first_rounding(self, gradient: Bounded) -> FloatArray:
        """Roundings of b1 m + (1 - b1) g, or of PyTorch's m + (1 - b1) (g - m).

        The latter has four: of 1 - b1, of the difference, of the product and of the sum.
        """
        beta = self.optimizer.betas[0]
        before = magnitude(self.first_before)
        terms = before + (1.0 - beta) * (gradient.reach + before)
        return self.arithmetic.gamma(4) * terms + underflow(terms, 4, self.arithmetic)

    def second_rounding(self, gradient: Bounded) -> FloatArray:
        """Roundings of b2 v + (1 - b2) g^2, a sum of terms that are not negative."""
        beta = self.optimizer.betas[1]
        reach = gradient.reach
        terms = beta * magnitude(self.second_before) + (1.0 - beta) * reach * reach
        flushed = underflow(reach + magnitude(self.second_before), 4, self.arithmetic)
        return self.arithmetic.gamma(5) * terms + flushed

    def first(self, gradient: Bounded) -> Bounded:
        spread = (1.0 - self.optimizer.betas[0]) * gradient.bound
        return Bounded(self.exact_first(gradient.value), spread + self.first_rounding(gradient))

    def gradient_of(self, first: Array) -> Bounded:
        """The gradient that made an engine's first moment what it is: (m - b1 m_before) / (1 - b1).

        The engine's moment is rounded as `first_rounding` says of a gradient a little larger.
        """
        kind = self.arithmetic.oracle_dtype.type
        beta = kind(self.optimizer.betas[0])
        share = kind(1) - beta
        value = np.asarray((first.astype(kind) - beta * self.first_before) / share)
        known = Bounded(value, np.zeros(value.shape))
        known = Bounded(value, 2.0 * self.first_rounding(known) / float(share))
        return Bounded(value, self.first_rounding(known) / float(share))

    def second(self, gradient: Bounded) -> Bounded:
        size = magnitude(gradient.value)
        spread = (2.0 * size + gradient.bound) * gradient.bound
        spread = (1.0 - self.optimizer.betas[1]) * spread
        return Bounded(self.exact_second(gradient.value), spread + self.second_rounding(gradient))


def _direction(
    moments: _Moments, gradient: Bounded, corrections: BiasCorrections, rate: BoundedRate
) -> Bounded:
    """(m / c1) / (sqrt(v / c2) + eps): what an uncertain gradient does, then what rounding does."""
    arithmetic = moments.arithmetic
    kind = arithmetic.oracle_dtype.type
    eps = kind(moments.optimizer.eps)

    def exactly(g: Array) -> Array:
        root = np.sqrt(moments.exact_second(g) / corrections.second)
        return np.asarray(moments.exact_first(g) / corrections.first / (root + eps))

    value = exactly(gradient.value)
    spread = _spread(
        moments,
        gradient,
        corrections,
        exactly(gradient.value - gradient.bound),
        exactly(gradient.value + gradient.bound),
        value,
    )
    reach = magnitude(value) + spread

    first_correction = float(corrections.first)
    lowest = np.maximum(magnitude(gradient.value) - gradient.bound, 0.0)
    root_low = np.sqrt(
        moments.exact_second(lowest.astype(arithmetic.oracle_dtype)) / corrections.second
    )
    flushed = 4.0 * arithmetic.smallest_normal / float(corrections.second)
    of_flush = np.minimum(np.sqrt(flushed), flushed / np.maximum(magnitude(root_low), 1e-300))
    # The engine's own divisor: the whole second moment may have been flushed.
    smallest_divisor = np.maximum(root_low.astype(np.float64) - of_flush, 0.0) + float(eps)
    of_first = moments.first_rounding(gradient) / first_correction / smallest_divisor
    relative = (
        arithmetic.gamma(UPDATE_ROUNDINGS + 2.5)  # 2.5: half of the second moment's five
        + corrections.first_error
        + 0.5 * corrections.second_error
        + of_flush / smallest_divisor
    )
    own = of_first * (1.0 + relative) + relative * reach + underflow(reach, 4, arithmetic)
    # PyTorch multiplies the first moment by the learning rate before it divides.
    flushed_product = underflow(reach, 1, arithmetic) / smallest_divisor
    early = flushed_product / float(rate.value) if rate.value > 0 else 0.0
    # A square beyond the engine's range is infinite there, and the direction zero or not a number.
    unknown = gradient.reach**2 > arithmetic.largest
    return Bounded(value, np.where(unknown, np.inf, spread + own + early))


def _spread(
    moments: _Moments,
    gradient: Bounded,
    corrections: BiasCorrections,
    at_low: Array,
    at_high: Array,
    value: Array,
) -> FloatArray:
    """How far the direction moves over the gradient's interval.

    With m = a + b g and v = c + d g^2 (bias corrections included) and s = sqrt(v),
        direction' = (b (c + eps s) - a d g) / (s (s + eps)^2).
    From a zero first moment (a = 0) this never changes sign, so the ends of the interval bound it.
    Elsewhere the better of two: interval times the largest slope, or the quotient of the ends.
    """
    ends = np.maximum(magnitude(at_low - value), magnitude(at_high - value))
    if not moments.first_before.any() or not gradient.bound.any():
        return ends
    general = np.minimum(
        _slope_bound(moments, gradient, corrections) * gradient.bound,
        _quotient_bound(moments, gradient, corrections, value),
    )
    return np.where(moments.first_before == 0, ends, np.maximum(general, ends))


def _interval(gradient: Bounded) -> tuple[FloatArray, FloatArray]:
    """The smallest and the largest |g| over the gradient's interval."""
    return np.maximum(magnitude(gradient.value) - gradient.bound, 0.0), gradient.reach


def _slope_bound(moments: _Moments, gradient: Bounded, corrections: BiasCorrections) -> FloatArray:
    """The largest |direction'| over the gradient's interval."""
    beta_1, beta_2 = moments.optimizer.betas
    eps = moments.optimizer.eps
    a = moments.first_before.astype(np.float64) * beta_1 / float(corrections.first)
    b = (1.0 - beta_1) / float(corrections.first)
    c = moments.second_before.astype(np.float64) * beta_2 / float(corrections.second)
    d = (1.0 - beta_2) / float(corrections.second)
    g_small, g_large = _interval(gradient)
    s_low, s_high = np.sqrt(c + d * g_small**2), np.sqrt(c + d * g_large**2)
    g = gradient.value.astype(np.float64)
    low, high = -a * d * (g - gradient.bound), -a * d * (g + gradient.bound)
    numerator = np.maximum(
        np.abs(b * (c + eps * s_high) + np.maximum(low, high)),
        np.abs(b * (c + eps * s_low) + np.minimum(low, high)),
    )
    divisor = s_low * (s_low + eps) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(divisor > 0, numerator / divisor, np.inf)
    slope = np.where(gradient.bound > 0, slope, 0.0)  # a certain gradient moves nothing
    return slope * (1.0 + 1e-9)  # evaluated in float64: its own roundings


def _quotient_bound(
    moments: _Moments, gradient: Bounded, corrections: BiasCorrections, value: Array
) -> FloatArray:
    """Distance from the value to the ends of [m] / [s + eps] taken as independent intervals."""
    eps = moments.optimizer.eps
    kind = moments.arithmetic.oracle_dtype
    g_small, g_large = _interval(gradient)
    scale_first = float(corrections.first)
    m_ends = [
        moments.exact_first(gradient.value + sign * gradient.bound).astype(np.float64) / scale_first
        for sign in (-1.0, 1.0)
    ]
    s_ends = [
        np.sqrt(moments.exact_second(g.astype(kind)) / corrections.second).astype(np.float64) + eps
        for g in (g_small, g_large)
    ]
    quotients = [m / s for m in m_ends for s in s_ends]
    here = value.astype(np.float64)
    spread = np.maximum(np.max(quotients, axis=0) - here, here - np.min(quotients, axis=0))
    return np.asarray(spread + 1e-9 * np.abs(here))
