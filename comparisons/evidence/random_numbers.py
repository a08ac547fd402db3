"""Random numbers of every size."""

from __future__ import annotations

import numpy as np


def count(random: np.random.Generator, low: int, high: int) -> int:
    """A whole number, uniform in its logarithm; the ends are as likely as any decade."""
    if random.random() < 0.1:
        return int(random.choice([low, high]))
    return int(np.floor(np.exp(random.uniform(np.log(low), np.log(high + 1)))))


def real(random: np.random.Generator, low: float, high: float) -> float:
    """A number that is uniform in its logarithm."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))
