"""Known differences of the loss: what is summed, what is averaged, what is applied twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from twofold.parity.diagnosis.cause import Cause, ChangeMoment, each_moment, settings
from twofold.parity.diagnosis.causes_of_layers import without_dropout
from twofold.parity.ladder.reference import Moment
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded, scale
from twofold.parity.oracle.losses import evaluate_loss
from twofold.problem.problem import Problem
from twofold.spec.experiment import Experiment
from twofold.spec.losses import Huber, Loss, row_weights
from twofold.spec.model import dropouts


def of_loss(experiment: Experiment) -> Iterator[Cause]:
    """Differences of the loss that leave the logits alone."""
    kind = experiment.loss.kind
    yield from _of_weights(experiment.loss)
    if experiment.loss.kind == "huber":
        yield from _of_huber(experiment.loss)
    if kind == "mse":
        yield each_moment("a factor one half in the squared error", _loss_times(lambda *_: 0.5))
    yield each_moment("a sum over the batch for the mean", _loss_times(lambda rows, _: float(rows)))
    if kind == "cross_entropy":
        yield each_moment("softmax applied twice", _softmax_twice)
        yield each_moment("labels shifted by one", _labels_shifted)
        if experiment.loss.kind == "cross_entropy":
            for smoothing in {0.0, 0.01, 0.1} - {experiment.loss.label_smoothing}:
                yield settings(f"label smoothing {smoothing}", loss__label_smoothing=smoothing)
        words = "a mean over batch and classes"
        yield each_moment(words, _loss_times(lambda _, outputs: 1.0 / outputs))
    else:
        yield each_moment(
            "a sum over batch and outputs for the mean",
            _loss_times(lambda rows, outputs: float(rows * outputs)),
        )
        yield each_moment(
            "a mean over the batch alone", _loss_times(lambda _, outputs: float(outputs))
        )
    if dropouts(experiment.model):
        yield without_dropout(experiment)


def _of_weights(loss: Loss) -> Iterator[Cause]:
    """Differences of class weights and of the weight of positives."""
    if loss.kind == "bce_with_logits" and loss.pos_weight is not None:
        yield settings("no weight of positives", loss__pos_weight=None)
    if loss.kind == "cross_entropy" and loss.class_weights is not None:
        yield settings("no class weights", loss__class_weights=None)
        words = "weighted losses divided by the number of rows, not by the sum of their weights"
        yield each_moment(words, _divided_by_rows)


def _of_huber(loss: Huber) -> Iterator[Cause]:
    """Differences of Huber's loss."""
    if loss.delta != 1.0:
        words = "smooth L1 in place of Huber's loss (divided by delta)"
        yield each_moment(words, _loss_times(lambda *_: 1.0 / loss.delta))
        yield settings("a delta of 1", loss__delta=1.0)
    yield each_moment("no factor one half in Huber's loss", _loss_times(lambda *_: 2.0))


def _divided_by_rows(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    weights = row_weights(problem.experiment.loss, given.batch.targets)
    assert weights is not None  # asked for where there are some
    mean_weight = float(weights.mean())
    return _loss_times(lambda *_: mean_weight)(given, problem, arithmetic)


def _loss_times(factor_of: Callable[[int, int], float]) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        factor = factor_of(given.batch.rows, problem.out_features)
        loss = scale(given.training.loss, factor, 1, arithmetic)
        evaluation = scale(given.evaluation_loss, factor, 1, arithmetic)
        return replace(
            given, evaluation_loss=evaluation, training=replace(given.training, loss=loss)
        )

    return change


def _softmax_twice(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    def loss_of(logits: Bounded) -> Bounded:
        shifted = logits.value - logits.value.max(axis=1, keepdims=True)
        p = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        spread = 2.0 * logits.bound.max() + arithmetic.gamma(2.0 * p.shape[1] + 40.0)
        taken = Bounded(p, np.full(p.shape, spread))
        targets = given.batch.targets
        return evaluate_loss(problem.experiment.loss, taken, targets, arithmetic).loss

    training = replace(given.training, loss=loss_of(given.training.logits))
    return replace(given, evaluation_loss=loss_of(given.evaluation_logits), training=training)


def _labels_shifted(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    shifted = (given.batch.targets + 1) % problem.out_features

    def loss_of(logits: Bounded) -> Bounded:
        return evaluate_loss(problem.experiment.loss, logits, shifted, arithmetic).loss

    training = replace(given.training, loss=loss_of(given.training.logits))
    return replace(given, evaluation_loss=loss_of(given.evaluation_logits), training=training)
