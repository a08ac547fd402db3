"""The learning rate of a step, with a bound on how a framework may evaluate it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, assert_never

import numpy as np

from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.problem.state import Array
from twofold.spec.experiment import Optimizer
from twofold.spec.schedules import Schedule, WarmupCosine

# A schedule evaluated in the engine's precision, in units roundoff of the peak rate: the argument
# of the cosine is off by three roundings (times at most pi / 2), the cosine by two ulps, halved,
# and four roundings follow. A straight line and the product with a power need fewer.
SCHEDULE_ROUNDINGS: Final = 16
POWER_ULPS: Final = 4  # 0.5, JAX float32 and float64 (tests/parity/oracle/test_schedules.py)
CHAINED_ROUNDINGS: Final = 4
"""Of a step of PyTorch's own schedules, which multiply the rate of the step before, in Python's
float64 (PyTorch 2.13, `torch/optim/lr_scheduler.py`)."""
FLOAT64_ROUNDOFF: Final = float(np.finfo(np.float64).eps) / 2


@dataclass(frozen=True)
class BoundedRate:
    """A learning rate in the oracle's dtype, shape (), and how far an engine's may be off."""

    value: Array
    bound: float

    @property
    def reach(self) -> float:
        """The largest that an engine's rate may be."""
        return float(self.value) + self.bound


@dataclass(frozen=True)
class _Factor:
    """What the peak rate is multiplied by, and how far it may be off in the engine's precision."""

    value: Array
    bound: float


def learning_rate(optimizer: Optimizer, step: int, arithmetic: Arithmetic) -> BoundedRate:
    """The rate of the step that follows `step` steps: see `twofold.spec.schedules`."""
    peak = arithmetic.oracle_dtype.type(optimizer.learning_rate)
    schedule = optimizer.schedule
    if schedule.kind == "constant":
        return BoundedRate(np.asarray(peak), 0.0)
    factor = _factor(schedule, step, arithmetic)
    own = arithmetic.gamma(SCHEDULE_ROUNDINGS) * float(peak)
    # No schedule leaves the range from zero to the peak but by rounding.
    most = max(float(factor.value), 1.0 - float(factor.value))
    off = min(factor.bound, most) * float(peak)
    return BoundedRate(np.asarray(peak * factor.value), own + off)


def _factor(schedule: Schedule, step: int, arithmetic: Arithmetic) -> _Factor:
    kind = arithmetic.oracle_dtype.type
    match schedule.kind:
        case "constant":
            return _Factor(np.asarray(kind(1)), 0.0)
        case "linear":
            start, final = kind(schedule.start_fraction), kind(schedule.final_fraction)
            length = schedule.transition_steps
            progress = kind(min(step, length)) / kind(length)
            value = np.asarray(start + (final - start) * progress)
            return _Factor(value, _chained(min(step, length)))
        case "step":
            drops = step // schedule.transition_steps
            power = _power(schedule.decay_rate, np.asarray(kind(drops)), arithmetic)
            return _Factor(power.value, power.bound + _chained(drops))
        case "exponential":
            times = np.asarray(kind(step) / kind(schedule.transition_steps))
            power = _power(schedule.decay_rate, times, arithmetic)
            return _Factor(power.value, power.bound + _chained(step))
        case "warmup_cosine":
            return _Factor(_warmup_cosine(schedule, step, arithmetic), 0.0)
        case _:
            assert_never(schedule.kind)


def _power(base: float, exponent: Array, arithmetic: Arithmetic) -> _Factor:
    """base^exponent with 0 < base <= 1, of a base and an exponent that are rounded themselves.

    A base off by one unit roundoff makes the power off by `exponent` of them, an exponent off by
    two by twice |log power|.
    """
    kind = arithmetic.oracle_dtype.type
    value = np.asarray(np.power(kind(base), exponent))
    times = float(exponent)
    roundings = times + 2.0 * times * abs(math.log(base)) + 2.0 * POWER_ULPS
    relative = arithmetic.gamma(roundings)
    off = math.expm1(relative) * float(value) if relative < 1.0 else 1.0
    return _Factor(value, off + arithmetic.smallest_normal)


def _chained(times: int) -> float:
    """What a chain of so many products in float64 may add, as a share of the peak rate."""
    return CHAINED_ROUNDINGS * times * FLOAT64_ROUNDOFF


def _warmup_cosine(schedule: WarmupCosine, step: int, arithmetic: Arithmetic) -> Array:
    kind = arithmetic.oracle_dtype.type
    if step < schedule.warmup_steps:
        start = kind(schedule.start_fraction)
        return np.asarray(start + (1 - start) * kind(step) / kind(schedule.warmup_steps))
    length = schedule.decay_steps - schedule.warmup_steps
    progress = kind(min(step - schedule.warmup_steps, length)) / kind(length)
    pi = 4 * np.arctan(kind(1))
    floor = kind(schedule.final_fraction)
    return np.asarray(floor + (1 - floor) * (1 + np.cos(pi * progress)) / 2)
