"""The ladder in mixed precision on built-in experiments, and what is said of unknown precisions."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from twofold.cli.app import app
from twofold.errors import SpecError
from twofold.parity.certify import certify, default_precisions
from twofold.spec.experiment import Experiment

ENGINES = ["torch:eager", "flax:jit"]


@pytest.mark.parametrize(
    "name", ["diabetes", *(pytest.param(n, marks=pytest.mark.slow) for n in ("digits", "lesson"))]
)
def test_built_in_experiments_hold(name: str) -> None:
    experiment = Experiment.load(name)
    report = certify(experiment, engines=ENGINES, precisions=["mixed_bfloat16"], steps=2)
    assert report.passed
    assert {rung.precision for rung in report.rungs} == {"mixed_bfloat16"}


def test_by_default_the_specs_own_precision_is_judged_too() -> None:
    experiment = Experiment.load("diabetes")
    assert default_precisions(experiment) == ("float32", "float64")
    mixed = experiment.with_values(precision="mixed_bfloat16")
    assert default_precisions(mixed) == ("float32", "float64", "mixed_bfloat16")


def test_an_unknown_precision_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(SpecError, match=r"precision: .*mixed_bfloat17.*allowed.* mixed_bfloat16"):
        Experiment.load("digits").with_values(precision="mixed_bfloat17")


def test_the_command_takes_it_and_refuses_others() -> None:
    given = ["parity", "diabetes", "--engines", "torch:eager", "--steps", "1", "--precision"]
    good = CliRunner().invoke(app, [*given, "mixed_bfloat16"])
    assert good.exit_code == 0, good.output
    assert "diabetes, mixed_bfloat16" in good.output
    bad = CliRunner().invoke(app, [*given, "float64,bfloat16"])
    assert isinstance(bad.exception, SpecError)
    assert "allowed is float32, float64, mixed_bfloat16" in str(bad.exception)
