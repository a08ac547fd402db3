"""Learnable tasks without a file: random inputs and targets from a random teacher."""

from __future__ import annotations

from typing import Final

import numpy as np

from twofold.problem.state import Array
from twofold.problem.table import Table
from twofold.spec import threefry
from twofold.spec.experiment import Experiment

ROWS: Final = 10_000
IN_FEATURES: Final = 20
CLASSES: Final = 3
TEACHER_UNITS: Final = 16
NOISE: Final = 0.1
NUMBERS: Final = ("x0", "x1", "x2", "x3")
TEXTS: Final = {"shape": 4, "colour": 12, "place": 200}
"""The columns of the table with texts: those of numbers, and those of texts with how many."""
EFFECTS: Final = 2


def synthetic(experiment: Experiment) -> tuple[Array, Array]:
    """Inputs (rows, in_features) and targets of the experiment's loss, float64 or int64 labels.

    A teacher gives each output a score: a linear part, a tanh layer, and noise. cross_entropy gets
    the highest score's index as label (rows,), bce_with_logits whether each score is above zero
    (rows, out_features), mse and huber the scores themselves (rows, out_features).
    """
    rows = experiment.data.rows or ROWS
    in_features = experiment.model.in_features or IN_FEATURES
    key = threefry.stream_key(experiment.seed, threefry.SYNTHETIC_DATA)
    inputs = threefry.normal(threefry.fold_in(key, 0), (rows, in_features))
    return inputs, _targets(experiment, threefry.fold_in(key, 1), inputs)


def synthetic_categories(experiment: Experiment, where: str) -> Table:
    """A table with columns of texts: the k-th of n texts is drawn with probability
    log(1 + 1/k) / log(n + 1), so that some of the rare ones are in test rows alone.

    The teacher is that of `synthetic`. It sees the numbers, and for each text EFFECTS numbers that
    are drawn once.
    """
    rows = experiment.data.rows or ROWS
    key = threefry.stream_key(experiment.seed, threefry.SYNTHETIC_DATA, len(TEXTS))
    columns = [threefry.normal(threefry.fold_in(key, 0), (rows, len(NUMBERS)))]
    seen, texts = list(columns), {}
    for index, (name, count) in enumerate(TEXTS.items(), len(NUMBERS)):
        own = threefry.fold_in(key, index)
        uniform = threefry.uniform(threefry.fold_in(own, 0), (rows,))
        drawn = ((count + 1) ** uniform).astype(np.int64) - 1  # 0 to count - 1
        effects = threefry.normal(threefry.fold_in(own, 1), (count, EFFECTS))
        found, places = np.unique(drawn, return_inverse=True)
        columns.append(places[:, None].astype(np.float64))
        seen.append(effects[drawn])
        texts[index] = tuple(f"{name} {number:03d}" for number in found.tolist())
    targets = _targets(experiment, threefry.fold_in(key, 1), np.hstack(seen))
    outputs = targets.reshape(rows, -1).shape[1]
    names = ("target",) if outputs == 1 else tuple(f"target {n}" for n in range(outputs))
    return Table(
        where,
        np.hstack(columns),
        targets,
        columns=(*NUMBERS, *TEXTS, *names),
        classes=experiment.model.out_features or CLASSES,
        texts=texts,
    )


def _targets(experiment: Experiment, key: threefry.Key, inputs: Array) -> Array:
    """What the teacher makes of inputs, as the experiment's loss wants it."""
    loss = experiment.loss.kind
    out_features = experiment.model.out_features or (CLASSES if loss == "cross_entropy" else 1)
    scores = _teacher_scores(key, inputs, out_features)
    if loss == "cross_entropy":
        return np.asarray(np.argmax(scores, axis=1).astype(np.int64))
    return (scores > 0).astype(np.float64) if loss == "bce_with_logits" else scores


def _teacher_scores(key: threefry.Key, inputs: Array, out_features: int) -> Array:
    """Scores (rows, out_features), each with a variance near 1."""
    rows, in_features = inputs.shape
    into = threefry.normal(threefry.fold_in(key, 0), (in_features, TEACHER_UNITS))
    out = threefry.normal(threefry.fold_in(key, 1), (TEACHER_UNITS, out_features))
    linear = threefry.normal(threefry.fold_in(key, 2), (in_features, out_features))
    noise = threefry.normal(threefry.fold_in(key, 3), (rows, out_features))
    bent = np.tanh(inputs @ into / np.sqrt(in_features)) @ out / np.sqrt(TEACHER_UNITS)
    return np.asarray(inputs @ linear / np.sqrt(in_features) + bent + NOISE * noise)
