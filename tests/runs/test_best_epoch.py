"""Runs with validation rows: the model is that of the best epoch, wherever the run was stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from twofold.cli.train import summary
from twofold.engines.registry import open_session
from twofold.engines.session import Session
from twofold.errors import ResultError
from twofold.problem import checkpoint
from twofold.problem.data import prepare
from twofold.problem.problem import Problem, initial_state
from twofold.runs import metrics, model_file
from twofold.runs.metrics import Line
from twofold.runs.run import Events, run
from twofold.spec.experiment import Experiment

EVERY = 4


class Stopped(Exception):
    """Stands for whatever ends a process."""


def problem(**values: object) -> Problem:
    """Epochs of 6 steps; dropout, batch norm and a rate at which it soon gets worse."""
    small = {
        "data__rows": 90,
        "data__batch_size": 8,
        "data__test_fraction": 0.3,
        "data__validation_fraction": 0.3,
        "model__hidden": [8, 8],
        "model__dropout": 0.3,
        "model__norm": "batch_norm",
        "optimizer__learning_rate": 0.05,
        "training__epochs": 20,
        "training__patience": 3,
    }
    return prepare(Experiment.load("lesson").with_values(**{**small, **values}))


@pytest.fixture(scope="module", params=["torch:eager", "flax:jit"])
def opened(request: Any) -> Session:
    return open_session(problem(), request.param)


def fresh(session: Session) -> Session:
    session.load_state(initial_state(session.problem))
    return session


def stop_after(step: int) -> Events:
    def on_line(line: Line) -> None:
        if line.step >= step:
            raise Stopped

    return Events(on_line)


def bits(folder: Path) -> dict[str, bytes]:
    state = checkpoint.load(folder / "model.safetensors")
    return {name: array.tobytes() for name, array in state.tensors.items()}


def untimed(folder: Path) -> list[tuple[int, int, int, float | None, float | None]]:
    lines = metrics.read(folder / "metrics.jsonl")
    return [(x.step, x.steps, x.epoch, x.loss, x.validation_loss) for x in lines]


def test_stopped_before_and_after_the_best_epoch(opened: Session, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    expected = run(fresh(opened), whole, every_steps=EVERY)
    found = expected.validation
    assert found is not None
    assert found.stopped
    assert 6 < found.step < expected.steps == found.step + 18
    model = model_file.load(whole / "model.safetensors")
    assert model.state.step == found.step
    lines = metrics.read(whole / "metrics.jsonl")
    assert {line.step for line in lines if line.validation_loss is not None} == {
        line.step for line in lines if line.step % 6 == 0
    }
    places = (2, 7, found.step - 2, found.step, found.step + 1, found.step + 8, expected.steps)
    for step in places:
        folder = tmp_path / f"stopped-{step}"
        with pytest.raises(Stopped):
            run(fresh(opened), folder, every_steps=EVERY, events=stop_after(step))
        result = run(fresh(opened), folder, resume=True, every_steps=EVERY)
        assert bits(folder) == bits(whole)
        assert untimed(folder) == untimed(whole)
        assert (result.score, result.validation) == (expected.score, found)
    # It had ended, and its best epoch came before its last: no step is left to take.
    again = run(fresh(opened), whole, resume=True, every_steps=EVERY)
    assert (again.score, again.validation, again.steps) == (expected.score, found, expected.steps)


def test_the_model_is_that_of_a_run_of_so_many_epochs(opened: Session, tmp_path: Path) -> None:
    """By hand: the state after each epoch and its loss, without anything that watches."""
    run(fresh(opened), tmp_path)
    session = fresh(opened)
    rows = session.problem.validation
    assert rows is not None
    seen = []
    for _ in range(20):
        session.run(6)
        seen.append((session.loss(rows), session.state()))
        worse = [loss for loss, _ in seen[-3:]]
        if len(seen) > 3 and min(loss for loss, _ in seen[:-3]) <= min(worse):
            break
    best = min(seen, key=lambda each: each[0])[1]
    stored = checkpoint.load(tmp_path / "model.safetensors")
    assert stored.step == best.step
    for name, array in {**best.parameters, **best.buffers}.items():
        assert stored.tensors[name].tobytes() == array.tobytes(), name


def test_a_damaged_best_epoch_is_passed_over_with_its_checkpoint(tmp_path: Path) -> None:
    session = open_session(problem(), "torch:eager")
    run(session, tmp_path / "whole", every_steps=EVERY)
    for what in ("damaged", "gone"):
        folder = tmp_path / what
        with pytest.raises(Stopped):
            run(fresh(session), folder, every_steps=EVERY, events=stop_after(22))
        path = folder / "checkpoints" / "best-at-step-00000020.safetensors"
        if what == "gone":
            path.unlink()
        else:
            data = bytearray(path.read_bytes())
            data[-3] ^= 1
            path.write_bytes(data)
        notes: list[str] = []
        events = Events(on_note=notes.append)
        run(fresh(session), folder, resume=True, every_steps=EVERY, events=events)
        assert "passed over" in notes[0]
        assert "best-at-step-00000020" in notes[0]
        assert notes[1] == "going on from step 16"
        assert bits(folder) == bits(tmp_path / "whole")


def test_metrics_that_name_another_best_epoch_are_refused(tmp_path: Path) -> None:
    session = open_session(problem(), "torch:eager")
    with pytest.raises(Stopped):
        run(session, tmp_path, every_steps=EVERY, events=stop_after(22))
    path = tmp_path / "metrics.jsonl"
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    for line in lines:
        if "validation_loss" in line:
            line["validation_loss"] = float(line["step"] != 6)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ResultError, match="the best epoch ended at step 6, by the newest"):
        run(fresh(session), tmp_path, resume=True, every_steps=EVERY)


def test_checkpoints_stay_with_their_best_epochs(tmp_path: Path) -> None:
    """Also what a process left that was killed between the two files."""
    session = open_session(problem(), "torch:eager")
    with pytest.raises(Stopped):
        run(session, tmp_path, every_steps=EVERY, events=stop_after(13))
    folder = tmp_path / "checkpoints"
    orphan = folder / "best-at-step-00000013.safetensors"
    orphan.write_bytes((folder / "best-at-step-00000012.safetensors").read_bytes())
    run(fresh(session), tmp_path, resume=True, every_steps=EVERY)
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 4
    steps = [name.removeprefix("best-at-") for name in names[:2]]
    assert steps == names[2:]


def test_a_run_of_an_older_version_goes_on(tmp_path: Path) -> None:
    """Its spec has no validation fraction and no patience, its lines and result have no losses."""
    given = problem(data__validation_fraction=0.0, training__patience=None, training__epochs=3)
    session = open_session(given, "torch:eager")
    run(session, tmp_path / "whole")
    folder = tmp_path / "older"
    with pytest.raises(Stopped):
        run(fresh(session), folder, every_steps=8, events=stop_after(16))
    path = folder / "run.json"
    header = json.loads(path.read_text())
    del header["experiment"]["data"]["validation_fraction"]
    del header["experiment"]["training"]["patience"]
    path.write_text(json.dumps(header))
    assert "validation" not in (folder / "metrics.jsonl").read_text()
    run(fresh(session), folder, resume=True, every_steps=8)
    assert bits(folder) == bits(tmp_path / "whole")
    header["experiment"]["seed"] = 5
    path.write_text(json.dumps(header))
    with pytest.raises(ResultError, match=r"experiment\.seed is 0, and 5 in"):
        run(fresh(session), folder, resume=True, every_steps=8)


def test_a_person_reads_which_epoch_it_is(tmp_path: Path) -> None:
    result = run(open_session(problem(), "torch:eager"), tmp_path)
    found = result.validation
    assert found is not None
    epochs = found.epoch + 3
    assert (
        f"best epoch {found.epoch} of {epochs}, stopped after 3 without a better one: validation "
        f"loss {found.loss:.4g} on 19 rows" in summary(result, tmp_path)
    )
    stored = json.loads((tmp_path / "result.json").read_text())
    assert stored["validation"] == {
        "epoch": found.epoch,
        "step": 6 * found.epoch,
        "loss": found.loss,
        "rows": 19,
        "stopped": True,
    }
    short = problem(training__epochs=1, training__patience=None)
    one = run(open_session(short, "torch:eager"), tmp_path / "one")
    assert any(line.startswith("best epoch 1 of 1: ") for line in summary(one, tmp_path))
