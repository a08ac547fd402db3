"""Several training steps seen by the oracle from one state, with bounds that go through them all.

Nothing is known of the states in between but what follows from the first one: every step starts
from parameters and slots that carry the bounds of the step before. These grow, by what a step
makes of an error in its parameters; the values are those of exact arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded, Given
from twofold.parity.oracle.layers.batch_norm import buffers_after
from twofold.parity.oracle.network import LossAndGradients, loss_and_gradients
from twofold.parity.oracle.optimizers import (
    FORMULA,
    BoundedState,
    Variant,
    following,
    starting_from,
    update,
)
from twofold.problem.problem import Problem, batch_at, dropout_masks
from twofold.problem.state import TrainState

VariantAt = Callable[[int], Variant]
"""How the optimizer departs from the formula at a step, counted from 1 as Adam counts."""


@dataclass(frozen=True)
class Trajectory:
    """The loss of each step, shape () each, and the state and the buffers after the last one."""

    losses: tuple[Bounded, ...]
    after: BoundedState
    buffers: Mapping[str, Bounded]


def as_formula(_: int) -> Variant:
    """No departure at any step."""
    return FORMULA


@np.errstate(all="ignore")  # beyond the range a bound is infinite or NaN
def trajectory(
    problem: Problem,
    state: TrainState,
    steps: int,
    arithmetic: Arithmetic,
    variant_at: VariantAt = as_formula,
) -> Trajectory:
    """What `steps` training steps, one or more, must make of a state on the problem's own batches.

    After the first step the bounds are those of `training_step`; it is the same arithmetic.
    """
    experiment = problem.experiment
    before = starting_from(experiment, state, arithmetic)
    losses: list[Bounded] = []
    for step in range(state.step, state.step + steps):
        batch = batch_at(problem, step)
        masks = dropout_masks(problem, step, batch.rows)
        training = loss_and_gradients(experiment, before, batch, masks, arithmetic)
        losses.append(training.loss)
        variant = variant_at(step + 1)
        after = update(experiment, before, training.gradients, arithmetic, variant)
        buffers = buffers_with(variant, problem, before.buffers, training, arithmetic)
        before = following(experiment, before, after, buffers, arithmetic)
    return Trajectory(tuple(losses), after, before.buffers)


def buffers_with(
    variant: Variant,
    problem: Problem,
    before: Given,
    training: LossAndGradients,
    arithmetic: Arithmetic,
) -> Mapping[str, Bounded]:
    """The buffers after a step whose framework departs from the formula, or does not."""
    if not variant.biased_running_variance:
        return training.buffers
    seen = training.statistics
    return buffers_after(problem.layers, before, seen, arithmetic, biased_variance=True)
