"""What the oracle says of a problem: everything the ladder compares with, computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from twofold.parity.judging.comparison import in_range
from twofold.parity.oracle.arithmetic import Arithmetic, arithmetic_for
from twofold.parity.oracle.bounded import Bounded
from twofold.parity.oracle.losses import evaluate_loss
from twofold.parity.oracle.network import LossAndGradients, forward, loss_and_gradients
from twofold.parity.oracle.optimizers import BoundedState, Slots, update
from twofold.problem.problem import Batch, Problem, batch_at, dropout_masks, initial_state
from twofold.problem.state import Array, TrainState
from twofold.spec.layers.normalization import Normalization
from twofold.spec.model import has

WARM_STEPS = 3


@dataclass(frozen=True)
class Moment:
    """One training step seen by the oracle: a given state and what must follow from it.

    `evaluation_logits` and `evaluation_loss` are in evaluation mode, `training` is in training mode
    with the masks of the state's step and holds the buffers one step later, `after` the rest of the
    state then.
    """

    label: str
    state: TrainState
    batch: Batch
    evaluation_logits: Bounded
    evaluation_loss: Bounded
    training: LossAndGradients
    after: BoundedState
    own_slots: Slots | None = None  # the engine's after the step, where it is judged from these


@dataclass(frozen=True)
class Reference:
    """A problem's oracle: from a fresh state, and from a warm one some steps later."""

    problem: Problem
    arithmetic: Arithmetic
    fresh: Moment
    warm: Moment

    @property
    def moments(self) -> tuple[Moment, Moment]:
        """The fresh and the warm moment."""
        return (self.fresh, self.warm)


@dataclass(frozen=True)
class TrainingStep:
    """One training step seen by the oracle, without the evaluation mode of a `Moment`."""

    state: TrainState
    batch: Batch
    training: LossAndGradients
    after: BoundedState
    own_slots: Slots | None = None


Step = TypeVar("Step", Moment, TrainingStep)


def seen_after(seen: Step, problem: Problem, after: TrainState, arithmetic: Arithmetic) -> Step:
    """What a step must have made of a state, given the state that an engine made of it.

    In mixed precision, and through several norms, the bound of a gradient may exceed the gradient,
    so that not even its sign is known: an update from all gradients that are allowed could be
    anything. The optimizer's arithmetic is as exact as ever, though. So it is judged from the
    gradient that the engine's own slots tell. Otherwise, and for SGD without momentum, which has no
    slots, nothing changes.
    """
    model = problem.experiment.model
    wide = arithmetic.stored_roundoff > 0.0 or has(model, Normalization)
    if not wide or not after.slots:
        return seen
    gradients = seen.training.gradients
    expected = update(problem.experiment, seen.state, gradients, arithmetic, own_slots=after.slots)
    return replace(seen, after=expected, own_slots=after.slots)


@np.errstate(over="ignore", invalid="ignore")  # beyond the range a bound is infinite or NaN
def training_step(problem: Problem, state: TrainState, arithmetic: Arithmetic) -> TrainingStep:
    """What one training step must make of a state, on the batch and masks of the state's step."""
    experiment = problem.experiment
    batch = batch_at(problem, state.step)
    masks = dropout_masks(problem, state.step, batch.rows)
    training = loss_and_gradients(experiment, state, batch, masks, arithmetic)
    return TrainingStep(
        state, batch, training, update(experiment, state, training.gradients, arithmetic)
    )


@np.errstate(over="ignore", invalid="ignore")
def moment(label: str, problem: Problem, state: TrainState, arithmetic: Arithmetic) -> Moment:
    """What must follow from a state on the batch of its own step."""
    experiment = problem.experiment
    step = training_step(problem, state, arithmetic)
    logits = forward(experiment, state, step.batch.inputs, None, arithmetic)
    evaluation = evaluate_loss(experiment.loss, logits, step.batch.targets, arithmetic)
    return Moment(label, state, step.batch, logits, evaluation.loss, step.training, step.after)


def build_reference(problem: Problem, processes: int = 1) -> Reference:
    """Run the oracle at the initial state and at a state `WARM_STEPS` steps later.

    Where the training leaves the range before that, at the last state that does not. `processes`
    is the number of those that take the mean over a part of each batch.
    """
    arithmetic = arithmetic_for(problem.experiment.precision, processes)
    fresh = moment("fresh", problem, initial_state(problem), arithmetic)
    warm = replace(fresh, label="warm")
    for _ in range(WARM_STEPS):
        if not is_in_range(warm, arithmetic):
            break
        state = rounded_state(warm, warm.state.step + 1, arithmetic)
        later = moment("warm", problem, state, arithmetic)
        if not is_in_range(later, arithmetic):
            break
        warm = later
    return Reference(problem, arithmetic, fresh, warm)


def is_in_range(seen: Moment | TrainingStep, arithmetic: Arithmetic) -> bool:
    """Whether an engine's numbers can hold what a step gives, from the logits to the state after.

    In mixed precision the bounds of an update may be infinite that are not judged by: there the
    state's values are asked alone.
    """
    parts = [seen.training.logits, seen.training.loss, *seen.training.gradients.values()]
    if isinstance(seen, Moment):
        parts += [seen.evaluation_logits, seen.evaluation_loss]
    after = [
        *seen.training.buffers.values(),
        *seen.after.parameters.values(),
        *seen.after.named_slots.values(),
    ]
    if arithmetic.stored_roundoff > 0:
        after = [Bounded(array.value, np.zeros(array.value.shape)) for array in after]
    return all(in_range(part, arithmetic) for part in (*parts, *after))


def rounded_state(seen: Moment | TrainingStep, step: int, arithmetic: Arithmetic) -> TrainState:
    """The oracle's state after a step rounded to the engine's precision, for an engine."""
    kind = arithmetic.dtype

    def numbers(arrays: Mapping[str, Bounded]) -> dict[str, Array]:
        return {name: array.value.astype(kind) for name, array in arrays.items()}

    slots = {slot: numbers(arrays) for slot, arrays in seen.after.slots.items()}
    return TrainState(numbers(seen.after.parameters), slots, step, numbers(seen.training.buffers))
