"""The scripts of divergence and outcome: what they store, and what they answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from comparisons import divergence, outcome
from twofold.results.json_files import read_json


def test_divergence_stores_json_and_chart(tmp_path: Path) -> None:
    arguments = ["diabetes", "--steps", "2", "--engines", "torch:eager", "--out", str(tmp_path)]
    assert divergence.main(arguments) == 0
    stored = read_json(tmp_path / "divergence-diabetes.json", "twofold.divergence/1")
    assert stored["steps"] == [1, 2]
    assert (tmp_path / "figures" / "divergence-diabetes.svg").read_text().startswith("<svg")


def test_outcome_stores_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = outcome.Experiment.load("diabetes").with_values(training__epochs=1)
    monkeypatch.setattr(outcome.Experiment, "load", lambda _: short)
    assert outcome.main(["diabetes", "--seeds", "2", "--out", str(tmp_path)]) == 0
    stored = read_json(tmp_path / "outcome-diabetes.json", "twofold.outcome/1")
    assert [len(sample["seeds"]) for sample in stored["samples"]] == [2, 2]


@pytest.mark.parametrize("script", [divergence, outcome])
def test_a_wrong_experiment_is_one_sentence(
    script: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(["digitz"]) == 2  # type: ignore[attr-defined]
    assert "did you mean" in capsys.readouterr().err
