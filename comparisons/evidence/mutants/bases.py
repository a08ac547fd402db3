"""The small correct experiments that bugs are planted in, and what the oracle says of them."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from twofold.parity.ladder.reference import Reference, build_reference
from twofold.problem.problem import Batch, Problem
from twofold.spec.experiment import (
    Adam,
    AdamW,
    BceWithLogits,
    CrossEntropy,
    Data,
    Experiment,
    Mlp,
    Mse,
    Precision,
    Sgd,
    WarmupCosine,
)

ROWS: Final = 22  # in batches of 8: the last one is partial
BATCH: Final = 8

# Two square hidden layers, so that a transposed weight raises no error.
_CLASSES = Experiment(
    name="classes",
    device="cpu",
    model=Mlp(in_features=8, hidden=(8, 8), out_features=3, activation="gelu", dropout=0.25),
    loss=CrossEntropy(),
    optimizer=AdamW(),
    data=Data(batch_size=BATCH),
)
EXPERIMENTS: Final = {
    "classes": _CLASSES,
    "classes, relu": _CLASSES.with_values(name="classes, relu", model__activation="relu"),
    "classes, gelu_tanh": _CLASSES.with_values(model__activation="gelu_tanh"),
    "classes, silu": _CLASSES.with_values(model__activation="silu"),
    "classes, adam": _CLASSES.model_copy(
        update={"optimizer": Adam(weight_decay=1e-2), "name": "classes, adam"}
    ),
    "classes, smoothed": _CLASSES.with_values(name="classes, smoothed", loss__label_smoothing=0.1),
    "classes, scheduled": _CLASSES.model_copy(
        update={
            "optimizer": AdamW(
                schedule=WarmupCosine(warmup_steps=2, decay_steps=9, final_fraction=0.1),
                clip_norm=0.5,
            ),
            "name": "classes, scheduled",
        }
    ),
    "classes, in parts": _CLASSES.with_values(  # of 3, 3 and 2 rows, the last batch's of 2
        name="classes, in parts", training__micro_batches=3
    ),
    "outputs": Experiment(
        name="outputs",
        device="cpu",
        model=Mlp(in_features=8, hidden=(8, 8), out_features=2, activation="tanh", dropout=0.25),
        loss=Mse(),
        optimizer=Sgd(learning_rate=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
        data=Data(batch_size=BATCH),
    ),
    "outputs, momentum": Experiment(
        name="outputs, momentum",
        device="cpu",
        model=Mlp(in_features=8, hidden=(8, 8), out_features=2, activation="tanh"),
        loss=Mse(),
        optimizer=Sgd(learning_rate=0.05, momentum=0.9, weight_decay=1e-3),
        data=Data(batch_size=BATCH),
    ),
    "binary": Experiment(
        name="binary",
        device="cpu",
        model=Mlp(in_features=8, hidden=(8, 8), out_features=2, activation="relu"),
        loss=BceWithLogits(),
        optimizer=Adam(weight_decay=1e-2),
        data=Data(batch_size=BATCH),
    ),
}
# The same, with inputs large enough to reach what saturates, caps and guards change.
LARGE: Final = 20.0
LARGE_INPUTS: Final = {"classes, relu", "binary"}


def problem(base: str, precision: Precision) -> Problem:
    """The base's problem: random rows that are the same in both precisions."""
    experiment = EXPERIMENTS[base].model_copy(update={"precision": precision})
    random = np.random.default_rng(20)
    return Problem(experiment, _rows(random, experiment, ROWS), _rows(random, experiment, 5))


def _rows(random: np.random.Generator, experiment: Experiment, rows: int) -> Batch:
    model, kind = experiment.model, experiment.loss.kind
    assert model.in_features is not None
    assert model.out_features is not None
    # Features of unequal sizes make some logits large.
    sizes = np.linspace(0.5, 6.0, model.in_features)
    if experiment.name in LARGE_INPUTS:
        sizes = LARGE * sizes
    inputs = (random.standard_normal((rows, model.in_features)) * sizes).astype(np.float32)
    inputs = inputs.astype(experiment.parameter_dtype)
    if kind == "cross_entropy":
        return Batch(inputs, random.integers(0, model.out_features, rows))
    targets = random.standard_normal((rows, model.out_features)).astype(np.float32)
    if kind == "bce_with_logits":
        targets = (targets > 0).astype(np.float32)
    return Batch(inputs, targets.astype(experiment.parameter_dtype))


@cache
def reference(base: str, precision: Precision) -> Reference:
    """The oracle of a base, computed once."""
    return build_reference(problem(base, precision))
