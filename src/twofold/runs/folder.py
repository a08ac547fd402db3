"""The folder of a run: what it trains, its checkpoints, its metrics, and what came out.

    run.json                        experiment, engine, how often a checkpoint is due, processes
    metrics.jsonl                   a line for each piece
    checkpoints/step-00000400.safetensors   the newest two
    checkpoints/best-at-step-00000400.safetensors   with validation rows: the best epoch until then
    checkpoints/step-00000400.parts/        in the place of both, where several processes write
    model.safetensors               when the training has ended
    result.json, curves.svg         likewise

Every file is written whole or not at all, but for metrics.jsonl, which grows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from twofold.errors import DataError, ResultError
from twofold.problem import checkpoint
from twofold.problem.state import TrainState
from twofold.results.json_files import read_json, write_json
from twofold.spec.experiment import Experiment

SCHEMA: Final = "twofold.run/1"
PROCESSES: Final = "processes"
_NAME: Final = re.compile(r"(?:best-at-)?step-([0-9]{8,19})\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """What a run goes on from: its state, and with validation rows its best epoch's so far."""

    state: TrainState
    best: TrainState | None = None


@dataclass(frozen=True)
class Header:
    """What a run is of. `every`: a checkpoint may be written at multiples of so many steps.

    `processes` is how many shared the training when it began; another number may go on with it.
    """

    experiment: Experiment
    engine: str
    every: int | None
    processes: int = 1

    def to_json(self) -> dict[str, Any]:
        """The header in the schema `twofold.run/1`."""
        return {
            "schema": SCHEMA,
            "experiment": self.experiment.model_dump(mode="json"),
            "engine": self.engine,
            "checkpoint_every_steps": self.every,
            PROCESSES: self.processes,
        }


@final
class RunFolder:
    """Paths, and what is read from and written to them. Raises ResultError or DataError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header = path / "run.json"
        self.metrics = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model.safetensors"
        self.result = path / "result.json"
        self.curves = path / "curves.svg"

    def make(self) -> None:
        """Make the folder and that of its checkpoints."""
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResultError(
                f"--output: {self.path} given: {error.strerror}; allowed is a folder that may be "
                "written to"
            ) from error

    def require_there(self) -> None:
        """Raise ResultError where the folder of a run that is at work has gone.

        What is written makes its folders, and would lie there without the run that it belongs to.
        """
        if not self.header.exists():
            raise ResultError(
                f"{self.path}: {self.header.name} is gone while the run was at work; nothing more "
                "is written; begin again, in a folder that stays"
            )

    def begin(self, header: Header) -> None:
        """Take the folder for a new run. Raises ResultError where there is one already."""
        if self.header.exists():
            raise ResultError(
                f"--output: {self.path} given, where there is a run already; give --resume to go "
                "on with it, or another folder"
            )
        write_json(self.header, header.to_json())

    def go_on(self, header: Header) -> int | None:
        """How many processes began the run, None where its header does not tell it.

        Raises ResultError for a folder without a run, or with a run of something else.
        """
        if not self.header.exists():
            raise ResultError(
                f"--resume: there is no run in {self.path}; leave --resume out to begin one"
            )
        stored, given = _with_defaults(read_json(self.header, SCHEMA)), header.to_json()
        processes = stored.pop(PROCESSES, None)
        del given[PROCESSES]
        differing = differences(stored, given)
        if differing:
            name, before, now = differing[0]
            raise ResultError(
                f"--resume: {name} is {now!r}, and {before!r} in {self.header}; a run goes on as "
                "it began, or its numbers would be others: give the same, or another folder"
            )
        return processes if type(processes) is int and processes > 0 else None

    def engine(self) -> str:
        """The engine of the run that is there. Raises ResultError."""
        return str(read_json(self.header, SCHEMA)["engine"])

    def save(self, state: TrainState, best: TrainState | None = None) -> Path:
        """Write a checkpoint.

        `best` is written first: where the state is, that of the best epoch is.
        """
        if best is not None:
            checkpoint.save(best, self._best_at(state.step))
        return checkpoint.save(state, self._state_at(state.step))

    def read(self, step: int, *, has_best: bool) -> Checkpoint:
        """The checkpoint of a step; `has_best`: with the state of the best epoch until then.

        Raises DataError where one of them is not whole.
        """
        state = _of_step(self._state_at(step), step, step)
        return Checkpoint(state, _of_step(self._best_at(step), 1, step) if has_best else None)

    def found(self) -> list[int]:
        """The steps of which there are checkpoints."""
        return [step for step, path in self._files() if path == self._state_at(step)]

    def keep_only(self, steps: Sequence[int]) -> None:
        """Remove the files of checkpoints of other steps."""
        for step, path in self._files():
            if step not in steps:
                path.unlink(missing_ok=True)

    def _state_at(self, step: int) -> Path:
        return self.checkpoints / f"step-{step:08d}.safetensors"

    def _best_at(self, step: int) -> Path:
        return self.checkpoints / f"best-at-step-{step:08d}.safetensors"

    def _files(self) -> list[tuple[int, Path]]:
        """Steps and files of checkpoints and of their best epochs."""
        return named(self.checkpoints, _NAME)


def named(folder: Path, pattern: re.Pattern[str]) -> list[tuple[int, Path]]:
    """Steps and paths of what has such names, the step in the first group. Raises ResultError."""
    try:
        names = [(pattern.fullmatch(path.name), path) for path in folder.iterdir()]
    except OSError as error:
        raise ResultError(f"{folder}: cannot be read: {error.strerror or error}") from error
    return [(int(match[1]), path) for match, path in names if match]


def _of_step(path: Path, first: int, last: int) -> TrainState:
    """The state in a file, if its step is between two. Raises DataError."""
    state = checkpoint.load(path)
    if not first <= state.step <= last:
        raise DataError(f"{path}: its step is {state.step}")
    return state


def _with_defaults(stored: dict[str, Any]) -> dict[str, Any]:
    """A header with the fields that specs did not have when it was written."""
    try:
        experiment = Experiment.model_validate_json(json.dumps(stored["experiment"]))
    except (KeyError, ValueError):
        return stored  # what is wrong with it differs, and is told so
    return {**stored, "experiment": experiment.model_dump(mode="json")}


def differences(before: Any, now: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """Field, old value and new value of all that differs between two JSON values."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            each
            for key in {**before, **now}
            for each in differences(before.get(key), now.get(key), f"{name}.{key}".strip("."))
        ]
    return [] if before == now else [(name, before, now)]
