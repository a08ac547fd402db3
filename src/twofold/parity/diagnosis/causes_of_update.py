"""Known differences of gradients and optimizers."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from twofold.parity.diagnosis.cause import Cause, ChangeMoment, each_moment, settings, with_values
from twofold.parity.ladder.reference import Moment
from twofold.parity.oracle.adam import BiasCorrections, standard_corrections
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded, exact, scale, subtract
from twofold.parity.oracle.network import LossAndGradients
from twofold.parity.oracle.optimizers import BoundedState, Variant, update
from twofold.problem.problem import Problem
from twofold.spec.experiment import (
    Adam,
    AdamW,
    Constant,
    Experiment,
    Exponential,
    Schedule,
    Sgd,
    StepDecay,
)
from twofold.spec.model import numbered


def of_gradients(experiment: Experiment) -> Iterator[Cause]:
    """Differences of the gradients that leave the loss alone."""
    yield each_moment("gradients added to those before (no zero_grad)", _gradients_times(2.0))
    layers = numbered(experiment.model)
    for each in layers:
        bias = each.named("bias")
        if bias in each.parameter_shapes:
            words = f"the bias of layer {each.number} gets no gradient"
            yield each_moment(words, _without_gradients(partial(operator.eq, bias)))
    below: set[str] = set()
    for before, each in itertools.pairwise(layers):
        below |= set(before.parameter_shapes)
        words = f"no gradient flows below layer {each.number}"
        yield each_moment(words, _without_gradients(frozenset(below).__contains__))


def of_optimizer(experiment: Experiment) -> Iterator[Cause]:
    """Differences of the step that leave the gradients alone."""
    optimizer = experiment.optimizer
    for decay in {0.0, 1e-4, 1e-2, 5e-2} - {optimizer.weight_decay}:
        yield settings(f"weight decay {decay:g}", optimizer__weight_decay=decay)
    for factor in (0.1, 0.5, 0.999, 1.001, 2.0, 10.0):
        rate = factor * optimizer.learning_rate
        yield settings(f"learning rate {rate:g}", optimizer__learning_rate=rate)
    if optimizer.clip_norm is not None:
        yield settings("the gradients are not clipped", optimizer__clip_norm=None)
    if optimizer.schedule.kind != "constant":
        yield settings("the learning rate has no schedule", optimizer__schedule=Constant())
    for words, schedule in _other_schedules(optimizer.schedule):
        yield settings(words, optimizer__schedule=schedule)
    if optimizer.weight_decay > 0 and optimizer.decay_biases:
        yield settings("biases do not decay", optimizer__decay_biases=False)
    if optimizer.weight_decay > 0 and not optimizer.decay_biases:
        yield settings("biases decay as well", optimizer__decay_biases=True)
    yield each_moment("the update applied twice", _updated_twice)
    if isinstance(optimizer, Sgd):
        yield from _of_sgd(optimizer)
    else:
        yield from _of_adam(optimizer)


def _other_schedules(schedule: Schedule) -> Iterator[tuple[str, Schedule]]:
    """The same words with another framework's meaning or default."""
    if schedule.kind == "exponential" and schedule.transition_steps > 1:
        each = schedule.model_copy(update={"transition_steps": 1})
        yield "the whole decay rate at each step", each
        staircase = StepDecay(**schedule.model_dump(exclude={"kind"}))
        yield "a staircase in place of the exponential", staircase
    if schedule.kind == "step":
        smooth = Exponential(**schedule.model_dump(exclude={"kind"}))
        yield "the exponential in place of a staircase", smooth
    if schedule.kind == "warmup_cosine" and schedule.start_fraction > 0:
        yield "the warm-up starts at zero", schedule.model_copy(update={"start_fraction": 0.0})
    if schedule.kind == "linear" and schedule.start_fraction != 1 / 3:
        third = schedule.model_copy(update={"start_fraction": 1 / 3})
        yield "the line starts at 1/3, PyTorch's default", third


def _of_sgd(optimizer: Sgd) -> Iterator[Cause]:
    if optimizer.momentum > 0:
        words = "without Nesterov momentum" if optimizer.nesterov else "with Nesterov momentum"
        yield settings(words, optimizer__nesterov=not optimizer.nesterov)
        damping = 1.0 - optimizer.momentum
        yield each_moment("momentum dampened as much as it decays", _gradients_times(damping))
        yield each_moment("momentum dampened by 0.1", _gradients_times(0.9))


def _of_adam(optimizer: Adam | AdamW) -> Iterator[Cause]:
    for factor in (0.1, 10.0, 100.0):
        eps = factor * optimizer.eps
        yield settings(f"eps {eps:g}", optimizer__eps=eps)
    yield each_moment("eps inside the root", _eps_inside_root)
    yield each_moment("no bias correction", _corrected(lambda *_: _no_correction()))
    yield each_moment("the step in the bias correction is one ahead", _corrected(_count_ahead))
    for betas in {(0.9, 0.99), (0.9, 0.95), (0.9, 0.999)} - {optimizer.betas}:
        yield settings(f"betas {betas}", optimizer__betas=betas)
    other: type[Adam] | type[AdamW] = Adam if optimizer.kind == "adamw" else AdamW
    words = {"adam": "L2 in place of decoupled decay", "adamw": "decoupled in place of L2 decay"}
    swapped = other(**optimizer.model_dump(exclude={"kind"}))
    if optimizer.weight_decay > 0:
        yield settings(words[swapped.kind], optimizer=swapped)
    if optimizer.kind == "adamw" and optimizer.weight_decay > 0:
        yield each_moment("decay of the updated parameter", _decay_after_update)


def _gradients_times(factor: float) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        gradients = {
            name: scale(gradient, factor, 1, arithmetic)
            for name, gradient in given.training.gradients.items()
        }
        return _after_gradients(given, problem, gradients, arithmetic)

    return change


def _without_gradients(absent: Callable[[str], bool]) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        gradients = {
            name: exact(np.zeros_like(gradient.value), arithmetic) if absent(name) else gradient
            for name, gradient in given.training.gradients.items()
        }
        return _after_gradients(given, problem, gradients, arithmetic)

    return change


def _after_gradients(
    given: Moment, problem: Problem, gradients: dict[str, Bounded], arithmetic: Arithmetic
) -> Moment:
    training: LossAndGradients = replace(given.training, gradients=gradients)
    after = update(problem.experiment, given.state, gradients, arithmetic)
    return replace(given, training=training, after=after)


def _corrected(
    corrections_of: Callable[[Adam | AdamW, int, Arithmetic], BiasCorrections],
) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        optimizer = problem.experiment.optimizer
        assert not isinstance(optimizer, Sgd)
        variant = Variant(corrections_of(optimizer, given.state.step + 1, arithmetic))
        gradients = given.training.gradients
        after = update(problem.experiment, given.state, gradients, arithmetic, variant)
        return replace(given, after=after)

    return change


def _no_correction() -> BiasCorrections:
    return BiasCorrections(np.asarray(1.0), np.asarray(1.0), 0.0, 0.0)


def _count_ahead(optimizer: Adam | AdamW, step: int, arithmetic: Arithmetic) -> BiasCorrections:
    return standard_corrections(optimizer, step + 1, arithmetic)


def _eps_inside_root(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    """sqrt(v / c + eps): a second moment larger by c eps before the step, and no eps after."""
    optimizer = problem.experiment.optimizer
    assert not isinstance(optimizer, Sgd)
    step = given.state.step + 1
    more = float(standard_corrections(optimizer, step, arithmetic).second) * optimizer.eps
    kind = arithmetic.oracle_dtype
    beta = optimizer.betas[1]
    slots = {
        slot: {
            name: a.astype(kind) + more / beta if slot == "second_moment" else a
            for name, a in arrays.items()
        }
        for slot, arrays in given.state.slots.items()
    }
    state = replace(given.state, slots=slots)
    bare = with_values(problem.experiment, {"optimizer__eps": 1e-300})
    after = update(bare, state, given.training.gradients, arithmetic)
    return replace(given, after=BoundedState(after.parameters, given.after.slots))


def _without_decay(given: Moment, problem: Problem, arithmetic: Arithmetic) -> BoundedState:
    plain = with_values(problem.experiment, {"optimizer__weight_decay": 0.0})
    return update(plain, given.state, given.training.gradients, arithmetic)


def _decay_after_update(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    optimizer = problem.experiment.optimizer
    plain = _without_decay(given, problem, arithmetic)
    shrink = 1.0 - optimizer.learning_rate * optimizer.weight_decay
    parameters = {n: scale(a, shrink, 3, arithmetic) for n, a in plain.parameters.items()}
    return replace(given, after=BoundedState(parameters, given.after.slots))


def _updated_twice(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    del problem
    before = given.state.parameters
    parameters = {
        name: subtract(
            scale(after, 2.0, 0, arithmetic), exact(before[name], arithmetic), arithmetic
        )
        for name, after in given.after.parameters.items()
    }
    return replace(given, after=BoundedState(parameters, given.after.slots))
