"""The main job with fakes in place of engines: files, exit codes, progress, interruption."""
# ruff: noqa: ARG001  (fakes ignore arguments, and `house` acts by being there)

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hand_made_results import ENVIRONMENT, measured, timing_result, unmeasured
from rich.console import Console

from comparisons import compare
from comparisons.narrator import Narrator
from twofold.engines.training import Epoch, Score, TrainingResult
from twofold.errors import DataError, FrameworkMissing
from twofold.parity.judging.verdict import ParityReport, Rung
from twofold.spec.experiment import Experiment

ENGINE = "torch:eager"


def fake_certify(*verdicts: str) -> Callable[..., ParityReport]:
    def certify(
        experiment: Experiment,
        *,
        engines: tuple[str, ...],
        steps: int,
        on_rung: Callable[[Rung], None],
    ) -> ParityReport:
        assert engines == compare.ENGINES
        assert steps == compare.LOCKED_STEPS
        rungs = tuple(
            Rung(f"rung {i}", ENGINE, "float32", verdict, 0.5, None, "noted")  # type: ignore[arg-type]
            for i, verdict in enumerate(verdicts)
        )
        for rung in rungs:
            on_rung(rung)
        return ParityReport(experiment, ENVIRONMENT, rungs)

    return certify


def fake_measure(*engines: dict[str, Any], interrupted: bool = False) -> Callable[..., Any]:
    def measure(experiment: Experiment, **options: Any) -> Any:
        assert options["parity"].experiment == experiment
        assert options["engines"] == compare.ENGINES
        options["on_progress"](SimpleNamespace(phase="rounds", engine=None, fraction=0.5))
        result = timing_result(experiment.name, list(engines), []) | {"interrupted": interrupted}
        return SimpleNamespace(to_json=lambda: result)

    return measure


def fake_train(session: Any, *, on_progress: Callable[[Epoch], None]) -> TrainingResult:
    epochs = (Epoch(epoch=1, steps=600, loss=0.5, seconds=1.5),)
    on_progress(epochs[0])
    score = Score("accuracy", 0.95, 0.25, 200)
    return TrainingResult(
        session.problem, session.engine, ENVIRONMENT, "finished", 600, epochs, score, 1.5, 0.1
    )


GOOD = measured(ENGINE, 0.1, 0.001, 0.0009, 0.0011)


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """All well, unless a test replaces a part."""
    monkeypatch.setattr(compare, "certify", fake_certify("certified", "explained"))
    monkeypatch.setattr(compare, "measure", fake_measure(GOOD))
    monkeypatch.setattr(compare, "prepare", lambda experiment: experiment)
    monkeypatch.setattr(
        compare, "open_session", lambda p, engine: SimpleNamespace(problem=p, engine=engine)
    )
    monkeypatch.setattr(compare, "train", fake_train)
    return monkeypatch


def test_all_well(house: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    assert compare.main(["--out", str(tmp_path)]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert {f"parity-{name}.json" for name in compare.EXPERIMENTS} <= names
    assert {f"timing-{name}.json" for name in compare.EXPERIMENTS} <= names
    assert "training-diabetes-flax-jit.json" in names
    assert {"GUIDE.md", "guide.html", "figures"} <= names
    said = capsys.readouterr().out
    assert "test accuracy 0.9500 (ignoring the inputs: 0.2500), 600 steps in 1.5 s" in said
    assert "torch:eager        step 1.00 ms (900 µs to 1.10 ms), cold start 100 ms" in said
    assert "Yes: all 8 rungs hold" in said
    assert str(tmp_path / "GUIDE.md") in said


def test_a_busy_machine_is_told_where_the_times_are(
    house: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    def busy(experiment: Experiment, **options: Any) -> Any:
        result = fake_measure(GOOD)(experiment, **options).to_json()
        return SimpleNamespace(to_json=lambda: result | {"warnings": ["The machine was busy."]})

    house.setattr(compare, "measure", busy)
    assert compare.main(["--quick", "--out", str(tmp_path)]) == 0
    assert "  note: The machine was busy.\n" in capsys.readouterr().out


def test_quick_takes_one_experiment(house: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert compare.main(["--quick", "--out", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.glob("*.json")) == [
        "parity-digits.json",
        "timing-digits.json",
        "training-digits-flax-jit.json",
        "training-digits-torch-eager.json",
    ]


@pytest.mark.parametrize(
    ("verdicts", "engine", "code"),
    [
        (("certified",), unmeasured(ENGINE, "failed", "broken"), 3),
        (("certified", "not run"), GOOD, 3),
        (("diverges",), GOOD, 1),
        (("diverges",), unmeasured(ENGINE, "failed", "broken"), 1),
        (("certified",), unmeasured(ENGINE, "diverges", "no parity"), 1),
    ],
)
def test_exit_codes(
    house: pytest.MonkeyPatch, tmp_path: Path, verdicts: tuple[str], engine: Any, code: int
) -> None:
    house.setattr(compare, "certify", fake_certify(*verdicts))
    house.setattr(compare, "measure", fake_measure(engine))
    assert compare.main(["--quick", "--out", str(tmp_path)]) == code
    assert (tmp_path / "GUIDE.md").exists()


def test_a_training_that_breaks_is_code_3_and_leaves_no_old_result(
    house: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    assert compare.main(["--quick", "--out", str(tmp_path)]) == 0

    def broken(session: Any, *, on_progress: Any) -> TrainingResult:
        raise RuntimeError("no kernel image")

    house.setattr(compare, "train", broken)
    assert compare.main(["--quick", "--out", str(tmp_path)]) == 3
    assert not list(tmp_path.glob("training-*.json"))
    assert "not trained: digits, torch:eager: RuntimeError: no kernel image" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("error", [DataError("targets: bad"), FrameworkMissing("jax missing")])
def test_bad_input_is_code_2_without_a_traceback(
    house: pytest.MonkeyPatch, tmp_path: Path, capsys: Any, error: Exception
) -> None:
    def refuse(experiment: Experiment) -> Any:
        raise error

    house.setattr(compare, "prepare", refuse)
    assert compare.main(["--quick", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().out
    assert f"error: {error}" in said
    assert "Traceback" not in said


def test_each_framework_at_its_best_runs_on_the_lesson_if_asked_for(tmp_path: Path) -> None:
    plan = compare.make_plan(["--best", "--out", str(tmp_path)])
    usual = ("torch:eager", "torch:compile", "flax:op-by-op", "flax:jit")
    assert plan.engines_on("lesson") == (*usual, "torch:compile-step", "flax:scan")
    assert plan.engines_on("digits") == usual
    assert compare.make_plan(["--out", str(tmp_path)]).engines_on("lesson") == usual


def test_engines_that_are_named_run_every_experiment(tmp_path: Path) -> None:
    plan = compare.make_plan(["--engines", "flax:jit,torch:eager", "--out", str(tmp_path)])
    assert {plan.engines_on(name) for name in compare.EXPERIMENTS} == {("torch:eager", "flax:jit")}


def test_a_file_as_folder_is_refused(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").write_text("")
    assert compare.main(["--out", str(tmp_path / "file")]) == 2
    assert "which is a file" in capsys.readouterr().out


def test_an_interrupted_timing_is_stored_and_ends_the_job(
    house: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    house.setattr(compare, "measure", fake_measure(GOOD, interrupted=True))
    assert compare.main(["--quick", "--out", str(tmp_path)]) == 130
    assert json.loads((tmp_path / "timing-digits.json").read_text())["interrupted"]
    assert not (tmp_path / "GUIDE.md").exists()


def test_quick_runs_have_a_folder_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    described = {"processor": "AMD EPYC(tm) 9R14 @ 3.7GHz"}
    monkeypatch.setattr(compare.environment, "describe", lambda: described)
    results = Path("comparisons") / "results"
    assert compare.default_folder(quick=False) == results / "amd-epyc-tm-9r14-3-7ghz"
    assert compare.default_folder(quick=True) == results / "amd-epyc-tm-9r14-3-7ghz-quick"


def test_away_from_a_terminal_progress_is_short_lines() -> None:
    out = io.StringIO()
    narrator = Narrator(Console(file=out, force_terminal=False, highlight=False, soft_wrap=True))
    narrator.heading("timing: [digits]")
    for fraction in (0.0, 0.1, 0.2):
        narrator.update("rounds", fraction=fraction)
    narrator.update("warm-up")
    narrator.say("done [x]")
    lines = ["timing: [digits]", "  ... rounds  0%", "  ... warm-up", "  done [x]"]
    assert out.getvalue().split("\n") == ["", *lines, ""]


def test_on_a_terminal_one_line_lives_and_ends() -> None:
    out = io.StringIO()
    narrator = Narrator(Console(file=out, force_terminal=True, width=80))
    narrator.update("rounds", fraction=0.25)
    narrator.update("rounds", fraction=0.5)
    narrator.say("done")
    assert "rounds  50%" in out.getvalue() or "rounds  25%" in out.getvalue()
    assert "done" in out.getvalue()


def test_an_unknown_engine_is_refused_before_anything_runs(
    house: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    assert compare.main(["--engines", "torch:eagre", "--out", str(tmp_path / "new")]) == 2
    assert "torch:eagre" in capsys.readouterr().out
    assert not (tmp_path / "new").exists()
