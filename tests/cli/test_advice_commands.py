"""`twofold calibrate` and `twofold advise` as a person runs them, in this process."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from twofold.cli.app import app
from twofold.cli.calibrate import calibrate, largest_rate
from twofold.cli.time import asked_engines
from twofold.engines import registry
from twofold.errors import BadInput, ResultError
from twofold.studies.advice import store
from twofold.studies.advice.calibrate import Calibration
from twofold.studies.advice.calibrating import BUDGET_S, advised_engines

STORED = Path("comparisons/results/intel-r-xeon-r-processor/calibration-advice-1-threads.json")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_advice_names_an_engine_and_says_why_and_writes_json(tmp_path: Path) -> None:
    path = tmp_path / "advice.json"
    calibration = ("--calibration", str(STORED))
    few = run("advise", "lesson", "--steps", "10", *calibration, "--json", str(path))
    assert "lesson, 10 steps: use " in few
    assert "step times by: cost model" in few
    assert "not calibrated: torch:lesson" in few
    advice = json.loads(path.read_text())
    assert advice["schema"] == "twofold.advice/1"
    assert f"use {advice['use']}" in few
    assert {item["engine"] for item in advice["predictions"]} == set(store.load(STORED).models)
    assert (
        advice["use"] == min(advice["predictions"], key=lambda item: item["cold_start_s"])["engine"]
    )
    many = run("advise", "lesson", "--steps", "10000000", *calibration, "--json", str(path))
    advice = json.loads(path.read_text())
    assert advice["use"] == min(advice["predictions"], key=lambda item: item["step_s"])["engine"]
    assert f"use {advice['use']}" in many


def test_workloads_unlike_all_that_were_calibrated_are_pointed_out() -> None:
    out = run("advise", "lesson", "--set", "model.hidden=[4096]", "--calibration", str(STORED))
    assert "outside of what was calibrated: widest layer 4096" in out


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("advise", "lesson", "--calibration", "nowhere.json"), ResultError, "make one with"),
        (("advise", "nosuch", "--calibration", str(STORED)), BadInput, "nosuch"),
        (("calibrate", "--device", "abacus"), BadInput, "'abacus' given"),
        (("calibrate", "--engines", "torch:nosuch"), BadInput, "torch:nosuch"),
    ],
)
def test_mistakes_are_errors_of_the_library_before_anything_is_started(
    arguments: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_the_default_engines_are_the_quickest_of_each_framework() -> None:
    known = ["torch:eager", "torch:lesson", "torch:eager-fused", "torch:compile-step", "flax:jit"]
    assert advised_engines(known) == [name for name in known if name != "torch:lesson"]
    assert advised_engines(["torch:eager", "torch:compile"]) == ["torch:eager", "torch:compile"]


def test_all_stands_for_every_engine_wherever_engines_are_asked_for() -> None:
    assert asked_engines("all") == registry.default_engines()
    assert asked_engines(None) is None
    assert asked_engines("flax:jit, torch:eager") == ("flax:jit", "torch:eager")
    with pytest.raises(BadInput, match="such as torch:eager,flax:jit"):
        asked_engines(" ,")


def test_the_rate_is_the_one_measured_on_the_largest_workload() -> None:
    """A corner of the design: 512 rows, 128 features, three layers of 512."""
    known = store.load(STORED)
    (point,) = [
        point
        for point in known.points
        if point.engine == "flax:jit" and point.workload.sizes == (128, 512, 512, 512, 3)
    ]
    first, rest = 128 * 512, 2 * 512 * 512 + 512 * 3
    operations = 2 * 512 * (2 * first + 3 * rest)  # no gradient of the inputs
    assert largest_rate(known, "flax:jit") == pytest.approx(operations / point.step_s)
    assert largest_rate(known, "flax:jit") < 377e9  # what NumPy's products reach on two threads


def test_the_command_spends_as_long_as_the_function() -> None:
    assert inspect.signature(calibrate).parameters["seconds"].default == BUDGET_S


def test_a_calibration_of_few_workloads_is_doubted() -> None:
    known = store.load(STORED)
    assert not any("workloads only" in doubt for doubt in store.doubts(known, known.environment))
    few = Calibration(
        known.environment, known.device, 1.0, known.points[: 4 * len(known.models)], {}
    )
    assert any("calibrated on 4 workloads only" in d for d in store.doubts(few, few.environment))


@pytest.mark.slow
def test_a_calibration_made_here_advises_here(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    out = run(
        *("calibrate", "--engines", "torch:eager,flax:jit", "--seconds", "10"),
        *("--path", str(path)),
    )
    assert "torch:eager" in out
    assert "step times by" in out
    assert "use " in run("advise", "digits", "--calibration", str(path))
