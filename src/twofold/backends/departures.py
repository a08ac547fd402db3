"""The ways in which a framework's training step is known to depart from the formula.

Each is a value that the oracle reads, to evaluate a step as the framework does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RoundedCorrections:
    """Adam's bias corrections, 1 - beta^t, are evaluated in the precision of the parameters."""


@dataclass(frozen=True)
class LongerNorm:
    """Gradients are clipped by clip_norm / (norm + eps)."""

    eps: float


@dataclass(frozen=True)
class BiasedRunningVariance:
    """Batch norm's running variance averages the biased variance of the batches."""


Departure = RoundedCorrections | LongerNorm | BiasedRunningVariance


@dataclass(frozen=True)
class KnownDifference:
    """A place where a framework is known to differ from the formula.

    `departure` is what the oracle then computes; a report prints the other fields when every
    element is within its bound with it.
    """

    departure: Departure
    cause: str
    source: str
    consequence: str
