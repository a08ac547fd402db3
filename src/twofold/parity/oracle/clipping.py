"""Gradient clipping by global norm, with bounds (Pascanu, Mikolov, Bengio, ICML 2013)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded, magnitude, rounded

# The square root, the quotient and the product with the gradient, and the limit's own rounding.
SCALING_ROUNDINGS = 5


def clip_by_global_norm(
    gradients: Mapping[str, Bounded], clip_norm: float, eps: float, arithmetic: Arithmetic
) -> dict[str, Bounded]:
    """Gradients times min(1, clip_norm / (|g| + eps)), |g| the 2-norm of all of them together.

    The factor falls as the norm grows, so the ends of the norm's interval bound it. Where the norm
    is certainly below the limit the gradients stay as they are, bit for bit, in both frameworks.
    """
    kind = arithmetic.oracle_dtype.type
    square = sum((np.sum(g.value * g.value) for g in gradients.values()), start=kind(0))
    uncertain = float(_square_bound(gradients, arithmetic))
    if not float(square) + uncertain <= arithmetic.largest:  # infinite in the engine, or NaN
        return {n: Bounded(g.value, np.full(g.bound.shape, np.inf)) for n, g in gradients.items()}
    low = np.sqrt(max(float(square) - uncertain, 0.0))
    high = np.sqrt(float(square) + uncertain)
    if high + eps < clip_norm * (1.0 - arithmetic.gamma(SCALING_ROUNDINGS)):
        return dict(gradients)
    norm = np.sqrt(square) + kind(eps)  # zero where all gradients are, within their bounds
    factor = min(kind(1), kind(clip_norm) / norm) if norm > 0 else kind(1)
    smallest = min(1.0, clip_norm / (high + eps))
    largest = min(1.0, clip_norm / (low + eps)) if low + eps > 0 else 1.0
    spread = max(float(factor) - smallest, largest - float(factor), 0.0)
    return {name: _scaled(g, factor, spread, arithmetic) for name, g in gradients.items()}


def _square_bound(gradients: Mapping[str, Bounded], arithmetic: Arithmetic) -> float:
    """How far an engine's sum of squares may be off: its terms, their sum, flushed squares."""
    elements = sum(int(g.value.size) for g in gradients.values())
    inherited = sum(
        float(((2.0 * magnitude(g.value) + g.bound) * g.bound).sum()) for g in gradients.values()
    )
    squares = sum(float((g.reach**2).sum()) for g in gradients.values())
    flushed = 2.0 * elements * arithmetic.smallest_normal if squares > 0 else 0.0
    return inherited + arithmetic.gamma(elements + 2) * squares + flushed


def _scaled(gradient: Bounded, factor: object, spread: float, arithmetic: Arithmetic) -> Bounded:
    number = np.asarray(factor, dtype=arithmetic.oracle_dtype)
    bound = gradient.bound * (float(number) + spread) + magnitude(gradient.value) * spread
    return rounded(np.asarray(gradient.value * number), bound, SCALING_ROUNDINGS, arithmetic)
