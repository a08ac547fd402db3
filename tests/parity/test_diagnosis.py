"""A failing rung tells the whole story, and names the bug that was planted."""

from __future__ import annotations

import pytest

from comparisons.evidence.mutants import bases
from comparisons.evidence.mutants.catalogue import find
from comparisons.evidence.mutants.hosts import HOSTS
from comparisons.evidence.mutants.trial import given_problem, planted
from twofold import Experiment, open_session
from twofold.backends.installed import backend
from twofold.parity.diagnosis.catalogue import causes_of
from twofold.parity.diagnosis.diagnose import command, diagnose
from twofold.parity.judging.subject import Subject
from twofold.parity.judging.verdict import Rung
from twofold.parity.ladder.rungs import LADDER

NAMED = {
    "transposed-weight": "the square weight of layer 1 is used without transposing it",
    "missing-bias": "layer 1 has no bias",
    "bias-without-gradient": "the bias of layer 1 gets no gradient",
    "detached-layer": "no gradient flows below layer 1",
    "gelu-tanh": "activation gelu_tanh in place of gelu",
    "dropout-in-evaluation": "evaluation runs in training mode",
    "no-dropout-in-training": "training runs in evaluation mode",
    "unscaled-dropout": "kept units are not divided",
    "tf32-products": "arithmetic in TF32",
    "softmax-twice": "softmax applied twice",
    "sum-for-mean": "a sum over the batch for the mean",
    "shifted-labels": "labels shifted by one",
    "half-mse": "a factor one half",
    "decay-1e-4": "weight decay 0.0001",
    "eps-1e-7": "eps 1e-07",
    "eps-inside-root": "eps inside the root",
    "no-bias-correction": "no bias correction",
    "count-off-by-one": "the step in the bias correction is one ahead",
    "l2-for-decoupled": "L2 in place of decoupled decay",
    "decay-after-update": "decay of the updated parameter",
    "no-decay-of-biases": "biases do not decay",
    "updated-twice": "the update applied twice",
    "nesterov-dropped": "without Nesterov momentum",
    "learning-rate-off": "learning rate 0.001001",
    "no-shuffle": "the rows are not shuffled",
    "other-seed": "seed = 1",
    "keep-for-drop": "the probability of keeping",
}


def first_failure(name: str) -> Rung:
    """The first rung at which a mutant of PyTorch diverges, with its diagnosis, in float64."""
    (mutant,) = (m for m in find(name) if m.name == name)
    host, reference = HOSTS["torch"], bases.reference(mutant.base, "float64")
    with planted(mutant, host):
        session = open_session(given_problem(mutant, reference), host.engine)
        subject = Subject(session, backend("torch"), reference, steps=1)
        for _, judge in LADDER:
            for rung in diagnose(subject, judge(subject)):
                if rung.verdict == "diverges":
                    return rung
    raise AssertionError(f"{name} was not caught")


QUICK = ("transposed-weight", "gelu-tanh", "softmax-twice", "decay-1e-4", "updated-twice")


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in sorted(NAMED)],
)
def test_the_planted_bug_is_among_the_two_likeliest_causes(name: str) -> None:
    rung = first_failure(name)
    (start,) = (n for n, line in enumerate(rung.diagnosis) if line.startswith("likely cause"))
    assert "accounts for every element" in rung.diagnosis[start]
    whole = [line for line in rung.diagnosis[start:] if line.startswith(("likely cause", "  or"))]
    assert any(NAMED[name] in line for line in whole[:2])


def test_a_bug_that_no_cause_explains_gets_the_nearest_ones() -> None:
    rung = first_failure("brier-score")
    text = "\n".join(rung.diagnosis)
    assert "none of" in text
    assert "left over" in text


def test_the_story_has_distance_and_command() -> None:
    """The worst element's distance follows from the values that the rung shows."""
    rung = first_failure("decay-1e-4")
    assert rung.worst is not None
    text = "\n".join(rung.diagnosis)
    relative = abs(rung.worst.computed - rung.worst.oracle) / abs(rung.worst.oracle)
    assert f"{relative:.1e} relative" in text
    assert f"bounds {rung.worst_ratio:.3g} times as wide" in text
    assert "--engines torch:eager --precision float64" in text


def test_the_command_names_what_was_set() -> None:
    experiment = Experiment.load("digits").with_values(model__dropout=0.25, seed=3)
    rung = Rung("loss", "flax:jit", "float32", "diverges", 2.0, None, "")
    words = command(experiment, rung).split()
    assert words[:3] == ["twofold", "parity", "digits"]
    assert "model.dropout=0.25" in words
    assert "seed=3" in words
    assert words.count("--set") == 2


@pytest.mark.parametrize("rung", ["forward", "loss", "gradients", "update (fresh)"])
def test_every_cause_changes_the_oracle_without_an_error(rung: str) -> None:
    for base in ("classes", "outputs", "binary"):
        reference = bases.reference(base, "float32")
        causes = causes_of(reference.problem.experiment, rung)
        assert len({cause.words for cause in causes}) == len(causes)
        for cause in causes:
            cause.change(reference)
