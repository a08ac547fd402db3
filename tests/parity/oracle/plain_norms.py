"""Norms written out in NumPy, in any precision, by the formulas and in the orders that engines use.

Independent of the oracle: `mean` says how mean and variance are made, `form` how the result is,
`backward` how the gradient of the inputs is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
MEANS = ("two passes", "welford", "merged")
FORMS = ("scaled", "folded weight", "linear")
BACKWARDS = ("formula", "coefficients", "reverse")


@dataclass(frozen=True)
class Norm:
    """What one norm computes of x (batch, features) and of the gradient of its result."""

    result: Array
    mean: Array
    variance: Array
    inputs: Array
    weight: Array
    bias: Array


@dataclass(frozen=True)
class PlainNorm:
    dtype: type
    axis: int
    mean: str = "two passes"
    form: str = "scaled"
    backward: str = "formula"
    seed: int = 0

    def __call__(self, x: Array, weight: Array, bias: Array, delta: Array, eps: float) -> Norm:
        kind = self.dtype
        mean, variance = self.statistics(x)
        r = kind(1) / np.sqrt(variance + kind(eps))
        if self.form == "scaled":
            result = ((x - mean) * r) * weight + bias
        elif self.form == "folded weight":
            result = (x - mean) * (r * weight) + bias
        else:
            slope = r * weight
            result = x * slope + (bias - mean * slope)
        scaled = (x - mean) * r
        of_weight, of_bias = self.total(delta * scaled, 0), self.total(delta, 0)
        inputs = getattr(self, "_" + self.backward)(x, mean, variance, r, delta * weight, eps)
        for array in (result, inputs, of_weight):
            assert array.dtype == kind
        return Norm(result, mean, variance, inputs, of_weight, of_bias)

    def total(self, terms: Array, axis: int) -> Array:
        """One after the other, in a random order."""
        terms = np.moveaxis(terms, axis, 0)
        result = np.zeros(terms.shape[1:], self.dtype)
        for place in np.random.default_rng(self.seed).permutation(len(terms)):
            result = result + terms[place]
        return result

    def average(self, terms: Array) -> Array:
        count = self.dtype(terms.shape[self.axis])
        return np.expand_dims(self.total(terms, self.axis) / count, self.axis)

    def statistics(self, x: Array) -> tuple[Array, Array]:
        if self.mean == "two passes":
            mean = self.average(x)
            return mean, self.average((x - mean) * (x - mean))
        along = np.moveaxis(x, self.axis, 0)
        mean, sum_of_squares = self.welford(along) if self.mean == "welford" else self.merged(along)
        variance = sum_of_squares / self.dtype(len(along))
        return np.expand_dims(mean, self.axis), np.expand_dims(variance, self.axis)

    def welford(self, along: Array) -> tuple[Array, Array]:
        mean = np.zeros(along.shape[1:], self.dtype)
        squares = np.zeros_like(mean)
        for count, row in enumerate(along, 1):
            before = row - mean
            mean = mean + before / self.dtype(count)
            squares = squares + before * (row - mean)
        return mean, squares

    def merged(self, along: Array) -> tuple[Array, Array]:
        """Both halves by themselves, then put together (Chan, Golub and LeVeque)."""
        if len(along) == 1:
            return along[0], np.zeros_like(along[0])
        half = len(along) // 2
        (mean, squares), (other, others) = self.merged(along[:half]), self.merged(along[half:])
        share = self.dtype(len(along) - half) / self.dtype(len(along))
        apart = other - mean
        weight = self.dtype(half) * share
        return mean + share * apart, squares + others + apart * apart * weight

    def _formula(self, x: Array, mean: Array, _: Array, r: Array, g: Array, __: float) -> Array:
        scaled = (x - mean) * r
        return r * (g - self.average(g) - scaled * self.average(g * scaled))

    def _coefficients(
        self, x: Array, mean: Array, _: Array, r: Array, g: Array, __: float
    ) -> Array:
        """r g + b x + c, as PyTorch's layer norm on a CPU (`layer_norm_kernel.cpp`)."""
        b = (self.average(g) * mean - self.average(g * x)) * r * r * r
        c = -b * mean - self.average(g) * r
        return r * g + b * x + c

    def _reverse(
        self, x: Array, mean: Array, variance: Array, r: Array, g: Array, eps: float
    ) -> Array:
        """Step by step back, as automatic differentiation does."""
        kind, count = self.dtype, self.dtype(x.shape[self.axis])
        deviation = x - mean
        of_r = np.expand_dims(self.total(g * deviation, self.axis), self.axis)
        of_variance = of_r * (kind(-0.5) * r / (variance + kind(eps)))
        of_deviation = g * r
        of_squares = kind(2) * deviation * (of_variance / count)
        of_mean = -np.expand_dims(self.total(of_deviation + of_squares, self.axis), self.axis)
        return of_deviation + of_squares + of_mean / count
