"""A learnable task without a file: standard normal inputs and targets from a random teacher."""

from __future__ import annotations

from typing import Final

import numpy as np

from twofold.problem.state import Array
from twofold.spec import threefry
from twofold.spec.experiment import Experiment

ROWS: Final = 10_000
IN_FEATURES: Final = 20
CLASSES: Final = 3
TEACHER_UNITS: Final = 16
NOISE: Final = 0.1


def synthetic(experiment: Experiment) -> tuple[Array, Array]:
    """Inputs (rows, in_features) and targets of the experiment's loss, float64 or int64 labels.

    A teacher gives each output a score: a linear part, a tanh layer, and noise. cross_entropy gets
    the highest score's index as label (rows,), bce_with_logits whether each score is above zero
    (rows, out_features), mse and huber the scores themselves (rows, out_features).
    """
    model, loss = experiment.model, experiment.loss.kind
    rows = experiment.data.rows or ROWS
    in_features = model.in_features or IN_FEATURES
    out_features = model.out_features or (CLASSES if loss == "cross_entropy" else 1)
    key = threefry.stream_key(experiment.seed, threefry.SYNTHETIC_DATA)
    inputs = threefry.normal(threefry.fold_in(key, 0), (rows, in_features))
    scores = _teacher_scores(threefry.fold_in(key, 1), inputs, out_features)
    if loss == "cross_entropy":
        return inputs, np.argmax(scores, axis=1).astype(np.int64)
    if loss == "bce_with_logits":
        return inputs, (scores > 0).astype(np.float64)
    return inputs, scores


def _teacher_scores(key: threefry.Key, inputs: Array, out_features: int) -> Array:
    """Scores (rows, out_features), each with a variance near 1."""
    rows, in_features = inputs.shape
    into = threefry.normal(threefry.fold_in(key, 0), (in_features, TEACHER_UNITS))
    out = threefry.normal(threefry.fold_in(key, 1), (TEACHER_UNITS, out_features))
    linear = threefry.normal(threefry.fold_in(key, 2), (in_features, out_features))
    noise = threefry.normal(threefry.fold_in(key, 3), (rows, out_features))
    bent = np.tanh(inputs @ into / np.sqrt(in_features)) @ out / np.sqrt(TEACHER_UNITS)
    return np.asarray(inputs @ linear / np.sqrt(in_features) + bent + NOISE * noise)
