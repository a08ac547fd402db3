"""Activations and their derivatives, with bounds on every sensible way to evaluate them.

Propagation: an argument off by d moves f by at most d * min(sup|f'|, |f'(z)| + sup|f''| d), and
f' by at most sup|f''| d. The suprema are constants below; a test checks them by sampling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from twofold.parity.oracle.arithmetic import (
    TANH_SATURATES,
    Arithmetic,
    FloatArray,
)
from twofold.parity.oracle.bounded import Bounded, magnitude, underflow
from twofold.parity.oracle.special import normal_cdf, normal_pdf
from twofold.problem.state import Array
from twofold.spec.layers.activation import LEAKY_SLOPE, ActivationName

GELU_CUBIC: Final = 0.044715  # Hendrycks and Gimpel, 2016


# Of one formula; their errors multiply, so that n roundings are off by gamma_n, not n gamma_1.
MOST_ROUNDINGS: Final = 24


@dataclass(frozen=True)
class Evaluated:
    """f(z), f'(z) and what rounding alone may add to each, in units of the unit roundoff."""

    value: Array
    derivative: Array
    value_roundings: FloatArray
    derivative_roundings: FloatArray


@dataclass(frozen=True)
class Smooth:
    """A differentiable activation with the suprema of |f'| and |f''|, f'' where it exists."""

    evaluate: Callable[[Array, Arithmetic], Evaluated]
    slope: float
    curvature: float


def activate(name: ActivationName, z: Bounded, arithmetic: Arithmetic) -> tuple[Bounded, Bounded]:
    """The activation of pre-activations z and its derivative there, both of the shape of z."""
    if name == "identity":
        return z, Bounded(np.ones_like(z.value), np.zeros(z.value.shape))
    if name == "relu":
        return _relu(z)
    if name == "leaky_relu":
        return _leaky_relu(z, arithmetic)
    value, derivative = _smooth(SMOOTH[name], z, arithmetic)
    if name != "elu":
        return value, derivative
    linear = z.value > z.bound  # surely: the engine's value is its argument, its derivative one
    return (
        Bounded(value.value, np.where(linear, z.bound, value.bound)),
        Bounded(derivative.value, np.where(linear, 0.0, derivative.bound)),
    )


def _relu(z: Bounded) -> tuple[Bounded, Bounded]:
    """A unit within its bound of zero may go either way; at exactly zero the derivative is 0.

    What is not a number stays so, and of its derivative nothing is known.
    """
    positive = z.value > 0
    value = np.where(z.value <= 0, z.value.dtype.type(0), z.value)
    may_be_active = ~(z.value.astype(np.float64) + z.bound <= 0)
    undecided = (z.bound != 0) & ~(magnitude(z.value) > z.bound)
    return (
        Bounded(value, np.where(may_be_active, z.bound, 0.0)),
        Bounded(positive.astype(z.value.dtype), undecided.astype(np.float64)),
    )


def _leaky_relu(z: Bounded, arithmetic: Arithmetic) -> tuple[Bounded, Bounded]:
    """z, or 0.01 z below zero, where the slope is rounded and so is the product.

    A unit within its bound of zero may go either way. At exactly zero PyTorch's derivative is the
    slope and JAX's is one; both are allowed.
    """
    kind = z.value.dtype.type
    slope = kind(LEAKY_SLOPE)
    positive = z.value > 0
    inside = ~(magnitude(z.value) > z.bound)  # zero itself, if nothing else; not a number, too
    reach = np.where(positive & ~inside, 0.0, LEAKY_SLOPE * z.reach)  # of a product with the slope
    own = arithmetic.gamma(2) * reach + underflow(reach, 3, arithmetic)
    steepest = np.where(positive | inside, 1.0, LEAKY_SLOPE)
    derivative_bound = np.where(inside, 1.0 - LEAKY_SLOPE, 0.0)
    derivative_bound = derivative_bound + np.where(
        positive & ~inside, 0.0, arithmetic.gamma(1) * LEAKY_SLOPE
    )
    return (
        Bounded(np.where(positive, z.value, slope * z.value), steepest * z.bound + own),
        Bounded(np.where(positive, kind(1), slope), derivative_bound),
    )


def _smooth(f: Smooth, z: Bounded, arithmetic: Arithmetic) -> tuple[Bounded, Bounded]:
    at = f.evaluate(z.value, arithmetic)
    slope = np.minimum(f.slope, magnitude(at.derivative) + f.curvature * z.bound)
    # Silu multiplies a flushed sigmoid by its argument.
    flushed = underflow(z.reach, 4, arithmetic) * (1.0 + z.reach)
    one = arithmetic.gamma(MOST_ROUNDINGS) / MOST_ROUNDINGS
    value_rounding = _at_engine_argument(at.value_roundings, z) * one
    derivative_rounding = _at_engine_argument(at.derivative_roundings, z) * one
    return (
        Bounded(at.value, slope * z.bound + value_rounding + flushed),
        Bounded(at.derivative, f.curvature * z.bound + derivative_rounding + flushed),
    )


def _at_engine_argument(roundings: FloatArray, z: Bounded) -> FloatArray:
    """Roundings at the engine's own argument, up to the bound away from the oracle's.

    They grow at most with the third power of the argument (gelu_tanh), and near zero at most by
    the largest coefficient below, 64 units for each unit of the argument.
    """
    steepness = 64.0 + 4.0 * roundings / np.maximum(magnitude(z.value), 1.0)
    return roundings + steepness * z.bound


def _float(array: Array) -> FloatArray:
    return array.astype(np.float64)


def _tanh(z: Array, arithmetic: Arithmetic) -> Evaluated:
    """tanh; its derivative is 1 - tanh^2."""
    t = np.tanh(z)
    size = np.abs(_float(t))
    # An ulp is at most two units roundoff; where saturated, +-1 itself is tanh rounded.
    error = np.maximum(2.0 * _tanh_ulps(z, arithmetic), 1.0) * size
    return Evaluated(t, 1 - t * t, error, 2.0 * size * error + size + 2.0)


def _tanh_ulps(argument: Array, arithmetic: Arithmetic) -> FloatArray:
    saturated = np.abs(argument) > TANH_SATURATES[arithmetic.precision]
    return np.where(saturated, 0.0, arithmetic.ulps.tanh)


def _sigmoid(z: Array, arithmetic: Arithmetic) -> Evaluated:
    """1 / (1 + exp(-z)); its derivative is s (1 - s)."""
    s = _stable_sigmoid(z)
    size = _float(s)
    error = 2.0 * arithmetic.ulps.sigmoid * size
    return Evaluated(s, s * _stable_sigmoid(-z), error, error + size * (error + 1.0) + size)


def _stable_sigmoid(z: Array) -> Array:
    decay = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + decay), decay / (1 + decay))


def _silu(z: Array, arithmetic: Arithmetic) -> Evaluated:
    """z s(z); its derivative is s (1 + z (1 - s))."""
    s, s_minus = _stable_sigmoid(z), _stable_sigmoid(-z)
    size, away = _float(s), np.abs(_float(z))
    error = 2.0 * arithmetic.ulps.sigmoid * size + 1.0 * size
    inner = away * (error + 1.0 + 2.0 * _float(s_minus)) + 1.0 + away * _float(s_minus)
    derivative = s * (1 + z * s_minus)
    derivative_error = error * (1.0 + away * _float(s_minus)) + size * inner
    return Evaluated(z * s, derivative, away * error + away * size, derivative_error + 2.0 * size)


def _elu(z: Array, arithmetic: Arithmetic) -> Evaluated:
    """z above zero, exp(z) - 1 below; its derivative is 1, and exp(z) below.

    PyTorch compiled for a CPU takes exp(z) - 1, which is off like one, not like z (PyTorch 2.13,
    `torch/_inductor/codegen/cpp.py`, `CppVecOverrides.expm1`). Of the derivative PyTorch takes
    exp(z), JAX the sum of expm1(z) and 1.
    """
    below = np.minimum(z, 0)
    value, derivative = np.where(z > 0, z, np.expm1(below)), np.exp(below)
    size, slope = np.abs(_float(np.expm1(below))), _float(derivative)
    error = np.maximum(2.0 * arithmetic.ulps.expm1 * size, 2.0 * arithmetic.ulps.expm1_of_one)
    derivative_error = np.maximum(2.0 * arithmetic.ulps.exp * slope, error + 1.0)
    return Evaluated(value, derivative, error, derivative_error)


def _gelu(z: Array, arithmetic: Arithmetic) -> Evaluated:
    """z Phi(z), Phi by erf or erfc; its derivative is Phi(z) + z phi(z)."""
    cdf, pdf = normal_cdf(z), normal_pdf(z)
    away, density = np.abs(_float(z)), _float(pdf)
    # erf is off by its ulps near one, its argument by two roundings, 1 + erf by one more.
    cdf_error = arithmetic.ulps.erf + 2.0 + 2.0 * away * density
    tail_error = away * density * (2.0 * away * away + 2.0 * arithmetic.ulps.exp + 5.0)
    value_error = away * (cdf_error + 2.0 * _float(cdf))
    return Evaluated(z * cdf, cdf + z * pdf, value_error, cdf_error + tail_error + 2.0)


def _gelu_tanh(z: Array, arithmetic: Arithmetic) -> Evaluated:
    """z (1 + tanh(u)) / 2 with u = sqrt(2/pi) (z + 0.044715 z^3), and its derivative."""
    kind = z.dtype.type
    rate = np.sqrt(kind(2) / (4 * np.arctan(kind(1))))
    cubic = kind(GELU_CUBIC)
    u = rate * (z + cubic * z * z * z)
    t = np.tanh(u)
    # 1 - tanh^2 = 4 e^(-2|u|) / (1 + e^(-2|u|))^2: no cancellation where tanh is near one.
    decay = np.exp(-2 * np.abs(u))
    bell = 4 * decay / ((1 + decay) * (1 + decay))
    slope = rate * (1 + 3 * cubic * z * z)
    away, steep = np.abs(_float(z)), _float(slope)
    argument_error = 6.0 * np.abs(_float(u)) * _float(bell)
    tanh_error = 2.0 * _tanh_ulps(u, arithmetic) * np.abs(_float(t)) + argument_error
    # Where tanh is exactly one in the engine, 1 - tanh^2 is exactly zero there.
    saturated = np.abs(u) > TANH_SATURATES[arithmetic.precision]
    bell_error = np.where(saturated, 0.0, 2.0 * tanh_error + 2.0)
    value_error = away * (0.5 * tanh_error + 2.0)
    derivative_error = (
        0.5 * tanh_error + 2.0 + 0.5 * away * steep * (bell_error + 8.0 * _float(bell))
    )
    return Evaluated(
        z * (1 + t) / 2,
        (1 + t) / 2 + z * bell * slope / 2,
        value_error,
        derivative_error,
    )


SMOOTH: Final[dict[Any, Smooth]] = {
    "tanh": Smooth(_tanh, slope=1.0, curvature=0.7699),
    "sigmoid": Smooth(_sigmoid, slope=0.25, curvature=0.0963),
    "elu": Smooth(_elu, slope=1.0, curvature=1.0),
    "silu": Smooth(_silu, slope=1.0999, curvature=0.5001),
    "gelu": Smooth(_gelu, slope=1.1290, curvature=0.7980),
    "gelu_tanh": Smooth(_gelu_tanh, slope=1.1291, curvature=0.7980),
}
