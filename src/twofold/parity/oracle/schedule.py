"""The learning rate of a step, with a bound on how a framework may evaluate it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.problem.state import Array
from twofold.spec.experiment import Optimizer

# A schedule evaluated in the engine's precision, in units roundoff of the peak rate: the argument
# of the cosine is off by three roundings (times at most pi / 2), the cosine by two ulps, halved,
# and four roundings follow.
SCHEDULE_ROUNDINGS: Final = 16


@dataclass(frozen=True)
class BoundedRate:
    """A learning rate in the oracle's dtype, shape (), and how far an engine's may be off."""

    value: Array
    bound: float

    @property
    def reach(self) -> float:
        """The largest that an engine's rate may be."""
        return float(self.value) + self.bound


def learning_rate(optimizer: Optimizer, step: int, arithmetic: Arithmetic) -> BoundedRate:
    """The rate of the step that follows `step` steps: see the spec's `WarmupCosine`."""
    kind = arithmetic.oracle_dtype.type
    peak = kind(optimizer.learning_rate)
    schedule = optimizer.schedule
    if schedule.kind == "constant":
        return BoundedRate(np.asarray(peak), 0.0)
    if step < schedule.warmup_steps:
        factor = kind(step) / kind(schedule.warmup_steps)
    else:
        length = schedule.decay_steps - schedule.warmup_steps
        progress = kind(min(step - schedule.warmup_steps, length)) / kind(length)
        pi = 4 * np.arctan(kind(1))
        floor = kind(schedule.final_fraction)
        factor = floor + (1 - floor) * (1 + np.cos(pi * progress)) / 2
    return BoundedRate(
        np.asarray(peak * factor), arithmetic.gamma(SCHEDULE_ROUNDINGS) * float(peak)
    )
