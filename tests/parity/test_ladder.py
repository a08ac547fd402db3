"""The ladder end to end: correct engines pass, a porting bug is named at its rung."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twofold import Experiment, certify
from twofold.backends.installed import backend
from twofold.engines.registry import open_session
from twofold.errors import FrameworkMissing, SpecError, UnknownEngine
from twofold.parity.certify import climb
from twofold.parity.judging.comparison import Comparison
from twofold.parity.judging.subject import Subject
from twofold.parity.judging.verdict import ParityReport, Rung
from twofold.parity.ladder import known_differences
from twofold.parity.ladder.reference import Reference, build_reference
from twofold.parity.ladder.rungs import LADDER, fresh_step_rungs, gradients_rung
from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.problem.data import prepare
from twofold.problem.problem import Problem
from twofold.problem.state import TrainState
from twofold.results.json_files import read_json, write_json
from twofold.spec import toml

RUNGS = [
    "init",
    "data order",
    "dropout masks",
    "forward",
    "loss",
    "gradients",
    "slots (fresh)",
    "update (fresh)",
    "slots (warm)",
    "update (warm)",
    "step-locked training",
    "multi-step execution",
    "evaluation metric",
    "export and import",
]


@pytest.fixture(scope="module")
def report() -> ParityReport:
    return certify(Experiment.load("breast-cancer"), engines=["torch:eager", "flax:jit"])


def test_correct_engines_pass_every_rung(report: ParityReport) -> None:
    assert report.passed
    for engine in ("torch:eager", "flax:jit"):
        assert report.engine_passed(engine)
        for precision in ("float32", "float64"):
            own = [r for r in report.rungs if (r.engine, r.precision) == (engine, precision)]
            assert [rung.rung for rung in own] == RUNGS


def test_torch_needs_no_explanation(report: ParityReport) -> None:
    verdicts = {rung.verdict for rung in report.rungs if rung.engine == "torch:eager"}
    assert verdicts == {"certified"}


def test_optax_bias_correction_is_explained_in_float32_only(report: ParityReport) -> None:
    explained = [rung for rung in report.rungs if rung.verdict == "explained"]
    assert [(r.engine, r.precision, r.rung) for r in explained] == [
        ("flax:jit", "float32", "update (fresh)"),
        ("flax:jit", "float32", "update (warm)"),
        ("flax:jit", "float32", "step-locked training"),
        ("flax:jit", "float32", "multi-step execution"),
    ]
    for rung in explained:
        assert rung.worst_ratio is not None
        assert rung.worst_ratio <= 1
        assert rung.explanation is not None
        assert rung.explanation.ratio_without > 1
        assert "tree_bias_correction" in rung.explanation.source


def test_the_report_is_json_with_the_documented_keys(report: ParityReport, tmp_path: Path) -> None:
    path = write_json(tmp_path / "parity.json", report.to_json())
    stored = read_json(path, "twofold.parity/1")
    assert set(stored) == {
        "schema",
        "experiment",
        "environment",
        "passed",
        "outcome",
        "conclusion",
        "missing_evidence",
        "not_exercised",
        "rungs",
    }
    assert stored["passed"] is True
    assert (stored["outcome"], stored["conclusion"]) == ("holds", "parity holds")
    assert stored["missing_evidence"] == stored["not_exercised"] == []
    for rung in stored["rungs"]:
        assert {"rung", "engine", "precision", "verdict", "worst_ratio", "worst"} <= set(rung)
        if rung["worst"] is not None:
            assert set(rung["worst"]) == {"tensor", "index", "computed", "oracle", "bound"}
    assert Experiment.from_toml(toml.dump(report.experiment)) == report.experiment
    json.dumps(stored, allow_nan=False)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return build_reference(prepare(Experiment.load("digits")))


def wrong_weight_decay(problem: Problem) -> Problem:
    optimizer = problem.experiment.optimizer.model_copy(update={"weight_decay": 1e-4})
    experiment = problem.experiment.model_copy(update={"optimizer": optimizer})
    return replace(problem, experiment=experiment)


def wrong_eps(problem: Problem) -> Problem:
    optimizer = problem.experiment.optimizer.model_copy(update={"eps": 1e-7})
    experiment = problem.experiment.model_copy(update={"optimizer": optimizer})
    return replace(problem, experiment=experiment)


def wrong_seed(problem: Problem) -> Problem:
    return replace(problem, experiment=problem.experiment.model_copy(update={"seed": 1}))


def wrong_gelu(problem: Problem) -> Problem:
    model = problem.experiment.model.model_copy(update={"activation": "gelu_tanh"})
    return replace(problem, experiment=problem.experiment.model_copy(update={"model": model}))


@pytest.mark.parametrize("engine", ["torch:eager", "flax:jit"])
@pytest.mark.parametrize(
    ("mutate", "first"),
    [
        (wrong_weight_decay, "update (fresh)"),
        (wrong_eps, "update (fresh)"),
        (wrong_seed, "init"),
        (wrong_gelu, "forward"),
    ],
)
def test_a_porting_bug_is_caught_at_its_rung(
    engine: str, mutate: Callable[[Problem], Problem], first: str, reference: Reference
) -> None:
    session = open_session(mutate(reference.problem), engine)
    subject = Subject(session, backend(engine.split(":")[0]), reference, steps=2)
    rungs = [rung for _, judge in LADDER for rung in judge(subject)]
    failed = [rung.rung for rung in rungs if rung.verdict == "diverges"]
    assert failed[0] == first


class TamperedSession:
    """A session whose answers pass through a change: what a broken engine would give."""

    def __init__(self, session: Any, change: Callable[[Any], Any], method: str) -> None:
        self._session = session
        self._change = change
        self._method = method

    def __getattr__(self, name: str) -> Any:
        target = getattr(self._session, name)
        if name != self._method:
            return target
        return lambda *args, **kwargs: self._change(target(*args, **kwargs))


def tampered(reference: Reference, method: str, change: Callable[[Any], Any]) -> Subject:
    session: Any = TamperedSession(open_session(reference.problem, "torch:eager"), change, method)
    return Subject(session, backend("torch"), reference)


def without_a_bias(answer: tuple[float, dict[str, Any]]) -> tuple[float, dict[str, Any]]:
    loss, gradients = answer
    return loss, {name: array for name, array in gradients.items() if name != "layers.1.bias"}


def with_a_nan(answer: tuple[float, dict[str, Any]]) -> tuple[float, dict[str, Any]]:
    loss, gradients = answer
    changed = {name: array.copy() for name, array in gradients.items()}
    changed["layers.0.weight"][3, 4] = np.nan
    return loss, changed


@pytest.mark.parametrize(
    ("change", "words"), [(without_a_bias, "missing"), (with_a_nan, "not finite")]
)
def test_missing_and_not_finite_gradients_diverge(
    change: Callable[[Any], Any], words: str, reference: Reference
) -> None:
    rung = gradients_rung(tampered(reference, "loss_and_gradients", change))
    assert rung.verdict == "diverges"
    assert words in rung.note


def test_a_step_that_does_not_count_diverges(reference: Reference) -> None:
    def stuck(state: TrainState) -> TrainState:
        return TrainState(state.parameters, state.slots, 0)

    rungs = fresh_step_rungs(tampered(reference, "state", stuck))
    assert rungs[-1].verdict == "diverges"
    assert "step" in rungs[-1].note


def test_an_engine_that_raises_is_not_run_with_its_reason(
    reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no kernel for this\nsecond line")

    monkeypatch.setattr("twofold.engines.registry.open_session", broken)
    rungs = climb("torch:eager", reference)
    assert {rung.verdict for rung in rungs} == {"not run"}
    assert all("RuntimeError: no kernel for this" in rung.note for rung in rungs)
    assert not ParityReport(reference.problem.experiment, {}, tuple(rungs)).passed


def test_no_rungs_is_not_a_pass() -> None:
    report = ParityReport(Experiment.load("digits"), {}, ())
    assert not report.passed
    assert not report.engine_passed("torch:eager")


def test_only_certified_and_explained_pass() -> None:
    experiment = Experiment.load("digits")
    for verdict in ("diverges", "not run"):
        rung = Rung("loss", "torch:eager", "float32", verdict, None, None, "")  # type: ignore[arg-type]
        assert not ParityReport(experiment, {}, (rung,)).passed


def test_bad_requests_are_refused() -> None:
    experiment = Experiment.load("digits")
    with pytest.raises(UnknownEngine, match="torch:eager"):
        certify(experiment, engines=["torch:eagre"])
    with pytest.raises(SpecError, match="engines"):
        certify(experiment, engines=[])
    with pytest.raises(SpecError, match="rng"):
        certify(experiment.with_values(rng="native"), engines=["torch:eager"])


def test_a_missing_framework_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "twofold.backends.description.Backend.missing_frameworks", lambda _: ("torch",)
    )
    with pytest.raises(FrameworkMissing, match="pip install"):
        certify(Experiment.load("digits"), engines=["torch:eager"])


def test_the_model_of_optax_does_not_excuse_other_errors(reference: Reference) -> None:
    """A wrong weight decay on top of Optax's bias correction is no longer explained."""
    session = open_session(wrong_weight_decay(reference.problem), "flax:jit")
    subject = Subject(session, backend("flax"), reference)
    assert fresh_step_rungs(subject)[-1].verdict == "diverges"


def test_candidate_corrections_start_with_the_likeliest() -> None:
    """By hand: float32(1) - float32(0.999) is 0.00099998712..., 1.3e-5 below 0.001."""
    optimizer = Experiment.load("digits").optimizer
    arithmetic = arithmetic_for("float32")
    first = next(known_differences.candidate_corrections(optimizer, 1, arithmetic))  # type: ignore[arg-type]
    assert float(first.second) == float(np.float32(1) - np.float32(0.999))
    assert abs(float(first.second) / 0.001 - 1) == pytest.approx(1.29e-5, rel=0.01)
    at_first_step = known_differences.candidate_corrections(optimizer, 1, arithmetic)  # type: ignore[arg-type]
    assert len(list(at_first_step)) == 1


def test_a_comparison_without_elements_is_not_within() -> None:
    assert not Comparison(0.0, None, 0, 0, "").within
