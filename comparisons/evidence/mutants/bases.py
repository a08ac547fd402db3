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
    Exponential,
    Huber,
    Linear,
    Mlp,
    Mse,
    Precision,
    Schedule,
    Sgd,
    StepDecay,
    WarmupCosine,
)
from twofold.spec.layers import linear
from twofold.spec.layers.activation import Activation
from twofold.spec.layers.batch_norm import BatchNorm
from twofold.spec.layers.layer_norm import LayerNorm
from twofold.spec.layers.residual import Residual
from twofold.spec.layers.sequence import Layer
from twofold.spec.model import Norm, Sequential, embedding_of

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
CLASS_WEIGHTS: Final = (0.25, 1.0, 3.0)
POS_WEIGHT: Final = (0.5, 4.0)
CATEGORIES: Final = (9, 2)
MANY_CATEGORIES: Final = (999,)


def _classes(name: str, **values: object) -> Experiment:
    return _CLASSES.with_values(name=name, **values)


def _scheduled(name: str, schedule: Schedule) -> Experiment:
    return _CLASSES.model_copy(update={"optimizer": AdamW(schedule=schedule), "name": name})


def _normed(norm: Norm) -> Experiment:
    """One hidden layer and no dropout: each layer more makes the float32 bounds wider."""
    model = Mlp(in_features=8, hidden=(8,), out_features=3, activation="gelu", norm=norm)
    return _CLASSES.model_copy(update={"model": model, "name": f"classes, {norm}"})


def _of_texts(name: str, categories: tuple[int, ...]) -> Experiment:
    """The last columns are texts; one hidden layer and no dropout."""
    model = Mlp(
        in_features=8,
        hidden=(8,),
        out_features=3,
        activation="gelu",
        embedding_features=4,
        categories=categories,
    )
    return _CLASSES.model_copy(update={"model": model, "name": name})


def _of_layers(name: str, layers: list[Layer]) -> Experiment:
    """The layers, then a linear one."""
    model = Sequential(in_features=8, out_features=3, layers=(*layers, linear.Linear()))
    return _CLASSES.model_copy(update={"model": model, "name": name})


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
    "classes, leaky_relu": _classes("classes, leaky_relu", model__activation="leaky_relu"),
    "classes, elu": _classes("classes, elu", model__activation="elu"),
    "classes, weighted": _classes("classes, weighted", loss__class_weights=CLASS_WEIGHTS),
    "classes, weighted and smoothed": _classes(
        "classes, weighted and smoothed",
        loss__class_weights=CLASS_WEIGHTS,
        loss__label_smoothing=0.1,
    ),
    "classes, weighted, in parts": _classes(
        "classes, weighted, in parts",
        loss__class_weights=CLASS_WEIGHTS,
        training__micro_batches=3,
    ),
    "classes, biases do not decay": _classes(
        "classes, biases do not decay", optimizer__decay_biases=False
    ),
    "classes, linear": _scheduled(
        "classes, linear", Linear(transition_steps=5, start_fraction=0.2, final_fraction=0.8)
    ),
    "classes, step": _scheduled("classes, step", StepDecay(transition_steps=2, decay_rate=0.5)),
    "classes, exponential": _scheduled(
        "classes, exponential", Exponential(transition_steps=3, decay_rate=0.5)
    ),
    "classes, from a start": _scheduled(
        "classes, from a start", WarmupCosine(warmup_steps=3, decay_steps=9, start_fraction=0.25)
    ),
    "classes, lecun_normal": _classes(
        "classes, lecun_normal", model__init="lecun_normal", model__bias_init="zeros"
    ),
    "classes, he_normal": _classes(
        "classes, he_normal", model__init="he_normal", model__bias_init="zeros"
    ),
    "classes, glorot_uniform": _classes("classes, glorot_uniform", model__init="glorot_uniform"),
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
    "classes, layer_norm": _normed("layer_norm"),
    "classes, batch_norm": _normed("batch_norm"),
    "classes, far from zero": _of_layers("classes, far from zero", [BatchNorm()]),
    "classes, residual": _of_layers(
        "classes, residual",
        [
            Residual(
                layers=(LayerNorm(), linear.Linear(out_features=8), Activation(function="gelu")),
            ),
            Residual(layers=(linear.Linear(out_features=8), Activation(function="tanh"))),
        ],
    ),
    "classes, texts": _of_texts("classes, texts", CATEGORIES),
    "classes, many texts": _of_texts("classes, many texts", MANY_CATEGORIES),
    "outputs, huber": Experiment(
        name="outputs, huber",
        device="cpu",
        model=Mlp(in_features=8, hidden=(8, 8), out_features=2, activation="tanh"),
        loss=Huber(delta=0.5),
        optimizer=Sgd(learning_rate=0.05, momentum=0.9, weight_decay=0.1, decay_biases=False),
        data=Data(batch_size=BATCH),
    ),
    "binary, weighted": Experiment(
        name="binary, weighted",
        device="cpu",
        model=Mlp(in_features=8, hidden=(8, 8), out_features=2, activation="relu"),
        loss=BceWithLogits(pos_weight=POS_WEIGHT),
        optimizer=Adam(weight_decay=1e-2),
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
# Small inputs, so that what is added to a variance of 1e-3 or less shows in float32.
SMALL: Final = 0.02
SMALL_INPUTS: Final = {"classes, layer_norm", "classes, batch_norm", "classes, residual"}
FAR: Final = 1e3  # deviations from zero
FAR_INPUTS: Final = {"classes, far from zero"}
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
    if experiment.name in SMALL_INPUTS:
        sizes = SMALL * sizes
    inputs = random.standard_normal((rows, model.in_features))
    if experiment.name in FAR_INPUTS:
        inputs = inputs + FAR
    inputs = (inputs * sizes).astype(np.float32)
    embedding = embedding_of(model)
    if embedding is not None:  # rows of other texts too
        firsts, ends = embedding.first_rows[:-1], embedding.first_rows[1:]
        texts = random.integers(firsts, ends, (rows, len(ends)))
        inputs[:, embedding.numbers(model.in_features) :] = texts
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
