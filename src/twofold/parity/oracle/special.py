"""Error function in any NumPy floating-point type, longdouble included (NumPy has none)."""

from __future__ import annotations

from typing import Final

import numpy as np

from twofold.problem.state import Array

SERIES_LIMIT: Final = 3.0
SERIES_TERMS: Final = 75
FRACTION_TERMS: Final = 60


def normal_cdf(x: Array) -> Array:
    """The standard normal distribution function, (1 + erf(x / sqrt 2)) / 2, in the dtype of x.

    Absolute error a few units roundoff of that dtype (tests compare it with mpmath).
    """
    half = x.dtype.type(0.5)
    scaled = x * np.sqrt(half)
    inside = np.abs(scaled) <= SERIES_LIMIT
    central = half + half * _erf_series(np.where(inside, scaled, x.dtype.type(0)))
    tail = half * _erfc_fraction(np.where(inside, x.dtype.type(SERIES_LIMIT), np.abs(scaled)))
    return np.asarray(np.where(inside, central, np.where(scaled > 0, 1 - tail, tail)))


def normal_pdf(x: Array) -> Array:
    """The standard normal density in the dtype of x."""
    return np.asarray(np.exp(-x * x / 2) / np.sqrt(2 * _pi(x)))


def _pi(x: Array) -> Array:
    """Pi in the dtype of x: four times the arc tangent of one."""
    return np.asarray(4 * np.arctan(np.asarray(1, dtype=x.dtype)))


def _erf_series(x: Array) -> Array:
    """erf by 2/sqrt(pi) exp(-x^2) sum 2^n x^(2n+1)/(2n+1)!!: all terms of one sign (DLMF 7.6.2)."""
    square = x * x
    term = x.copy()
    series = x.copy()
    for n in range(1, SERIES_TERMS):
        term = term * (2 * square / (2 * n + 1))
        series = series + term
    return np.asarray(2 / np.sqrt(_pi(x)) * np.exp(-square) * series)


def _erfc_fraction(x: Array) -> Array:
    """erfc for x >= 3 by its continued fraction (DLMF 7.9.1)."""
    fraction = x.copy()
    for n in range(FRACTION_TERMS, 0, -1):
        fraction = x + x.dtype.type(n) / 2 / fraction
    return np.asarray(np.exp(-x * x) / (np.sqrt(_pi(x)) * fraction))
