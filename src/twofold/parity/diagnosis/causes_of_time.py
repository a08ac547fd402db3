"""Known differences of a step's place in time: another step's batch, masks, rate or slots.

The first steps may well be right with these; step-locked training and the warm step meet them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from twofold.parity.diagnosis.cause import Cause, ChangeMoment, each_moment, settings
from twofold.parity.ladder.reference import Moment
from twofold.parity.oracle.adam import standard_corrections
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import exact
from twofold.parity.oracle.network import loss_and_gradients
from twofold.parity.oracle.optimizers import BoundedState, Variant, update
from twofold.problem.problem import Batch, Problem, batch_at, dropout_masks, slot_names
from twofold.problem.state import Array, TrainState
from twofold.spec.experiment import Experiment, Sgd
from twofold.spec.model import dropouts

OtherStep = Callable[[int], int]
SHIFTS: Final[dict[str, OtherStep]] = {
    "the step before": lambda step: max(step - 1, 0),
    "the step after": lambda step: step + 1,
    "the first step": lambda _: 0,
}


def of_time(experiment: Experiment) -> Iterator[Cause]:
    """What one step may take from another, and what it may forget."""
    for words, other in SHIFTS.items():
        yield each_moment(f"the batch of {words}", _batch_of(other))
    yield each_moment("the batches of the first epoch again (no new order)", _batch_of_first_epoch)
    data = experiment.data
    words = "the rows are not shuffled" if data.shuffle else "the rows are shuffled"
    yield settings(words, data__shuffle=not data.shuffle)
    words = "the last batch is kept" if data.drop_last else "the last batch is dropped"
    yield each_moment(words, _batch_with_drop_last(not data.drop_last))
    yield from of_masks(experiment)
    if experiment.optimizer.schedule.kind != "constant":
        for words, other in SHIFTS.items():
            yield each_moment(f"the learning rate of {words}", _rate_of(other))
        yield each_moment("the schedule counts epochs for steps", _rate_of_epoch)
    if not isinstance(experiment.optimizer, Sgd):
        for words in ("the step before", "the first step"):  # that of the step after: of_adam
            yield each_moment(f"the bias correction of {words}", _corrections_of(SHIFTS[words]))
    slots = slot_names(experiment)
    if slots:
        words = "the optimizer is a new one (its slots and its count start again)"
        yield each_moment(words, _new_optimizer)
    for slot in slots:
        name = slot.replace("_", " ")
        yield each_moment(f"the {name} is forgotten before the step", _forgotten_before({slot}))
        yield each_moment(f"the {name} is zero after the step", _slot_after(slot, np.zeros_like))
        yield each_moment(f"the {name} stays as it was", _slot_after(slot, lambda array: array))


def of_masks(experiment: Experiment) -> Iterator[Cause]:
    """Another step's dropout masks."""
    if dropouts(experiment.model):
        for words, other in SHIFTS.items():
            yield each_moment(f"the dropout masks of {words}", _masks_of(other))


def _again(given: Moment, problem: Problem, batch: Batch, masks_at: int, a: Arithmetic) -> Moment:
    """The moment's training step on another batch or with the masks of another step."""
    experiment = problem.experiment
    masks = dropout_masks(problem, masks_at, batch.rows)
    training = loss_and_gradients(experiment, given.state, batch, masks, a)
    after = update(experiment, given.state, training.gradients, a)
    return replace(given, training=training, after=after)


def _batch_of(other: OtherStep) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        step = given.state.step
        return _again(given, problem, batch_at(problem, other(step)), step, arithmetic)

    return change


def _batch_of_first_epoch(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    place = given.state.step % problem.steps_per_epoch
    return _again(given, problem, batch_at(problem, place), given.state.step, arithmetic)


def _batch_with_drop_last(drop_last: bool) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        data = problem.experiment.data.model_copy(update={"drop_last": drop_last})
        fed = replace(problem, experiment=problem.experiment.model_copy(update={"data": data}))
        batch = batch_at(fed, given.state.step)
        return _again(given, problem, batch, given.state.step, arithmetic)

    return change


def _masks_of(other: OtherStep) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        return _again(given, problem, given.batch, other(given.state.step), arithmetic)

    return change


def _rate_of(other: OtherStep) -> ChangeMoment:
    """The schedule at another step, the bias corrections at the moment's own."""

    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        optimizer, step = problem.experiment.optimizer, given.state.step
        variant = Variant()
        if not isinstance(optimizer, Sgd):
            variant = Variant(standard_corrections(optimizer, step + 1, arithmetic))
        state = replace(given.state, step=other(step))
        gradients = given.training.gradients
        after = update(problem.experiment, state, gradients, arithmetic, variant)
        return replace(given, after=after)

    return change


def _rate_of_epoch(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    counted = _rate_of(lambda step: step // problem.steps_per_epoch)
    return counted(given, problem, arithmetic)


def _corrections_of(other: OtherStep) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        optimizer = problem.experiment.optimizer
        assert not isinstance(optimizer, Sgd)
        step = other(given.state.step) + 1
        variant = Variant(standard_corrections(optimizer, step, arithmetic))
        gradients = given.training.gradients
        after = update(problem.experiment, given.state, gradients, arithmetic, variant)
        return replace(given, after=after)

    return change


def _forgotten_before(forgotten: set[str]) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        gradients = given.training.gradients
        state = _without(given.state, forgotten)
        return replace(given, after=update(problem.experiment, state, gradients, arithmetic))

    return change


def _without(state: TrainState, forgotten: set[str]) -> TrainState:
    slots = {
        slot: {name: array * (slot not in forgotten) for name, array in arrays.items()}
        for slot, arrays in state.slots.items()
    }
    return replace(state, slots=slots)


def _new_optimizer(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    """No slots, and Adam's bias correction of a first step."""
    optimizer = problem.experiment.optimizer
    variant = Variant()
    if not isinstance(optimizer, Sgd):
        variant = Variant(standard_corrections(optimizer, 1, arithmetic))
    state = _without(given.state, set(given.state.slots))
    gradients = given.training.gradients
    return replace(given, after=update(problem.experiment, state, gradients, arithmetic, variant))


def _slot_after(slot: str, value_of: Callable[[Array], Array]) -> ChangeMoment:
    """A slot that the step leaves with a value that follows from the one before."""

    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        del problem
        left = {n: exact(value_of(a), arithmetic) for n, a in given.state.slots[slot].items()}
        slots = {**given.after.slots, slot: left}
        return replace(given, after=BoundedState(given.after.parameters, slots))

    return change
