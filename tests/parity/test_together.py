"""The step of many seeds is certified seed by seed, and a bug planted in it is caught."""

from __future__ import annotations

import importlib
import itertools
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from twofold import Experiment, prepare
from twofold.errors import ParityDiverges
from twofold.parity.ladder.many_seeds import TogetherCertificate, certify_together
from twofold.problem.problem import Problem
from twofold.studies.outcome import measure

BACKENDS = ("torch", "flax")
SEEDS = (3, 4, 5)
SCHEDULE = {"kind": "warmup_cosine", "warmup_steps": 2, "decay_steps": 9}
EXPERIMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("diabetes", {}),
    "adam, masks": ("breast-cancer", {}),
    "adam, weighted": (
        "breast-cancer",
        {"model__dropout": 0.0, "loss": {"kind": "bce_with_logits", "pos_weight": [3.0]}},
    ),
    "adamw, every option": (
        "digits",
        {
            "model__hidden": [12],
            "model__dropout": 0.0,
            "model__activation": "elu",
            "loss__class_weights": [float(place + 1) for place in range(10)],
            "optimizer__decay_biases": False,
            "optimizer__weight_decay": 1.0,
            "optimizer__schedule": {"kind": "step", "transition_steps": 2, "decay_rate": 0.5},
        },
    ),
    "adam, schedule": ("breast-cancer", {"model__dropout": 0.0, "optimizer__schedule": SCHEDULE}),
}


def problem_of(name: str, **values: Any) -> Problem:
    """With the draws that `twofold outcome` asks for."""
    spec, own = EXPERIMENTS[name]
    return prepare(Experiment.load(spec).with_values(rng="native", **own, **values))


def seeds_module(backend: str) -> Any:
    return importlib.import_module(
        {"torch": "twofold_torch.seeds", "flax": "twofold_jax.seeds"}[backend]
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_first_steps_of_every_seed_are_certified(name: str, backend: str, precision: str) -> None:
    problem = problem_of(name, precision=precision)
    certificate = certify_together(problem, SEEDS, backend)
    assert (certificate.seeds, certificate.steps, certificate.judged) == (3, 3, 9)
    assert 0 < certificate.worst_ratio <= 1
    assert certificate.shared_masks == ("masks" in name)
    assert certificate.words.startswith("first 3 steps of 3 seeds certified: ")
    copies = 2 if name == "sgd" else 3  # parameters and slots
    model = problem.experiment.model
    widths = (problem.in_features, *model.hidden, problem.out_features)
    numbers = sum((fan_in + 1) * out for fan_in, out in itertools.pairwise(widths))
    assert certificate.elements == 9 * (copies * numbers + 1)


def test_seeds_of_which_nothing_could_have_failed_are_not_said_to_be_certified() -> None:
    found = TogetherCertificate(3, 3, 9, 90, 0.0, 0, False, silence="every exact value is zero")
    assert found.words == (
        "not certified, for nothing could have failed: every exact value is zero"
    )


def batches_of_first_seed(backend: str) -> AbstractContextManager[Any]:
    module = seeds_module(backend)
    original = module.batch_indices

    def indices(problem: Problem, step: int) -> Any:
        first = problem.experiment.model_copy(update={"seed": SEEDS[0]})
        return original(replace(problem, experiment=first), step)

    return patch.object(module, "batch_indices", indices)


def masks_of_first_seed(backend: str) -> AbstractContextManager[Any]:
    where, name = {
        "torch": ("twofold_torch.seeds", "dropout_keys"),
        "flax": ("twofold_jax.program", "dropout_key"),
    }[backend]
    module = importlib.import_module(where)
    original = getattr(module, name)
    return patch.object(module, name, lambda _, *rest: original(SEEDS[0], *rest))


def mean_over_seeds(_: str) -> AbstractContextManager[Any]:
    """Gradients of `losses.mean()`: the losses are right, each seed's gradient a third."""
    owner = seeds_module("torch").TorchSeeds
    original = owner._loss_of

    def loss_of(self: Any, *given: Any) -> Any:
        loss = original(self, *given)
        third = loss / len(SEEDS)
        return third + (loss - third).detach()

    return patch.object(owner, "_loss_of", loss_of)


def slots_not_carried(_: str) -> AbstractContextManager[Any]:
    """The step returns the optimizer's state that it was given."""
    module = seeds_module("flax")
    original = module._train_step

    def train_step(program: Any, state: Any, *given: Any) -> Any:
        after, loss = original(program, state, *given)
        return after._replace(optimizer=state.optimizer), loss

    return patch.object(module, "_train_step", train_step)


@pytest.mark.parametrize(
    ("plant", "backend", "name", "told"),
    [
        (batches_of_first_seed, "torch", "sgd", "seed 4, step 1"),
        (batches_of_first_seed, "flax", "sgd", "seed 4, step 1"),
        (masks_of_first_seed, "torch", "adam, masks", "seed 4, step 1"),
        (masks_of_first_seed, "flax", "adam, masks", "seed 4, step 1"),
        (mean_over_seeds, "torch", "sgd", "seed 3, step 1"),
        (slots_not_carried, "flax", "sgd", "seed 3, step 1"),
    ],
)
def test_a_planted_bug_is_refused(plant: Any, backend: str, name: str, told: str) -> None:
    problem = problem_of(name)
    with plant(backend), pytest.raises(ParityDiverges, match=f"^{told}.*by the oracle.*one by one"):
        certify_together(problem, SEEDS, backend)


def test_the_outcome_is_refused_before_training_and_tells_what_was_certified() -> None:
    experiment = Experiment.load("diabetes").with_values(training__epochs=1)
    for sample in measure(experiment, seeds=2, together=True).samples:
        assert sample.certified is not None
        assert sample.certified.startswith("first 3 steps of 2 seeds certified")
    assert all(each.certified is None for each in measure(experiment, seeds=2).samples)
    with mean_over_seeds("torch"), pytest.raises(ParityDiverges, match="seed 0, step 1"):
        measure(experiment, seeds=2, together=True)


def test_steps_that_leave_the_range_are_not_called_certified() -> None:
    problem = problem_of("sgd", optimizer__learning_rate=1e30)
    certificate = certify_together(problem, SEEDS, "torch")
    assert 0 < certificate.judged < 9
    assert f"where they stay in range ({certificate.judged} of 9)" in certificate.words
    none = TogetherCertificate(3, 3, 0, 0, 0.0, 0, shared_masks=False)
    assert none.words.startswith("not certified")


def test_seeds_draw_masks_of_their_own_where_those_cannot_be_read() -> None:
    """The same seed twice: the same values and rows, other masks of `nn.Dropout`."""
    together = seeds_module("torch").TorchSeeds([problem_of("adam, masks")] * 2)
    first, second = together.run(1)[0]
    assert first != second
