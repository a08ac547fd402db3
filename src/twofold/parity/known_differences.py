"""Models of known differences: the oracle evaluated the way a framework is known to do it.

A difference is `explained` only if the model accounts for every element within the ordinary
bound; no bound is widened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from twofold.backends import KnownDifference
from twofold.experiment import Adam, AdamW, Sgd
from twofold.oracle.arithmetic import Arithmetic
from twofold.oracle.optimizers import BiasCorrections, update
from twofold.parity.comparison import Comparison, compare
from twofold.parity.reference import Moment
from twofold.parity.verdict import Explanation
from twofold.problem import Problem
from twofold.state import Array

# A float32 power may be this many units in the last place off; each candidate is tried as the one
# number that the whole state must fit.
POWER_ULPS: Final = 3


@dataclass(frozen=True)
class Explained:
    """A comparison that holds under a model, and the words for it."""

    comparison: Comparison
    explanation: Explanation


def explain_update(
    difference: KnownDifference,
    problem: Problem,
    moment: Moment,
    computed: dict[str, Array],
    failed: Comparison,
    arithmetic: Arithmetic,
) -> Explained | None:
    """Whether the parameters after a step fit the model of bias correction in low precision."""
    optimizer = problem.experiment.optimizer
    if isinstance(optimizer, Sgd):
        return None
    step = moment.state.step + 1
    for corrections in candidate_corrections(optimizer, step, arithmetic):
        after = update(
            problem.experiment, moment.state, moment.training.gradients, arithmetic, corrections
        )
        comparison = compare(computed, after.parameters, arithmetic)
        if comparison.within:
            words = _explanation(difference, optimizer, step, corrections, failed, arithmetic)
            return Explained(comparison, words)
    return None


def candidate_corrections(
    optimizer: Adam | AdamW, step: int, arithmetic: Arithmetic
) -> Iterator[BiasCorrections]:
    """1 - beta^step evaluated in the engine's dtype, the likeliest roundings of the power first.

    After the first step the power is beta itself, exact in any arithmetic.
    """
    ulps = 0 if step == 1 else POWER_ULPS
    offsets = sorted(
        ((i, j) for i in range(-ulps, ulps + 1) for j in range(-ulps, ulps + 1)),
        key=lambda pair: abs(pair[0]) + abs(pair[1]),
    )
    firsts, seconds = (
        {n: _low_precision_correction(beta, step, n, arithmetic) for n in range(-ulps, ulps + 1)}
        for beta in optimizer.betas
    )
    for first, second in offsets:
        if firsts[first] > 0 and seconds[second] > 0:
            yield BiasCorrections(firsts[first], seconds[second], 0.0, 0.0)


def _low_precision_correction(beta: float, step: int, ulps: int, arithmetic: Arithmetic) -> Array:
    """fl(1 - power) with the power `ulps` units in the last place from its rounded value."""
    kind = arithmetic.dtype.type
    wide = arithmetic.oracle_dtype.type
    power = kind(wide(kind(beta)) ** step)
    for _ in range(abs(ulps)):
        power = np.nextafter(power, kind(np.inf if ulps > 0 else -np.inf))
    return np.asarray(wide(kind(1) - power))


def _explanation(
    difference: KnownDifference,
    optimizer: Adam | AdamW,
    step: int,
    corrections: BiasCorrections,
    failed: Comparison,
    arithmetic: Arithmetic,
) -> Explanation:
    wide = arithmetic.oracle_dtype.type
    exact = [wide(1) - wide(beta) ** step for beta in optimizer.betas]
    off = [
        float(used / true - 1)
        for used, true in zip((corrections.first, corrections.second), exact, strict=True)
    ]
    update_off = abs(float(np.sqrt(1 + off[1]) / (1 + off[0]) - 1))
    size = (
        f"at step {step}, 1 - beta2^t is off by {abs(off[1]):.1e} relative, "
        f"1 - beta1^t by {abs(off[0]):.1e}, the update by {update_off:.1e}"
    )
    return Explanation(
        cause=difference.cause,
        source=difference.source,
        size=size,
        consequence=difference.consequence,
        ratio_without=failed.worst_ratio,
    )
