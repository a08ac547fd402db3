"""Adam's two moments with bounds, as functions of an uncertain gradient.

Where a state is known within bounds alone, m and v are independent intervals, and the quotient
m / sqrt(v) could be anything where v may be zero. That it cannot is known otherwise: with
|m| <= R sqrt(v) before a step, by Cauchy and Schwarz after it

    |b1 m + (1 - b1) g| <= b1 R sqrt(v) + (1 - b1) |g|
                        <= sqrt(b1^2 R^2 / b2 + (1 - b1)^2 / (1 - b2)) sqrt(b2 v + (1 - b2) g^2),

which gives the next R without any knowledge of g. Rounding multiplies it by 1 plus some units
roundoff of |m|, |g| and sqrt(v), each of which is at most a multiple of that last root; for terms
that were flushed to zero v + w stands for v, where sqrt(w) times the unit roundoff is more than
what may be flushed in m.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twofold.parity.oracle.arithmetic import Arithmetic, FloatArray
from twofold.parity.oracle.bounded import Bounded, magnitude, underflow
from twofold.problem.state import Array
from twofold.spec.experiment import Adam, AdamW


@dataclass(frozen=True)
class AdamMoments:
    """The two moments as functions of the gradient, from a state that is exact or within bounds."""

    optimizer: Adam | AdamW
    first_before: Bounded
    second_before: Bounded
    arithmetic: Arithmetic

    @property
    def uncertain(self) -> bool:
        """Whether the moments before the step carry bounds."""
        return bool(self.first_before.bound.any() or self.second_before.bound.any())

    @property
    def flushed(self) -> float:
        """w: what a second moment may lack since its terms, step by step, were flushed to zero.

        At most 16 smallest normal numbers a step, of which the share beta2 stays at the next.
        """
        return 16.0 * self.arithmetic.smallest_normal / (1.0 - self.optimizer.betas[1])

    def exact_first(self, gradient: Array) -> Array:
        """b1 m + (1 - b1) g without any rounding, from the middle of m's interval."""
        kind = self.arithmetic.oracle_dtype.type
        beta = kind(self.optimizer.betas[0])
        return np.asarray(beta * self.first_before.value + (kind(1) - beta) * gradient)

    def exact_second(self, gradient: Array, before: Array | None = None) -> Array:
        """b2 v + (1 - b2) g^2 without any rounding, from the middle of v's interval or `before`."""
        kind = self.arithmetic.oracle_dtype.type
        beta = kind(self.optimizer.betas[1])
        before = self.second_before.value if before is None else before
        return np.asarray(beta * before + (kind(1) - beta) * gradient * gradient)

    def first_ends(self, gradient: Bounded) -> tuple[Array, Array]:
        """The smallest and the largest first moment, before its roundings."""
        beta = self.optimizer.betas[0]
        spread = (1.0 - beta) * gradient.bound + beta * self.first_before.bound
        middle = self.exact_first(gradient.value)
        return middle - spread, middle + spread

    def second_ends(self, gradient: Bounded) -> tuple[Array, Array]:
        """The smallest and the largest second moment, before its roundings; none is negative."""
        small, large = (g.astype(self.arithmetic.oracle_dtype) for g in interval(gradient))
        before, bound = self.second_before.value, self.second_before.bound
        least = np.where(bound == 0, before, np.maximum(before - bound, 0))
        return self.exact_second(small, least), self.exact_second(large, before + bound)

    def first_rounding(self, gradient: Bounded) -> FloatArray:
        """Roundings of b1 m + (1 - b1) g, or of PyTorch's m + (1 - b1) (g - m).

        The latter has four: of 1 - b1, of the difference, of the product and of the sum.
        """
        beta = self.optimizer.betas[0]
        before = self.first_before.reach
        terms = before + (1.0 - beta) * (gradient.reach + before)
        return self.arithmetic.gamma(4) * terms + underflow(terms, 4, self.arithmetic)

    def second_rounding(self, gradient: Bounded) -> FloatArray:
        """Roundings of b2 v + (1 - b2) g^2, a sum of terms that are not negative."""
        beta = self.optimizer.betas[1]
        reach = gradient.reach
        terms = beta * self.second_before.reach + (1.0 - beta) * reach * reach
        flushed = underflow(reach + self.second_before.reach, 4, self.arithmetic)
        return self.arithmetic.gamma(5) * terms + flushed

    def first(self, gradient: Bounded) -> Bounded:
        """The first moment after the step."""
        beta = self.optimizer.betas[0]
        spread = (1.0 - beta) * gradient.bound + beta * self.first_before.bound
        return Bounded(self.exact_first(gradient.value), spread + self.first_rounding(gradient))

    def gradient_of(self, first: Array) -> Bounded:
        """The gradient that made an engine's first moment what it is: (m - b1 m_before) / (1 - b1).

        The engine's moment is rounded as `first_rounding` says of a gradient a little larger. Only
        from an exact first moment.
        """
        kind = self.arithmetic.oracle_dtype.type
        beta = kind(self.optimizer.betas[0])
        share = kind(1) - beta
        value = np.asarray((first.astype(kind) - beta * self.first_before.value) / share)
        known = Bounded(value, np.zeros(value.shape))
        known = Bounded(value, 2.0 * self.first_rounding(known) / float(share))
        return Bounded(value, self.first_rounding(known) / float(share))

    def second(self, gradient: Bounded) -> Bounded:
        """The second moment after the step."""
        beta = self.optimizer.betas[1]
        size = magnitude(gradient.value)
        spread = (2.0 * size + gradient.bound) * gradient.bound
        spread = (1.0 - beta) * spread + beta * self.second_before.bound
        return Bounded(self.exact_second(gradient.value), spread + self.second_rounding(gradient))

    def ratio_before(self) -> FloatArray:
        """R of the state before the step, if that is exact: |m| / sqrt(v + w)."""
        second = self.second_before.value.astype(np.float64)
        return magnitude(self.first_before.value) / np.sqrt(second + self.flushed)

    def ratio_after(self, ratio: FloatArray) -> FloatArray:
        """R after the step, from R before it: see this module's own description."""
        beta_1, beta_2 = self.optimizer.betas
        if beta_2 == 0:
            return np.full(ratio.shape, np.inf)
        of_gradient = (1.0 - beta_1) / np.sqrt(1.0 - beta_2)
        carried = ratio / np.sqrt(beta_2)
        exactly = np.sqrt((beta_1 * carried) ** 2 + of_gradient**2)
        rounding = self.arithmetic.gamma(4) * (2.0 * carried + of_gradient)
        after = exactly + rounding + self.arithmetic.gamma(1)
        return np.asarray(after * (1.0 + self.arithmetic.gamma(8)))


def interval(gradient: Bounded) -> tuple[FloatArray, FloatArray]:
    """The smallest and the largest |g| over the gradient's interval."""
    return np.maximum(magnitude(gradient.value) - gradient.bound, 0.0), gradient.reach
