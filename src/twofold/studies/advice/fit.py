"""Least squares with coefficients of at least zero, and what a smooth correction adds to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from twofold.studies.advice.workload import Vector

SWEEPS: Final = 2000
NOISE: Final = 0.05
"""Spread of a measured step time, as a share of it, that no model is asked to explain."""
UNKNOWN: Final = 0.3
"""What is added to the spread where there are hardly any points; nothing from ENOUGH on."""
ENOUGH: Final = 8
REACH: Final = 4.0
"""Distance in a `Space` over which one workload says something about another: about that of two
that were drawn at random, since the space has seven dimensions."""


def non_negative_fit(terms: Vector, times: Vector, prior: Vector, pull: float) -> Vector:
    """Coefficients c >= 0 that make terms @ c close to the times, as a share of each.

    Minimises the sum of ((terms @ c - times) / times)^2 + pull (s (c - prior))^2, where s brings
    the terms to one scale: where points are fewer than terms, the prior decides the rest. Solved
    by coordinate descent, which converges since the problem is convex (Tseng, 2001).
    """
    relative = terms / times[:, None]  # (points, terms)
    scale = np.maximum(np.abs(relative).mean(axis=0), 1e-300)
    design = relative / scale
    gram = design.T @ design + pull * np.eye(len(scale))
    target = design.sum(axis=0) + pull * prior * scale
    found = np.zeros(len(scale))
    for _ in range(SWEEPS):
        before = found.copy()
        for index in range(len(found)):
            rest = target[index] - gram[index] @ found + gram[index, index] * found[index]
            found[index] = max(0.0, rest / gram[index, index])
        if np.abs(found - before).max() <= 1e-10 * (1 + np.abs(found).max()):
            break
    return np.asarray(found / scale)


@dataclass(frozen=True)
class Correction:
    """What points say beyond the model: logarithms of measured over modelled time, smoothed.

    A Gaussian process with a squared exponential kernel (Rasmussen and Williams, 2006, ch. 2).
    `spread` is the root mean square of what is left when each point is predicted from the others.
    """

    places: Vector  # (points, coordinates)
    weights: Vector  # (points,)
    size: float
    spread: float

    def at(self, place: Vector) -> float:
        """The correction of the logarithm of a time; towards 0 far from all points."""
        return float(self.size**2 * closeness(place[None], self.places)[0] @ self.weights)


def correction_of(places: Vector, residuals: Vector) -> Correction:
    """Smooth the residuals of some points."""
    size = max(float(np.sqrt(np.mean(residuals**2))), NOISE)
    kernel = size**2 * closeness(places, places) + NOISE**2 * np.eye(len(residuals))
    inverse = np.linalg.inv(kernel)
    weights = inverse @ residuals
    left_out = weights / np.diag(inverse)  # each point's error when it is left out (ch. 5.4.2)
    spread = float(np.sqrt(np.mean(left_out**2)))
    few = 1 + 2 / len(residuals)  # coefficients were fitted to the same points
    floor = NOISE + UNKNOWN * max(0.0, 1 - len(residuals) / ENOUGH)
    return Correction(places, weights, size, max(spread * few, floor))


def closeness(some: Vector, others: Vector) -> Vector:
    """How much each of some places says about each of others: 1 for the same, towards 0."""
    distance = ((some[:, None, :] - others[None, :, :]) ** 2).sum(axis=-1)
    return np.asarray(np.exp(-distance / (2 * REACH**2)))
