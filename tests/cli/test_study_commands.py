"""`twofold diverge` and `twofold outcome` as a person runs them, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from twofold.cli.diverge import decades, parting_words
from twofold.cli.main import app
from twofold.errors import FrameworkMissing, ResultError
from twofold.studies.divergence import Curve


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_diverge_prints_a_table_and_writes_json_and_chart(tmp_path: Path) -> None:
    stored, drawn = tmp_path / "divergence.json", tmp_path / "divergence.svg"
    out = run(
        *("diverge", "digits", "--steps", "3", "--engines", "torch:eager,flax:jit"),
        *("--json", str(stored), "--chart", str(drawn)),
    )
    assert "torch:eager from float64" in out
    assert "torch:eager, noise floor" in out
    assert "step 3" in out
    assert json.loads(stored.read_text())["schema"] == "twofold.divergence/1"
    svg = drawn.read_text()
    assert svg.startswith("<svg")
    assert "from the float64 run" in svg
    assert "noise floor" in svg


def test_outcome_prints_a_verdict_and_writes_json(tmp_path: Path) -> None:
    stored = tmp_path / "outcome.json"
    out = run(
        *("outcome", "breast-cancer", "--seeds", "2", "--set", "training.epochs=1"),
        *("--margin", "0.9", "--json", str(stored)),
    )
    assert "margin 0.9" in out
    assert "p of equivalence" in out
    assert json.loads(stored.read_text())["schema"] == "twofold.outcome/1"


def test_outcome_of_seeds_together_says_what_was_certified(tmp_path: Path) -> None:
    stored = tmp_path / "outcome.json"
    out = run(
        *("outcome", "diabetes", "--seeds", "2", "--together", "--set", "training.epochs=1"),
        *("--json", str(stored)),
    )
    assert out.count("first 3 steps of 2 seeds certified") == 2
    for sample in json.loads(stored.read_text())["samples"]:
        assert sample["certified"].startswith("first 3 steps")


@pytest.mark.parametrize("option", ["--json", "--chart"])
def test_a_target_without_a_folder_is_refused_before_any_work(option: str, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=option):
        run("diverge", "digits", option, str(tmp_path / "absent" / "file"))


def test_a_chart_without_altair_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(FrameworkMissing, match=r"altair.*pip install"):
        run("diverge", "digits", "--chart", str(tmp_path / "chart.svg"))


def test_decades() -> None:
    assert decades((1,)) == [0]
    assert decades((1, 2, 9, 30, 110, 400)) == [0, 2, 4, 5]


def test_partings_in_words() -> None:
    def curve(first: float, second: float) -> Curve:
        tensors = {"a": (0.0, first), "b": (0.0, second)}
        return Curve("from float64", "x", "float64", (1, 20), (0.0, 1.0), tensors)

    assert parting_words(curve(1.0, 1.0), 1e-5) == "first above 1e-05 at step 20: a, b"
    assert parting_words(curve(1e-9, 1e-8), 1e-5) == "not parted at step 20 (farthest: b)"
