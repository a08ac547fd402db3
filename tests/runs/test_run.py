"""A run stopped anywhere and taken up again ends with the bits of one that never stopped."""

from __future__ import annotations

import json
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twofold.engines.registry import open_session
from twofold.engines.session import Session
from twofold.errors import DataError, ResultError, SpecError
from twofold.problem import checkpoint
from twofold.problem.data import prepare
from twofold.problem.problem import Problem
from twofold.runs import metrics, model_file
from twofold.runs.lock import locked
from twofold.runs.metrics import Line
from twofold.runs.run import Events, run
from twofold.spec.experiment import Experiment

EVERY = 4
ENGINES = ("torch:eager", "flax:jit", "flax:scan")


class Stopped(Exception):
    """Stands for whatever ends a process."""


def problem(**values: object) -> Problem:
    """Three epochs of 6 steps; dropout, a schedule and batch norm, whose buffers count too."""
    small = {
        "data__rows": 55,
        "data__batch_size": 8,
        "data__test_fraction": 0.2,
        "model__hidden": [8, 8],
        "model__dropout": 0.3,
        "model__norm": "batch_norm",
        "training__epochs": 3,
        "optimizer__schedule": {"kind": "linear", "transition_steps": 18},
    }
    return prepare(Experiment.load("lesson").with_values(**{**small, **values}))


@pytest.fixture(scope="module", params=ENGINES)
def opened(request: Any) -> Session:
    return open_session(problem(), request.param)


def fresh(session: Session) -> Session:
    """The same session before its first step: opened again, without compiling again."""
    from twofold.problem.problem import initial_state

    session.load_state(initial_state(session.problem))
    return session


def stop_after(pieces: int) -> Events:
    seen: list[Line] = []

    def on_line(line: Line) -> None:
        seen.append(line)
        if len(seen) == pieces:
            raise Stopped

    return Events(on_line)


def stopped(session: Session, folder: Path) -> Path:
    """A folder with a run that was stopped after five pieces."""
    with pytest.raises(Stopped):
        run(fresh(session), folder, every_steps=EVERY, events=stop_after(5))
    return folder


def bits(folder: Path) -> dict[str, bytes]:
    state = checkpoint.load(folder / "model.safetensors")
    return {name: array.tobytes() for name, array in state.tensors.items()}


def untimed(folder: Path) -> list[tuple[int, int, int, float | None]]:
    lines = metrics.read(folder / "metrics.jsonl")
    return [(line.step, line.steps, line.epoch, line.loss) for line in lines]


def test_a_stopped_run_ends_with_the_same_bits(opened: Session, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    expected = run(fresh(opened), whole, every_steps=EVERY)
    assert expected.outcome == "finished"
    for pieces in (1, 2, 4, 5):
        folder = tmp_path / f"stopped-{pieces}"
        with pytest.raises(Stopped):
            run(fresh(opened), folder, every_steps=EVERY, events=stop_after(pieces))
        notes: list[str] = []
        events = Events(on_note=notes.append)
        result = run(fresh(opened), folder, resume=True, every_steps=EVERY, events=events)
        assert bits(folder) == bits(whole)
        assert untimed(folder) == untimed(whole)
        assert [epoch.loss for epoch in result.epochs] == [e.loss for e in expected.epochs]
        assert result.score == expected.score
        assert len(notes) == 1
    again = run(fresh(opened), whole, resume=True, every_steps=EVERY)  # it had ended: no step left
    assert again.score == expected.score


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    session = open_session(problem(), "torch:eager")
    run(session, tmp_path / "whole", every_steps=EVERY)
    folder = stopped(session, tmp_path / "damaged")
    newest = sorted((folder / "checkpoints").iterdir())[-1]
    data = bytearray(newest.read_bytes())
    data[-3] ^= 1
    newest.write_bytes(data)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 17, "ste')  # half a line
    notes: list[str] = []
    run(fresh(session), folder, resume=True, every_steps=EVERY, events=Events(on_note=notes.append))
    assert "passed over" in notes[0]
    assert "digest" in notes[0]
    assert bits(folder) == bits(tmp_path / "whole")
    assert untimed(folder) == untimed(tmp_path / "whole")


def test_only_the_newest_two_checkpoints_stay(tmp_path: Path) -> None:
    run(open_session(problem(), "torch:eager"), tmp_path, every_steps=EVERY)
    names = [path.name for path in sorted((tmp_path / "checkpoints").iterdir())]
    assert names == ["step-00000016.safetensors", "step-00000018.safetensors"]


def test_what_the_folder_does_not_allow_is_said(tmp_path: Path) -> None:
    session = open_session(problem(), "torch:eager")
    with pytest.raises(ResultError, match="there is no run in"):
        run(session, tmp_path / "none", resume=True)
    run(session, tmp_path / "one", every_steps=EVERY)
    with pytest.raises(ResultError, match="where there is a run already; give --resume"):
        run(fresh(session), tmp_path / "one", every_steps=EVERY)
    with pytest.raises(ResultError, match="checkpoint_every_steps is 5, and 4 in"):
        run(fresh(session), tmp_path / "one", resume=True, every_steps=5)
    other = open_session(problem(seed=7), "torch:eager")
    with pytest.raises(ResultError, match=r"experiment\.seed is 7, and 0 in"):
        run(other, tmp_path / "one", resume=True, every_steps=EVERY)
    with pytest.raises(SpecError, match="every_steps: 0 given"):
        run(fresh(session), tmp_path / "two", every_steps=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="allowed is a folder"):
        run(fresh(session), tmp_path / "file")
    read_only = Path("/sys/twofold-run") if sys.platform == "linux" else tmp_path / "file" / "run"
    with pytest.raises(ResultError, match="allowed is a folder that may be written to"):
        run(fresh(session), read_only)


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    session = open_session(problem(), "torch:eager")
    with locked(tmp_path), pytest.raises(ResultError, match="another run is at work"):
        run(session, tmp_path)
    assert not (tmp_path / "run.json").exists()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes: its disk takes no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more_leaves_the_checkpoints_before(tmp_path: Path) -> None:
    session = open_session(problem(), "torch:eager")
    run(session, tmp_path / "whole", every_steps=EVERY)
    folder = stopped(session, tmp_path / "full")
    before = {path.name: path.read_bytes() for path in (folder / "checkpoints").iterdir()}
    assert len(before) == 2
    longest = min(map(len, before.values()))
    with (
        files_of_at_most(longest - 1),
        pytest.raises(
            DataError, match=r"step-0000....\.safetensors: cannot be written: File too l"
        ),
    ):
        run(fresh(session), folder, resume=True, every_steps=EVERY)
    assert {path.name: path.read_bytes() for path in (folder / "checkpoints").iterdir()} == before
    run(fresh(session), folder, resume=True, every_steps=EVERY)
    assert bits(folder) == bits(tmp_path / "whole")
    assert untimed(folder) == untimed(tmp_path / "whole")


@pytest.mark.parametrize("pieces", [1, 3, 6])
def test_a_folder_that_vanishes_is_not_made_anew(tmp_path: Path, pieces: int) -> None:
    folder = tmp_path / "run"
    seen: list[Line] = []

    def on_line(line: Line) -> None:
        seen.append(line)
        if len(seen) == pieces:
            shutil.rmtree(folder)

    session = open_session(problem(), "torch:eager")
    with pytest.raises(ResultError, match=r"run\.json is gone while the run was at work"):
        run(session, folder, every_steps=EVERY, events=Events(on_line))
    assert len(seen) == pieces
    assert not folder.exists()


def test_native_draws_do_not_go_on(tmp_path: Path) -> None:
    session = open_session(problem(rng="native"), "torch:eager")
    run(session, tmp_path)
    with pytest.raises(SpecError, match="generator is in no checkpoint"):
        run(session, tmp_path, resume=True)


def test_a_training_that_leaves_the_range_leaves_no_model(tmp_path: Path) -> None:
    wild = problem(model__norm="none", optimizer={"kind": "sgd", "learning_rate": 1e30})
    result = run(open_session(wild, "torch:eager"), tmp_path)
    assert result.outcome == "diverged"
    assert not (tmp_path / "model.safetensors").exists()
    assert json.loads((tmp_path / "result.json").read_text())["outcome"] == "diverged"


def test_a_gap_in_the_metrics_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for step in (4, 6, 8):
        metrics.append(path, Line(step, 4 if step == 4 else 2, 1, 0.5, 0.1))
    assert metrics.keep_until(path, 6)[-1].step == 6
    path.write_text("\n".join(path.read_text().splitlines()[1:]) + "\n")
    with pytest.raises(ResultError, match="do not lead to step 6"):
        metrics.keep_until(path, 6)


def test_a_model_file_says_all_that_it_takes(tmp_path: Path) -> None:
    given = prepare(Experiment.load("diabetes").with_values(training__epochs=1))
    session = open_session(given, "torch:eager")
    run(session, tmp_path)
    model = model_file.load(tmp_path / "model.safetensors")
    assert model.experiment == given.experiment
    assert model.engine == "torch:eager"
    assert model.state.step == given.total_steps
    assert model.description.inputs == given.description.inputs
    for name in ("input_scaling", "target_scaling"):
        for part in ("mean", "scale"):
            before = getattr(getattr(given.description, name), part)
            np.testing.assert_array_equal(getattr(getattr(model.description, name), part), before)
    for name, array in session.state().parameters.items():
        np.testing.assert_array_equal(model.state.parameters[name], array)
    newest = sorted((tmp_path / "checkpoints").iterdir())[-1]
    with pytest.raises(DataError, match="no model in it"):
        model_file.load(newest)
