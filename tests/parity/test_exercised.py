"""What an experiment asks for and no judged step could show is listed; what acts is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from twofold import Experiment, prepare
from twofold.parity.ladder.exercised import not_exercised, options
from twofold.parity.ladder.reference import build_reference
from twofold.problem.problem import Batch, Problem

ONE = {"model__out_features": 1}


def small(**changes: Any) -> Experiment:
    return Experiment(name="small").with_values(
        **{
            "model__hidden": [6],
            "model__activation": "tanh",
            "data__rows": 60,
            "data__batch_size": 16,
            **changes,
        }
    )


def listed(experiment: Experiment | Problem, steps: int = 4) -> str:
    problem = prepare(experiment) if isinstance(experiment, Experiment) else experiment
    return "\n".join(not_exercised([build_reference(problem)], steps))


@pytest.mark.parametrize(
    "name", ["digits", "breast-cancer", "diabetes", "lesson", "tabular-categories"]
)
def test_all_that_a_built_in_experiment_asks_for_is_exercised(name: str) -> None:
    assert listed(Experiment.load(name), steps=2) == ""


def test_nothing_is_said_of_what_was_not_asked_for() -> None:
    plain = small(optimizer__kind="sgd", optimizer__weight_decay=0.0, model__activation="identity")
    assert list(options(plain)) == []
    assert listed(plain) == ""


@pytest.mark.parametrize(
    ("idle", "acting", "words"),
    [
        ({"optimizer__clip_norm": 1e3}, {"optimizer__clip_norm": 1e-2}, "optimizer.clip_norm"),
        ({"model__dropout": 1e-9}, {"model__dropout": 0.2}, "model.dropout"),
        ({"optimizer__weight_decay": 1e-9}, {"optimizer__weight_decay": 0.1}, "weight_decay"),
        ({"optimizer__eps": 1e-30}, {"optimizer__eps": 1e-4}, "optimizer.eps"),
        (
            {"loss__label_smoothing": 1e-12},
            {"loss__label_smoothing": 0.1},
            "loss.label_smoothing",
        ),
        (
            {"loss__class_weights": [1.0] * 3, "model__out_features": 3},
            {"loss__class_weights": [1.0, 2.0, 3.0], "model__out_features": 3},
            "loss.class_weights",
        ),
        (
            {"loss__kind": "bce_with_logits", "loss__pos_weight": [1.0], **ONE},
            {"loss__kind": "bce_with_logits", "loss__pos_weight": [3.0], **ONE},
            "loss.pos_weight",
        ),
        (
            {"loss__kind": "huber", "loss__delta": 1e3},
            {"loss__kind": "huber", "loss__delta": 0.1},
            "loss.delta",
        ),
        (
            {"optimizer__decay_biases": False, "model__bias": False},
            {"optimizer__decay_biases": False},
            "optimizer.decay_biases",
        ),
        (
            {"optimizer__schedule": {"kind": "warmup_cosine", "decay_steps": 10**8}},
            {"optimizer__schedule": {"kind": "warmup_cosine", "decay_steps": 10}},
            "optimizer.schedule",
        ),
    ],
)
def test_an_option_is_listed_where_it_does_nothing(
    idle: dict[str, Any], acting: dict[str, Any], words: str
) -> None:
    assert words in listed(small(**idle))
    assert words not in listed(small(**acting))


def test_a_clip_that_acts_at_a_later_step_is_exercised() -> None:
    """Where the gradient's norm grows, the limit lies between that of the first and a later one."""
    growing = small(
        loss__kind="mse",
        optimizer__kind="sgd",
        optimizer__weight_decay=0.0,
        optimizer__learning_rate=0.5,
        model__activation="identity",
    )
    problem = prepare(growing)
    from twofold.parity.ladder.exercised import judged_steps

    reference = build_reference(problem)
    norms = [
        float(np.sqrt(sum((g.value**2).sum() for g in step.training.gradients.values())))
        for step in judged_steps(reference, 8)
    ]
    assert max(norms) > 2 * max(norms[:2])
    later = growing.with_values(optimizer__clip_norm=0.9 * max(norms))
    assert "clip_norm" not in listed(later, steps=8)
    never = growing.with_values(optimizer__clip_norm=1.1 * max(norms))
    assert "clipping acts in no judged step" in listed(never, steps=8)


def test_activation_momentum_and_nesterov() -> None:
    sgd = {"optimizer__kind": "sgd", "optimizer__momentum": 0.9, "optimizer__nesterov": True}
    assert listed(small(**sgd)) == ""
    slow = small(**sgd, optimizer__learning_rate=1e-12)  # no step moves a parameter
    assert "optimizer.nesterov" in listed(slow)
    assert "optimizer.momentum" not in listed(slow)  # the slots show it
    relu = prepare(small(model__activation="relu", data__standardize=False))
    positive = {"layers.0.bias": 100.0}
    assert "model.activation" not in listed(relu)
    reference = build_reference(relu)
    state = reference.fresh.state
    lifted = {
        name: np.full_like(array, positive[name]) if name in positive else array
        for name, array in state.parameters.items()
    }
    from twofold.parity.ladder.exercised import _acts
    from twofold.parity.ladder.reference import training_step

    moved = replace(state, parameters=lifted)
    step = training_step(relu, moved, reference.arithmetic)
    option = next(o for o in options(relu.experiment) if o.words.startswith("model.activation"))
    assert not _acts(option, step, reference)
    z = step.batch.inputs @ lifted["layers.0.weight"].T + lifted["layers.0.bias"]
    assert z.min() > 0  # every unit is active: relu is identity there


def test_rows_of_other_texts_that_nothing_reads_are_listed() -> None:
    """All four shapes are in the training rows; no row is the last one of any column."""
    texts = {"data__source": "synthetic-categories", "data__categorical": "embedding"}
    problem = prepare(small(model__embedding_features=3, **texts))
    lasts = np.array(problem.layers[0].layer.first_rows[1:]) - 1  # type: ignore[attr-defined]
    assert "embedding" not in listed(problem)
    inputs = problem.test.inputs.copy()
    inputs[:, 4:] = np.where(inputs[:, 4:] == lasts, lasts - 1, inputs[:, 4:])
    problem = replace(problem, test=Batch(inputs, problem.test.targets))
    assert "embedding: no training row, and none of 12 test rows, reads a row of" in listed(problem)


def test_rows_that_cannot_show_a_fault() -> None:
    problem = prepare(small())
    one = Batch(problem.test.inputs[:1], problem.test.targets[:1])
    assert "1 test row" in listed(replace(problem, test=one))
    single = Batch(problem.train.inputs[:1], problem.train.targets[:1])
    assert "data.shuffle: the order of 1 training rows" in listed(replace(problem, train=single))
    dropping = small(data__drop_last=True, data__test_fraction=0.2)
    assert "data.drop_last: 48 training rows fill every batch" in listed(dropping)
    assert "data.drop_last" not in listed(small(data__drop_last=True, data__test_fraction=0.25))
    adam = small(optimizer__kind="adamw", optimizer__weight_decay=0.0)
    assert "adamw is adam then" in listed(adam)
    flat = prepare(small(loss__kind="mse"))
    same = Batch(flat.test.inputs, np.zeros_like(flat.test.targets))
    assert "R^2 has no value" in listed(replace(flat, test=same))
