"""Student's t distribution in a few lines: its distribution function and quantiles.

P(T <= t) follows from the regularised incomplete beta function, which is evaluated by its
continued fraction with the modified method of Lentz: *NIST Digital Library of Mathematical
Functions*, 8.17.22 for the fraction and 8.17.4 for the reflection; Thompson and Barnett, *Coulomb
and Bessel functions of complex arguments and order*, J. Comput. Phys. 64 (1986), for the method.
Relative accuracy is about 1e-12; the tests compare it with SciPy.
"""

from __future__ import annotations

import math
from typing import Final

TINY: Final = 1e-300
TOLERANCE: Final = 1e-15
MOST_TERMS: Final = 10_000


def cumulative(t: float, degrees: float) -> float:
    """P(T <= t) for T with `degrees` > 0 degrees of freedom, not necessarily whole."""
    if degrees <= 0:
        raise ValueError(f"degrees: {degrees} given; allowed is above 0")
    if math.isinf(t):
        return 1.0 if t > 0 else 0.0
    tail = 0.5 * _incomplete_beta(degrees / (degrees + t * t), t * t / (degrees + t * t), degrees)
    return 1.0 - tail if t > 0 else tail


def quantile(probability: float, degrees: float) -> float:
    """The t with P(T <= t) = probability, which lies strictly between 0 and 1; by bisection."""
    if not 0 < probability < 1:
        raise ValueError(f"probability: {probability} given; allowed is above 0 and below 1")
    if probability < 0.5:
        return -quantile(1 - probability, degrees)
    low, high = 0.0, 1.0
    while cumulative(high, degrees) < probability and high < 1e300:
        low, high = high, 2 * high
    for _ in range(200):
        middle = low + (high - low) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if cumulative(middle, degrees) < probability else (low, middle)
    return high


def _incomplete_beta(x: float, rest: float, degrees: float) -> float:
    """I_x(degrees / 2, 1 / 2) with x + rest = 1, both given lest one be rounded away."""
    a, b = degrees / 2, 0.5
    if x == 0 or rest == 0:
        return 0.0 if x == 0 else 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log(rest))
    if x < (a + 1) / (a + b + 2):  # where the fraction converges fast; else by reflection
        return front * _fraction(x, a, b) / a
    return 1.0 - front * _fraction(rest, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function (DLMF 8.17.22), without its front."""
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + term * d)
            c = _away_from_zero(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < TOLERANCE:
            return value
    raise ArithmeticError(f"incomplete beta function: no convergence at a={a}, b={b}, x={x}")


def _away_from_zero(value: float) -> float:
    return TINY if abs(value) < TINY else value
