"""Schedules, clipping and label smoothing: certified in both backends, wrong ones caught."""

from __future__ import annotations

from dataclasses import replace

import pytest

from twofold import Experiment, certify
from twofold.backends.installed import backend
from twofold.engines.registry import open_session
from twofold.errors import SpecError
from twofold.parity.ladder.reference import build_reference
from twofold.parity.ladder.rungs import LADDER, Subject
from twofold.problem.data import prepare

ENGINES = ("torch:eager", "flax:op-by-op", "flax:jit")
WARMUP = (
    "optimizer.schedule.kind=warmup_cosine",
    "optimizer.schedule.warmup_steps=2",
    "optimizer.schedule.decay_steps=5",
    "optimizer.schedule.final_fraction=0.1",
)
EVERY_OPTION = (
    "loss.class_weights=[0.1, 0.5, 1, 1, 1, 1, 2, 2, 4, 8]",
    "model.activation=elu",
    "model.init=he_normal",
    "model.bias_init=zeros",
    "optimizer.decay_biases=false",
    "optimizer.weight_decay=0.1",
    "optimizer.schedule.kind=step",
    "optimizer.schedule.transition_steps=2",
)
WEIGHTS = "loss.class_weights=[0.1, 0.5, 1, 1, 1, 1, 2, 2, 4, 8]"
DECAY = ("optimizer.weight_decay=0.1", "optimizer.decay_biases=false")
STEPS = ("optimizer.schedule.kind=step", "optimizer.schedule.transition_steps=1")


@pytest.mark.parametrize(
    "changes",
    [("loss.label_smoothing=0.1", *WARMUP), ("optimizer.clip_norm=0.1",), EVERY_OPTION],
    ids=["smoothing-and-schedule", "clipping", "every option"],
)
def test_every_option_is_certified_or_explained(changes: tuple[str, ...]) -> None:
    report = certify(Experiment.load("digits", changes), engines=ENGINES)
    assert report.passed


@pytest.mark.parametrize("name", ["lesson", "diabetes"])
def test_micro_batches_are_certified_against_the_large_batch(name: str) -> None:
    """The oracle computes the whole batch at once: 7 rows, in parts of 3, 2 and 2."""
    changes = ("data.batch_size=7", "training.micro_batches=3", "device=cpu", "model.dropout=0.2")
    experiment = Experiment.load(name, (*changes, "model.hidden=[16, 8]"))
    report = certify(experiment, engines=["torch:eager", "flax:jit"], steps=5)
    assert report.passed


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("breast-cancer", ("loss.pos_weight=[3.0]", "model.activation=leaky_relu")),
        ("diabetes", ("loss.kind=huber", "loss.delta=0.3", "model.init=lecun_normal")),
    ],
)
def test_other_losses_are_certified(name: str, changes: tuple[str, ...]) -> None:
    report = certify(Experiment.load(name, changes), engines=["torch:eager", "flax:jit"])
    assert report.passed


def test_the_eps_of_clipping_is_explained_in_float64() -> None:
    experiment = Experiment.load("diabetes", ("optimizer.clip_norm=0.1",))
    report = certify(experiment, engines=["torch:eager", "flax:jit"], precisions=["float64"])
    explained = [rung for rung in report.rungs if rung.verdict == "explained"]
    assert report.passed
    assert {rung.engine for rung in explained} == {"torch:eager"}
    assert {rung.rung for rung in explained} == {
        "slots (fresh)",
        "update (fresh)",
        "slots (warm)",
        "update (warm)",
        "step-locked training",
        "multi-step execution",
    }


@pytest.mark.parametrize(
    ("changes", "wrong", "first"),
    [
        (("loss.label_smoothing=0.1",), ("loss.label_smoothing=0.101",), "loss"),
        (WARMUP, ("optimizer.schedule.decay_steps=6",), "update (warm)"),
        (WARMUP, ("optimizer.schedule.final_fraction=0.11",), "update (warm)"),
        (("optimizer.clip_norm=0.1",), ("optimizer.clip_norm=0.1001",), "slots (fresh)"),
        ((WEIGHTS,), (WEIGHTS.replace("0.5", "0.501"),), "loss"),
        (DECAY, ("optimizer.decay_biases=true",), "update (fresh)"),
        (STEPS, ("optimizer.schedule.decay_rate=0.101",), "update (warm)"),
        (("model.activation=leaky_relu",), ("model.activation=relu",), "forward"),
        (("model.init=he_normal",), ("model.init=kaiming_normal",), "init"),
    ],
)
@pytest.mark.parametrize("engine", ["torch:eager", "flax:jit"])
def test_a_wrong_option_is_caught(
    engine: str, changes: tuple[str, ...], wrong: tuple[str, ...], first: str
) -> None:
    right = prepare(Experiment.load("digits", ("precision=float64", *changes)))
    other = Experiment.load("digits", ("precision=float64", *changes, *wrong))
    broken = replace(right, experiment=prepare(other).experiment)
    subject = Subject(
        open_session(broken, engine), backend(engine.split(":")[0]), build_reference(right)
    )
    rungs = [rung for _, judge in LADDER for rung in judge(subject)]
    failed = [rung.rung for rung in rungs if rung.verdict == "diverges"]
    assert failed[0] == first


def test_a_decay_that_ends_before_the_warmup_is_refused() -> None:
    with pytest.raises(SpecError, match="decay_steps"):
        Experiment.load("digits", (*WARMUP, "optimizer.schedule.warmup_steps=9"))


def test_options_survive_a_round_trip() -> None:
    for options in ((*WARMUP, "optimizer.clip_norm=0.5"), EVERY_OPTION):
        experiment = Experiment.load("digits", options)
        assert Experiment.from_toml(experiment.to_toml()) == experiment
        assert "\n    " not in experiment.to_toml()  # lists of numbers stay on a line
