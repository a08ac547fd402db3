"""A trained model at work: a session that holds its weights, in either framework."""

from __future__ import annotations

import numpy as np

from twofold.engines.registry import open_session
from twofold.engines.session import Session
from twofold.errors import DataError
from twofold.problem import metrics
from twofold.problem.problem import Batch, Problem, slot_names
from twofold.problem.state import Array, TrainState, fresh_state
from twofold.runs.model_file import Model


def open_model(model: Model, engine: str) -> Session:
    """A session with a model's weights in an engine; its training rows are zeros, never used.

    Raises DataError where the weights do not fit the model that the file describes, and what
    `open_session` raises.
    """
    session = open_session(problem_of(model), engine)
    session.load_state(state_of(model))
    return session


def state_of(model: Model) -> TrainState:
    """The weights of a model as a train state, its slots zero."""
    weights = model.state
    return fresh_state(weights.parameters, slot_names(model.experiment), weights.buffers)


def problem_of(model: Model) -> Problem:
    """The problem of a model without its data: its rows are zeros.

    A problem has training rows; a session needs one batch of them to be opened. Raises DataError.
    """
    experiment = model.experiment
    sizes = experiment.model.in_features, experiment.model.out_features
    if sizes[0] is None or sizes[1] is None:
        raise DataError("model: its experiment has no feature counts; train it again")
    rows, dtype = experiment.data.batch_size, np.dtype(experiment.parameter_dtype)
    labels = experiment.loss.kind == "cross_entropy"
    targets = np.zeros(rows, np.int64) if labels else np.zeros((rows, sizes[1]), dtype)
    inputs = np.zeros((rows, sizes[0]), dtype)
    return Problem(
        experiment, Batch(inputs, targets), Batch(inputs[:0], targets[:0]), model.description
    )


def metric(model: Model, logits: Array, targets: Array) -> tuple[metrics.MetricName, float]:
    """The metric of the model's loss on logits (rows, out_features) and their targets.

    Raises DataError where it has no value.
    """
    loss = model.experiment.loss.kind
    reason = metrics.why_no_score(loss, targets)
    if reason is not None:
        raise DataError(f"no score: {reason}")
    return metrics.METRIC_OF_LOSS[loss], metrics.metric_of(loss, logits, targets)
