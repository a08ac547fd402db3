"""Arrays that carry a bound on what an engine's value may differ by, and the operations on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from twofold.parity.oracle.arithmetic import Arithmetic, FloatArray
from twofold.problem.state import Array


@dataclass(frozen=True)
class Bounded:
    """`value` in the oracle's dtype; `bound`, float64 of the same shape, on |computed - value|."""

    value: Array
    bound: FloatArray

    @property
    def reach(self) -> FloatArray:
        """The largest magnitude that an engine's value may have: |value| + bound, float64."""
        return magnitude(self.value) + self.bound

    def transposed(self) -> Bounded:
        """The same numbers with the two axes exchanged."""
        return Bounded(self.value.T, self.bound.T)


def magnitude(value: Array) -> FloatArray:
    """|value| as float64; a non-zero value stays non-zero however small it is."""
    absolute = np.abs(value).astype(np.float64)
    tiny = np.finfo(np.float64).smallest_normal
    return np.where((value != 0) & (absolute < tiny), tiny, absolute)


def exact(value: Array, arithmetic: Arithmetic) -> Bounded:
    """A given array: the engine holds exactly these numbers."""
    return Bounded(value.astype(arithmetic.oracle_dtype), np.zeros(value.shape))


Given = Mapping[str, Array | Bounded]
"""Named arrays as an engine holds them: exactly these numbers, or numbers within bounds."""


def as_bounded(array: Array | Bounded, arithmetic: Arithmetic) -> Bounded:
    """What carries a bound already, or a given array with none."""
    return array if isinstance(array, Bounded) else exact(array, arithmetic)


def narrowed(array: Array | Bounded, arithmetic: Arithmetic) -> Bounded:
    """A given array as a layer reads it: in mixed precision cast to bfloat16.

    A compiler may leave the cast out (XLA: `xla_allow_excess_precision`), so the array itself is
    the value, and what the cast changes the bound. Of a number known within a bound alone the cast
    may be off by bfloat16's roundoff.
    """
    given = as_bounded(array, arithmetic)
    if arithmetic.stored_roundoff == 0.0:
        return given
    cast = to_bfloat16(given.value).astype(np.float64)
    anywhere = given.bound + arithmetic.stored_roundoff * given.reach
    changed = np.where(given.bound == 0, np.abs(cast - given.value), anywhere)
    return Bounded(given.value, changed + underflow(given.reach, 1, arithmetic))


def to_bfloat16(value: Array) -> Array:
    """Float32 numbers rounded to the nearest bfloat16, ties to even, still as float32.

    A bfloat16 is the upper half of a float32; adding just under half of its last place, and one
    more where it is odd, carries where the lower half rounds up.
    """
    bits = np.ascontiguousarray(value, np.float32).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    nearest = (bits + np.uint32(0x7FFF) + odd) & np.uint32(0xFFFF0000)
    return np.asarray(np.where(np.isfinite(value), nearest.view(np.float32), value))


def stored(array: Bounded, arithmetic: Arithmetic) -> Bounded:
    """What a layer writes down: in mixed precision rounded to bfloat16."""
    if arithmetic.stored_roundoff == 0.0:
        return array
    written = rounded(array.value, array.bound, 1, arithmetic.layers)
    beyond = ~(written.reach <= arithmetic.layers.largest)
    return Bounded(written.value, np.where(beyond, np.inf, written.bound))


def rounded(value: Array, bound: FloatArray, roundings: float, arithmetic: Arithmetic) -> Bounded:
    """A value with an inherited bound that was rounded `roundings` times on the way."""
    size = magnitude(value) + bound
    # Two more for operands that are subnormal themselves, which XLA reads as zero.
    own = arithmetic.gamma(roundings) * size + underflow(size, roundings + 2, arithmetic)
    return Bounded(value, bound + own)


def underflow(size: FloatArray, operations: float, arithmetic: Arithmetic) -> FloatArray:
    """What flushing subnormal results to zero may add; nothing where everything is exactly zero."""
    return np.where(size > 0, operations * arithmetic.smallest_normal, 0.0)


def matmul(left: Bounded, right: Bounded, arithmetic: Arithmetic) -> Bounded:
    """Matrix product (m, k) x (k, n) in any order of summation.

    |fl(AB) - AB| <= gamma_k |A||B| for what the engine multiplies (Higham, section 3.5), plus
    |A| dB + dA (|B| + dB) for what its operands may be off by. Every partial sum is at most
    |A||B|; where that exceeds the engine's range, a sum may become infinite on the way and nothing
    is known.
    """
    length = left.value.shape[1]
    value = left.value @ right.value  # (m, n)
    left_reach, right_reach = left.reach, right.reach
    spread = left_reach @ right_reach
    known = spread <= arithmetic.largest
    bound = np.where(known, arithmetic.gamma(length) * spread, np.inf)
    if right.bound.any():
        bound = bound + magnitude(left.value) @ right.bound
    if left.bound.any():
        bound = bound + left.bound @ right_reach
    return Bounded(value, bound + _product_underflow(left_reach, right_reach, arithmetic))


def _product_underflow(left: FloatArray, right: FloatArray, arithmetic: Arithmetic) -> FloatArray:
    """Flushed products, partial sums and subnormal operands of a matrix product."""
    products = (left > 0).astype(np.float64) @ (right > 0).astype(np.float64)
    operands = left.sum(axis=1)[:, None] + right.sum(axis=0)[None, :]
    flushed = 2.0 * products + operands
    return np.where(products > 0, arithmetic.smallest_normal * flushed, 0.0)


def affine(
    inputs: Bounded, weight: Bounded, bias: Bounded | None, arithmetic: Arithmetic
) -> Bounded:
    """A linear layer, x W^T + b: (batch, in), (out, in), (out,) -> (batch, out).

    A sum of in + 1 terms, each with at most in + 1 roundings: gamma_{in+1} (|x||W|^T + |b|). Both
    frameworks sum products of bfloat16 in float32; the product may be stored before the bias is
    added (Flax) or not (PyTorch).
    """
    product = matmul(inputs, weight.transposed(), arithmetic)
    if bias is None:
        return stored(product, arithmetic)
    length = inputs.value.shape[1]
    step = arithmetic.gamma(length + 1) - arithmetic.gamma(length)
    spread = inputs.reach @ weight.reach.T  # (batch, out)
    bound = product.bound + step * spread + arithmetic.gamma(length + 1) * bias.reach + bias.bound
    bound = np.maximum(bound, stored(product, arithmetic).bound + bias.bound)
    return stored(Bounded(product.value + bias.value, bound), arithmetic)


def multiply(left: Bounded, right: Bounded, arithmetic: Arithmetic) -> Bounded:
    """Elementwise product, rounded once."""
    bound = magnitude(left.value) * right.bound + left.bound * right.reach
    return rounded(left.value * right.value, bound, 1, arithmetic)


def scale(
    array: Bounded, factor: float | Array, roundings: float, arithmetic: Arithmetic
) -> Bounded:
    """Product with a coefficient that stands in the code; its own rounding is in `roundings`."""
    factor_array = np.asarray(factor, dtype=arithmetic.oracle_dtype)
    bound = array.bound * magnitude(factor_array)
    return rounded(array.value * factor_array, bound, roundings, arithmetic)


def add(left: Bounded, right: Bounded, arithmetic: Arithmetic) -> Bounded:
    """Elementwise sum, rounded once."""
    return rounded(left.value + right.value, left.bound + right.bound, 1, arithmetic)


def subtract(left: Bounded, right: Bounded, arithmetic: Arithmetic) -> Bounded:
    """Elementwise difference, rounded once."""
    return rounded(left.value - right.value, left.bound + right.bound, 1, arithmetic)


def total(array: Bounded, axis: int | None, arithmetic: Arithmetic) -> Bounded:
    """Sum over one axis, or over all, in any order: n - 1 roundings of the sum of magnitudes."""
    reach = array.reach
    terms = array.value.size if axis is None else array.value.shape[axis]
    own = arithmetic.sum_error(max(terms - 1, 0)) * reach.sum(axis=axis)
    flushed = underflow(reach.sum(axis=axis), terms, arithmetic)
    return Bounded(
        np.asarray(array.value.sum(axis=axis)),
        np.asarray(array.bound.sum(axis=axis) + own + flushed),
    )


def within(found: Bounded, allowed: Bounded) -> Bounded:
    """What is known to lie in both intervals: `found` moved into `allowed`, with its own bound.

    The projection onto an interval brings nothing in it further away.
    """
    low, high = allowed.value - allowed.bound, allowed.value + allowed.bound
    return Bounded(np.clip(found.value, low, high), np.minimum(found.bound, 2.0 * allowed.bound))


def mean(array: Bounded, arithmetic: Arithmetic) -> Bounded:
    """Mean over all elements: a sum, then a division or a product with a rounded reciprocal."""
    share = np.asarray(arithmetic.oracle_dtype.type(1) / array.value.size)
    return scale(total(array, None, arithmetic), share, 2, arithmetic)
