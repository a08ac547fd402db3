"""Adam and AdamW with bounds: bias corrections, moments and the update from an uncertain gradient.

Sources: Kingma and Ba, *Adam*, ICLR 2015; Loshchilov and Hutter, *Decoupled weight decay
regularization*, ICLR 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twofold.parity.oracle.adam_moments import AdamMoments, interval
from twofold.parity.oracle.arithmetic import Arithmetic, FloatArray
from twofold.parity.oracle.bounded import Bounded, magnitude, rounded, underflow, within
from twofold.parity.oracle.schedule import BoundedRate
from twofold.problem.state import FIRST_MOMENT, SECOND_MOMENT, Array
from twofold.spec.experiment import Adam, AdamW

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
    ratio: FloatArray | None = None,
) -> tuple[Bounded, dict[str, Bounded]]:
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p - lr (m / c1) / (sqrt(v / c2) + eps).

    The gradient already holds Adam's coupled weight decay; AdamW's is subtracted here. `own` is
    the engine's first moment after the step, which tells the gradient that it had; it needs exact
    slots. `ratio` is needed with slots that carry bounds: see `twofold.parity.oracle.adam_moments`.
    """
    moments = AdamMoments(optimizer, slots[FIRST_MOMENT], slots[SECOND_MOMENT], arithmetic)
    first = moments.first(gradient)
    if own is not None:
        gradient = within(moments.gradient_of(own), gradient)
    second = moments.second(gradient)
    direction = _direction(moments, gradient, corrections, rate, ratio)
    value = parameter.value - rate.value * direction.value
    bound = rate.reach * direction.bound + rate.bound * direction.reach
    inherited = parameter.bound
    bound = bound + arithmetic.gamma(2) * rate.reach * direction.reach
    if optimizer.kind == "adamw" and optimizer.weight_decay > 0:
        # PyTorch: p (1 - lr wd), a coefficient near one. Optax: lr (direction + wd p).
        decay = arithmetic.oracle_dtype.type(optimizer.weight_decay)
        value = value - rate.value * decay * parameter.value
        size = parameter.reach
        shrink = rate.reach * optimizer.weight_decay
        inherited = max(1.0, shrink) * inherited  # |1 - lr wd|, and 1 where it is below
        bound = bound + (arithmetic.gamma(2) + arithmetic.gamma(5) * shrink) * size
        bound = bound + rate.bound * optimizer.weight_decay * size
    changed = {FIRST_MOMENT: first, SECOND_MOMENT: second}
    return rounded(value, bound + inherited, 1, arithmetic), changed


def _direction(
    moments: AdamMoments,
    gradient: Bounded,
    corrections: BiasCorrections,
    rate: BoundedRate,
    ratio: FloatArray | None,
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
    root_low = np.sqrt(moments.second_ends(gradient)[0] / corrections.second)
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
    bound = _capped(spread + own, value, moments, ratio, corrections, relative)
    # A square beyond the engine's range is infinite there, and the direction zero or not a number.
    unknown = ~(gradient.reach**2 <= arithmetic.largest)
    return Bounded(value, np.where(unknown, np.inf, bound + early))


def _capped(
    bound: FloatArray,
    value: Array,
    moments: AdamMoments,
    ratio: FloatArray | None,
    corrections: BiasCorrections,
    relative: FloatArray,
) -> FloatArray:
    """From uncertain moments, the bound or what takes the value beyond the largest direction."""
    if ratio is None or not moments.uncertain:
        return bound
    largest = largest_direction(moments, ratio, corrections) * (1.0 + relative)
    return np.minimum(bound, magnitude(value) + largest)


def largest_direction(
    moments: AdamMoments, ratio: FloatArray, corrections: BiasCorrections
) -> FloatArray:
    """What |m / c1| / (sqrt(v / c2) + eps) is at most, whatever the gradients were.

    From |m| <= R sqrt(v + w) after the step: R (sqrt(c2) / c1 + sqrt(w) / (c1 eps)).
    """
    first, second = float(corrections.first), float(corrections.second)
    flushed = np.sqrt(moments.flushed) / (first * moments.optimizer.eps)
    return np.asarray(moments.ratio_after(ratio) * (np.sqrt(second) / first + flushed))


def _spread(
    moments: AdamMoments,
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
    AdamMoments that carry bounds are taken as independent of each other.
    """
    if moments.uncertain:
        return _independent_spread(moments, gradient, corrections, value)
    ends = np.maximum(magnitude(at_low - value), magnitude(at_high - value))
    first_before = moments.first_before.value
    if not first_before.any() or not gradient.bound.any():
        return ends
    general = np.minimum(
        _slope_bound(moments, gradient, corrections) * gradient.bound,
        _quotient_bound(moments, gradient, corrections, value),
    )
    return np.where(first_before == 0, ends, np.maximum(general, ends))


def _independent_spread(
    moments: AdamMoments, gradient: Bounded, corrections: BiasCorrections, value: Array
) -> FloatArray:
    """Distance from the value to the ends of [m] / [s + eps], both moments within their bounds."""
    eps = moments.arithmetic.oracle_dtype.type(moments.optimizer.eps)
    firsts = [end / corrections.first for end in moments.first_ends(gradient)]
    divisors = [np.sqrt(end / corrections.second) + eps for end in moments.second_ends(gradient)]
    quotients = [first / divisor for first in firsts for divisor in divisors]
    spread = np.maximum(np.max(quotients, axis=0) - value, value - np.min(quotients, axis=0))
    return np.asarray(spread, np.float64) * (1.0 + 1e-9)  # rounded to float64


def _slope_bound(
    moments: AdamMoments, gradient: Bounded, corrections: BiasCorrections
) -> FloatArray:
    """The largest |direction'| over the gradient's interval."""
    beta_1, beta_2 = moments.optimizer.betas
    eps = moments.optimizer.eps
    a = moments.first_before.value.astype(np.float64) * beta_1 / float(corrections.first)
    b = (1.0 - beta_1) / float(corrections.first)
    c = moments.second_before.value.astype(np.float64) * beta_2 / float(corrections.second)
    d = (1.0 - beta_2) / float(corrections.second)
    g_small, g_large = interval(gradient)
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
    slope = np.where(gradient.bound == 0, 0.0, slope)  # a certain gradient moves nothing
    return slope * (1.0 + 1e-9)  # evaluated in float64: its own roundings


def _quotient_bound(
    moments: AdamMoments, gradient: Bounded, corrections: BiasCorrections, value: Array
) -> FloatArray:
    """Distance from the value to the ends of [m] / [s + eps] taken as independent intervals."""
    eps = moments.optimizer.eps
    kind = moments.arithmetic.oracle_dtype
    g_small, g_large = interval(gradient)
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
