"""Which default accounts for a difference: the exchanges in order, on runs known in advance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from twofold.backends import installed
from twofold.engines.registry import open_session
from twofold.problem.data import prepare
from twofold.problem.problem import Problem
from twofold.spec.experiment import Experiment, Mlp
from twofold.spec.layers.linear import Linear
from twofold.spec.layers.sequence import kinds_in
from twofold.studies import outcome
from twofold.studies.equivalence import compare
from twofold.studies.exchanged import differing_defaults, finding_of, trials, with_defaults_of
from twofold.studies.outcome import OutcomeResult, Sample, measure

WIDE = Experiment().with_values(model__hidden=[300], data__rows=40, rng="native")


@pytest.mark.parametrize("engine", ["torch:eager", "flax:op-by-op"])
def test_backends_say_truly_how_their_linear_layers_start(engine: str) -> None:
    """The frameworks' own draws have the limits and the spread of the named distribution."""
    native = installed.backend(engine.partition(":")[0]).native_init
    assert native is not None
    parameters = open_session(prepare(WIDE), engine).state().parameters
    for layer, fan_in in (("layers.0", 20), ("layers.1", 300)):
        weight, bias = parameters[f"{layer}.weight"], parameters[f"{layer}.bias"]
        limit = {"pytorch": 1.0, "lecun_normal": 2 / 0.87962566103423978}[native.init]
        spread = {"pytorch": 3**-0.5, "lecun_normal": 1.0}[native.init]
        scaled = weight * fan_in**0.5
        assert np.abs(scaled).max() <= limit * (1 + 1e-6)
        assert np.abs(scaled).max() > limit * 0.9
        assert scaled.std() == pytest.approx(spread, rel=0.1)
        assert native.bias_init == ("pytorch" if np.any(bias) else "zeros")


def test_the_differing_defaults_and_the_order_of_the_exchanges() -> None:
    found = differing_defaults("torch:eager", "flax:jit")
    assert [each.words for each in found] == [
        "initial weights: pytorch and lecun_normal",
        "initial biases: pytorch and zeros",
    ]
    assert trials(found) == (
        ("initial weights",),
        ("initial biases",),
        ("initial weights", "initial biases"),
    )
    assert differing_defaults("torch:eager", "torch:compile") == ()
    assert trials(()) == ()


@pytest.mark.parametrize(
    ("defaults", "init", "bias_init"),
    [
        (("initial weights",), "lecun_normal", "pytorch"),
        (("initial biases",), "pytorch", "zeros"),
        (("initial weights", "initial biases"), "lecun_normal", "zeros"),
    ],
)
def test_only_the_named_defaults_are_the_others(
    defaults: tuple[str, ...], init: str, bias_init: str
) -> None:
    problem = prepare(WIDE.with_values(model__residual=True, model__hidden=[4, 4]))
    layers = problem.experiment.model.layers
    listed = problem.experiment.model_dump() | {
        "model": {
            "kind": "sequential",
            "in_features": 20,
            "out_features": 3,
            "layers": [layer.model_dump() for layer in layers],
        }
    }
    sequential = replace(problem, experiment=Experiment.model_validate(listed))
    for given in (problem, sequential):
        changed = with_defaults_of(given, "torch:eager", "flax:jit", defaults)
        assert changed.experiment.rng == "shared"
        kinds = kinds_in(changed.experiment.model.layers)
        linear = [each for each in kinds if isinstance(each, Linear)]
        assert len(linear) == 3
        assert {(each.init, each.bias_init) for each in linear} == {(init, bias_init)}


def outcome_where(
    monkeypatch: pytest.MonkeyPatch, score: Callable[[str, Mlp], float]
) -> tuple[OutcomeResult, list[tuple[str, str, str]]]:
    """An outcome whose runs score what the model's initial values say, and what was run."""
    ran = []

    def sample(engine: str, problem: Problem, seeds: tuple[int, ...], _: object) -> Sample:
        model, rng = problem.experiment.model, problem.experiment.rng
        assert isinstance(model, Mlp)
        ran.append((engine, rng, f"{model.init}/{model.bias_init}"))
        noise = [1e-4 * (seed % 3) for seed in seeds]
        value = score(engine if rng == "native" else "", model)
        return Sample(engine, seeds, tuple(value + each for each in noise))

    monkeypatch.setattr(outcome, "_sample", sample)
    experiment = Experiment.load("breast-cancer")
    return measure(experiment, seeds=3, engines=("torch:eager", "flax:jit")), ran


def test_the_weights_that_account_for_it_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def score(engine: str, model: Mlp) -> float:
        like_flax = engine == "flax:jit" or (not engine and model.init == "lecun_normal")
        return 0.8 if like_flax else 0.9

    result, ran = outcome_where(monkeypatch, score)
    (pair,) = result.pairs
    assert pair.verdict == "different"
    assert [each.default for each in pair.differences] == ["initial weights", "initial biases"]
    assert [(each.defaults, each.finding) for each in pair.exchanged] == [
        (("initial weights",), "accounts for it")
    ]
    assert ran[2:] == [("torch:eager", "shared", "lecun_normal/pytorch")]
    assert pair.exchanged[0].words.startswith(
        "torch:eager with the initial weights of flax:jit: this accounts for the difference: the "
        "means differ by +0.0000, by +0.1000 before; 90% interval "
    )
    assert result.to_json()["pairs"][0]["exchanged"][0]["finding"] == "accounts for it"


@pytest.mark.parametrize(
    ("exchanged", "finding"),
    [
        ([0.80, 0.77, 0.83], "accounts for most of it"),  # mean 0.80, as the other engine
        ([0.84, 0.81, 0.87], "undecided"),  # 0.04 of 0.1 is left, and zero is not among it
        ([0.88, 0.75, 0.94], "undecided"),  # more than half is left
        ([0.89, 0.71, 0.80], "undecided"),  # the change itself is not beyond the margin
    ],
)
def test_too_few_seeds_name_what_takes_most_of_the_difference_away(
    exchanged: list[float], finding: str
) -> None:
    """The margin is 0.01, so an interval of three seeds that spread by 0.03 cannot lie within."""
    own, other = [0.900, 0.901, 0.899], [0.800, 0.801, 0.799]
    before, after, change = (
        compare(left, right, 0.01)
        for left, right in ((own, other), (exchanged, other), (own, exchanged))
    )
    assert before.verdict == "different"
    assert finding_of(before, after, change) == finding


def test_a_run_that_diverged_leaves_the_exchange_undecided() -> None:
    known = compare([0.9, 0.91], [0.8, 0.81], 0.01)
    assert finding_of(known, None, None) == "undecided"


def test_what_accounts_for_nothing_is_said_too(monkeypatch: pytest.MonkeyPatch) -> None:
    result, ran = outcome_where(monkeypatch, lambda engine, _: 0.8 if "flax" in engine else 0.9)
    (pair,) = result.pairs
    assert [each.finding for each in pair.exchanged] == ["does not account for it"] * 3
    assert [each[2] for each in ran[2:]] == [
        "lecun_normal/pytorch",
        "pytorch/zeros",
        "lecun_normal/zeros",
    ]


def test_equivalent_engines_are_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    result, ran = outcome_where(monkeypatch, lambda *_: 0.9)
    assert result.pairs[0].verdict == "equivalent"
    assert result.pairs[0].exchanged == ()
    assert len(ran) == 2
    assert 0.5 < result.baseline < 0.7  # 357 of the 569 rows are benign
