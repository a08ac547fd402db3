"""`twofold diverge` and `twofold outcome` as a person runs them, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from twofold.cli.app import app
from twofold.cli.diverge import decades, parting_words
from twofold.errors import FrameworkMissing, ResultError
from twofold.studies.distances import Curve


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


EXPLODE = (
    *("--set", "loss.kind=mse", "--set", "optimizer.kind=sgd", "--set", "data.rows=80"),
    *("--set", "optimizer.learning_rate=5.0", "--set", "data.batch_size=16"),
    *("--set", "model.dropout=0.0"),
)


def told(*arguments: str) -> tuple[int, str]:
    """The exit code, and what is printed with its line ends as spaces."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    return result.exit_code, " ".join(result.output.split())


def test_a_training_that_leaves_the_range_is_told_by_every_command(tmp_path: Path) -> None:
    """Exit code 2: the person can mend it; no engine failed, and nothing diverged."""
    chart = tmp_path / "divergence.svg"
    code, said = told(
        *("diverge", "lesson", "--steps", "40", "--engines", "torch:eager", *EXPLODE),
        *("--chart", str(chart)),
    )
    assert code == 2
    assert "not parted" not in said
    assert "torch:eager is not finite from step" in said
    assert "the training itself leaves the range of float32" in said
    assert "lower optimizer.learning_rate (5 now)" in said
    assert chart.read_text().startswith("<svg")

    code, said = told(
        *("parity", "lesson", "--engines", "torch:eager", "--precision", "float32", *EXPLODE),
    )
    assert code == 2
    assert "the training itself leaves the range of float32 at step" in said
    assert "parity holds up to there" in said
    assert "does not hold" not in said

    code, said = told(
        *("outcome", "lesson", "--seeds", "2", "--set", "training.epochs=20", *EXPLODE),
        *("--set", "data.test_fraction=0.2"),
    )
    assert code == 2
    assert "undecided: 4 of 4 runs diverged" in said
    assert "lower optimizer.learning_rate (5 now)" in said


def test_what_is_not_exercised_is_listed() -> None:
    out = run(
        *("parity", "breast-cancer", "--engines", "torch:eager", "--precision", "float32"),
        *("--steps", "2", "--set", "optimizer.clip_norm=1000.0"),
    )
    said = " ".join(out.split())
    assert "not exercised: optimizer.clip_norm = 1000: clipping acts in no judged step" in said
    assert "parity holds: " in said


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
