"""`twofold train`, `evaluate` and `predict` as a person calls them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from twofold.cli.app import app
from twofold.engines.registry import open_session
from twofold.engines.training import evaluate, train
from twofold.errors import DataError, ResultError
from twofold.problem.answers import answers
from twofold.problem.data import prepare
from twofold.spec.experiment import Experiment

RUNNER = CliRunner()
ROWS = 60


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of three kinds, its spec, and the run of it."""
    folder = tmp_path_factory.mktemp("flowers")
    random = np.random.default_rng(3)
    kinds = random.integers(0, 3, ROWS)
    lines = ["length,width,kind"]
    for kind in kinds:
        length, width = random.normal(kind * 3, 0.5), random.normal(-kind, 0.5)
        lines.append(f"{length:.3f},{width:.3f},{('iris', 'lily', 'rose')[kind]}")
    (folder / "flowers.csv").write_text("\n".join(lines) + "\n")
    text = f"""
name = "flowers"
[model]
hidden = [8]
[loss]
kind = "cross_entropy"
[optimizer]
kind = "adam"
learning_rate = 0.05
[data]
source = "{folder / "flowers.csv"}"
target = "kind"
batch_size = 12
test_fraction = 0.2
[training]
epochs = 15
"""
    (folder / "flowers.toml").write_text(text)
    found = RUNNER.invoke(
        app, ["train", str(folder / "flowers.toml"), "--output", str(folder / "run")]
    )
    assert found.exit_code == 0, found.output
    assert "test accuracy" in found.output
    return folder


def test_a_run_leaves_what_its_help_says(flowers: Path) -> None:
    run = flowers / "run"
    names = {path.name for path in run.iterdir()}
    assert {"model.safetensors", "metrics.jsonl", "result.json", "curves.svg"} <= names
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4 * epoch for epoch in range(1, 16)]
    assert "<svg" in (run / "curves.svg").read_text()


@pytest.mark.parametrize("engine", ["torch:eager", "flax:jit"])
def test_either_framework_answers_from_the_model(
    engine: str, flowers: Path, tmp_path: Path
) -> None:
    """The same training by hand, its answers for all rows, and those of the command."""
    problem = prepare(Experiment.load(flowers / "flowers.toml"))
    session = open_session(problem, "torch:eager")
    score = train(session).score
    assert score is not None
    model, table = str(flowers / "run" / "model.safetensors"), str(flowers / "flowers.csv")
    out = tmp_path / "out.csv"
    found = RUNNER.invoke(app, ["predict", model, table, "-o", str(out), "--engine", engine])
    assert found.exit_code == 0, found.output
    with out.open() as file:
        said = [row["kind"] for row in csv.DictReader(file)]
    assert len(said) == ROWS
    by_hand = answers(problem, evaluate(session, problem.test.inputs)).tolist()
    again = RUNNER.invoke(app, ["evaluate", model, "--engine", engine])
    assert f"accuracy {score.value:.4f} on 12 rows" in again.output
    with (flowers / "flowers.csv").open() as file:
        truth = [row["kind"] for row in csv.DictReader(file)]
    right = np.mean([a == b for a, b in zip(said, truth, strict=True)])
    on_table = RUNNER.invoke(app, ["evaluate", model, table, "--engine", engine])
    assert f"accuracy {right:.4f} on 60 rows" in on_table.output
    assert set(by_hand) <= {"iris", "lily", "rose"}


def test_numbers_come_in_original_units(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "a,b,y\n" + "".join(f"{i},{i % 3},{i * 100}\n" for i in range(40))
    )
    options = [
        "--set",
        f"data.source={tmp_path / 't.csv'}",
        "--set",
        "data.target=y",
        "--set",
        "training.epochs=30",
    ]
    run = str(tmp_path / "run")
    found = RUNNER.invoke(app, ["train", "diabetes", "--output", run, *options])
    assert found.exit_code == 0, found.output
    said = RUNNER.invoke(app, ["predict", f"{run}/model.safetensors", str(tmp_path / "t.csv")])
    header, *rows = said.output.strip().splitlines()
    assert header == "y"
    assert float(rows[-1]) > 3000 > 1000 > float(rows[3])


def test_a_persons_mistakes_are_sentences(flowers: Path, tmp_path: Path) -> None:
    model = str(flowers / "run" / "model.safetensors")
    spec, run = str(flowers / "flowers.toml"), str(flowers / "run")
    for arguments, kind, says in (
        (["train", spec, "--output", run], ResultError, "there is a run already"),
        (["predict", spec, spec], DataError, "not a whole safetensors file"),
        (["predict", model, str(tmp_path / "no.csv")], DataError, "cannot be read"),
        (["predict", model, model], DataError, "type .safetensors given"),
    ):
        found = RUNNER.invoke(app, arguments)
        assert isinstance(found.exception, kind), found.output
        assert says in str(found.exception)


def test_the_best_epoch_is_said_and_drawn(tmp_path: Path) -> None:
    options = ["--set", "data.validation_fraction=0.2", "--set", "training.patience=1"]
    run = tmp_path / "run"
    found = RUNNER.invoke(app, ["train", "diabetes", "--output", str(run), *options])
    assert found.exit_code == 0, found.output
    stored = json.loads((run / "result.json").read_text())
    best, epochs = stored["validation"]["epoch"], len(stored["epochs"])
    assert f"best epoch {best} of {epochs}" in found.output
    assert "validation, at the end of an epoch" in (run / "curves.svg").read_text()
    again = RUNNER.invoke(app, ["evaluate", str(run / "model.safetensors")])
    assert f"R^2 {stored['score']['value']:.4f} on 88 rows" in again.output
