"""The main job with fakes in place of engines: files, exit codes, progress, interruption."""
# ruff: noqa: ARG001  (fakes ignore arguments, and `house` acts by being there)

import io
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hand_made_results import ENVIRONMENT
from rich.console import Console

from comparisons import compare, folders
from comparisons.narrator import Narrator
from twofold.engines.training import Epoch, Score, TrainingResult
from twofold.errors import DataError, FrameworkMissing
from twofold.parity.judging.verdict import ParityReport, Rung
from twofold.parity.ladder.rungs import LADDER
from twofold.report.contenders import lacking
from twofold.results.json_files import read_json
from twofold.spec.experiment import Experiment
from twofold.timing.conditions import Conditions
from twofold.timing.protocol import Certification, Progress
from twofold.timing.result import ColdStart, EngineTiming, Noise, TimingResult
from twofold.timing.statistics import Interval

ENGINE = "torch:eager"
COLD, WARM = ColdStart(0.05, 0.03, 0.02, 0), ColdStart(0.04, 0.03, 0.01, 0)
GOOD = EngineTiming(
    ENGINE,
    "measured",
    cold_start=COLD,
    warm_start=WARM,
    step_s=Interval(0.001, 0.0009, 0.0011),
    samples_s=(0.001,) * 20,
)


def unmeasured(status: Any, reason: str) -> EngineTiming:
    return EngineTiming(ENGINE, status, reason)


def fake_measure(
    *verdicts: Any, entry: EngineTiming = GOOD, **changes: Any
) -> Callable[..., TimingResult]:
    """Every engine is as `entry`, and has rungs with these verdicts in every precision."""

    def measure(
        experiment: Experiment,
        *,
        engines: Sequence[str],
        conditions: Conditions,
        certification: Mapping[str, Certification],
        on_progress: Callable[[Progress], None],
        on_report: Callable[[ParityReport], None],
    ) -> TimingResult:
        assert conditions.warm_start
        assert all(asked.ladder == "whole" for asked in certification.values())
        assert {asked.steps for asked in certification.values()} == {compare.LOCKED_STEPS}
        names = ("forward", "loss", "gradients", "update (fresh)")
        rungs = tuple(
            Rung(name, engine, precision, verdict, 0.5, None, "noted")
            for precision in ("float32", "float64")
            for engine in engines
            if precision in certification[engine].precisions
            for name, verdict in zip_longest(names, verdicts, fillvalue="certified")
        )
        report = ParityReport(experiment, ENVIRONMENT, rungs)
        on_report(report)
        on_progress(Progress("rounds", None, 0.5))
        result = TimingResult(
            experiment,
            ENVIRONMENT,
            unchecked=False,
            seed=0,
            seconds=conditions.seconds,
            interrupted=False,
            reference=ENGINE,
            engines=tuple(replace(entry, engine=engine) for engine in engines),
            ratios=(),
            noise=Noise(None, None),
            warnings=(),
            parity=report,
        )
        return replace(result, **changes)

    return measure


def fake_train(session: Any, *, on_progress: Callable[[Epoch], None]) -> TrainingResult:
    epochs = (Epoch(epoch=1, steps=600, loss=0.5, seconds=1.5),)
    on_progress(epochs[0])
    score = Score("accuracy", 0.95, 0.25, 200)
    return TrainingResult(
        session.problem, session.engine, ENVIRONMENT, "finished", 600, epochs, score, 1.5, 0.1
    )


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """All well, unless a test replaces a part."""
    monkeypatch.setattr(compare, "measure", fake_measure("certified", "explained"))
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
    line = "torch:eager         step 1.00 ms (900 µs to 1.10 ms), cold start 100 ms, warm 80.0 ms"
    assert line in said
    assert "torch:compile-step  float64  3 certified, 1 explained" in said
    assert (
        "Yes: all 88 rungs hold" in said
    )  # 4 rungs, of 4, 4, 4 and 5 engines, of the last 5 twice
    assert str(tmp_path / "GUIDE.md") in said


def test_a_busy_machine_is_told_where_the_times_are(
    house: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    busy = fake_measure("certified", warnings=("The machine was busy.",))
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
    ("verdicts", "entry", "code"),
    [
        (("certified",), unmeasured("failed", "broken"), 3),
        (("certified", "not run"), GOOD, 3),
        (("diverges",), GOOD, 1),
        (("diverges",), unmeasured("failed", "broken"), 1),
        (("certified",), unmeasured("diverges", "no parity"), 1),
        (("certified", "vacuous"), GOOD, 2),
        (("certified", "out of range"), unmeasured("out of range", "at step 6"), 2),
        ((), unmeasured("unavailable", "no such device"), 3),
    ],
)
def test_exit_codes(
    house: pytest.MonkeyPatch, tmp_path: Path, verdicts: tuple[str], entry: Any, code: int
) -> None:
    house.setattr(compare, "measure", fake_measure(*verdicts, entry=entry))
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


def test_each_framework_runs_as_usual_and_with_its_quickest_engine_on_every_experiment(
    tmp_path: Path,
) -> None:
    plan = compare.make_plan(["--out", str(tmp_path)])
    both = {"torch:eager", "torch:compile-step", "flax:jit", "flax:scan"}
    on = {name: set(plan.engines_on(name)) for name in plan.experiments}
    assert on == dict.fromkeys(on, both) | {"lesson": both | {"torch:compile"}}
    assert set(on) == set(compare.EXPERIMENTS)
    best = compare.make_plan(["--best", "--out", str(tmp_path)])
    for name in compare.EXPERIMENTS:
        assert set(best.engines_on(name)) == on[name] | {"torch:compile-epoch"}
        assert not lacking(best.engines_on(name))


@pytest.mark.parametrize("options", [[], ["--quick"], ["--best"], ["--engines", "flax:aot"]])
def test_every_engine_is_certified_in_what_it_is_timed_in_and_once_in_float64(
    options: list[str], tmp_path: Path
) -> None:
    plan = compare.make_plan([*options, "--out", str(tmp_path)])
    in_float64: set[str] = set()
    for name in plan.experiments:
        for engine in plan.engines_on(name):
            precisions = plan.precisions_on(name, engine)
            assert Experiment.load(name).precision in precisions
            if "float64" in precisions:
                in_float64.add(engine)
    assert in_float64 == {each for name in plan.experiments for each in plan.engines_on(name)}


def test_stored_timing_and_parity_agree_on_engines(
    house: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An engine whose process broke before parity was asked has its rungs, too: not run."""

    def one_broke(experiment: Experiment, **options: Any) -> TimingResult:
        result = fake_measure("certified")(experiment, **options)
        assert result.parity is not None
        rungs = tuple(rung for rung in result.parity.rungs if rung.engine != "flax:scan")
        broken = EngineTiming("flax:scan", "failed", "killed")
        return replace(
            result,
            engines=tuple(broken if e.engine == "flax:scan" else e for e in result.engines),
            parity=replace(result.parity, rungs=rungs),
        )

    house.setattr(compare, "measure", one_broke)
    assert compare.main(["--out", str(tmp_path)]) == 3
    for name in compare.EXPERIMENTS:
        assert_agreement(tmp_path, name)
        parity = read_json(tmp_path / f"parity-{name}.json", "twofold.parity/1")
        assert not parity["passed"]
        own = [rung for rung in parity["rungs"] if rung["engine"] == "flax:scan"]
        precisions = ["float32", "float64"] if name == "diabetes" else ["float32"]
        assert [(rung["precision"], rung["rung"]) for rung in own] == [
            (precision, rung) for precision in precisions for rung, _ in LADDER
        ]
        assert {(rung["verdict"], rung["note"]) for rung in own} == {("not run", "killed")}


def assert_agreement(folder: Path, name: str) -> None:
    """Every engine of the timing has rungs in the precision that it was timed in."""
    timing = read_json(folder / f"timing-{name}.json", "twofold.timing/1")
    parity = read_json(folder / f"parity-{name}.json", "twofold.parity/1")
    assert parity["experiment"] == timing["experiment"]
    precision = timing["experiment"]["precision"]
    judged = {rung["engine"] for rung in parity["rungs"] if rung["precision"] == precision}
    assert judged == {engine["engine"] for engine in timing["engines"]}


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
    house.setattr(compare, "measure", fake_measure("certified", interrupted=True))
    assert compare.main(["--quick", "--out", str(tmp_path)]) == 130
    assert json.loads((tmp_path / "timing-digits.json").read_text())["interrupted"]
    assert not (tmp_path / "GUIDE.md").exists()


def test_results_go_to_a_folder_of_the_processor_and_quick_runs_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    described = {"processor": "AMD EPYC(tm) 9R14 @ 3.7GHz"}
    monkeypatch.setattr(folders.environment, "describe", lambda: described)
    own, stored = Path("results"), Path("comparisons") / "results"
    name = "amd-epyc-tm-9r14-3-7ghz"
    assert folder_of() == own / name
    assert folder_of("--quick") == own / f"{name}-quick"
    assert folder_of("--store") == stored / name
    assert folder_of("--store", "--quick") == stored / f"{name}-quick"
    assert folder_of("--out", "elsewhere") == Path("elsewhere")


def folder_of(*options: str) -> Path:
    return compare.make_plan(list(options)).folder


def test_either_out_or_store_is_given(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        compare.make_plan(["--out", "elsewhere", "--store"])
    assert "not allowed with" in capsys.readouterr().err


def test_git_ignores_what_a_run_writes_unless_it_is_to_be_stored() -> None:
    root = Path(__file__).parents[2]
    assert "/results/" in (root / ".gitignore").read_text().splitlines()
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        pytest.skip("not a git checkout: what .gitignore says is asserted above")
    for folder, ignored in ((folder_of(), True), (folder_of("--store"), False)):
        target = folder / "timing-digits.json"
        answer = subprocess.run([git, "check-ignore", "-q", str(target)], cwd=root, check=False)
        assert (answer.returncode == 0) is ignored, target


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
