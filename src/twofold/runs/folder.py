"""The folder of a run: what it trains, its checkpoints, its metrics, and what came out.

    run.json                        experiment, engine, and how often a checkpoint is due
    metrics.jsonl                   a line for each piece
    checkpoints/step-00000400.safetensors   the newest two
    model.safetensors               when the training has ended
    result.json, curves.svg         likewise

Every file is written whole or not at all, but for metrics.jsonl, which grows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from twofold.errors import DataError, ResultError
from twofold.problem import checkpoint
from twofold.problem.state import TrainState
from twofold.results.json_files import read_json, write_json
from twofold.spec.experiment import Experiment

SCHEMA: Final = "twofold.run/1"
KEPT: Final = 2  # the newest, and the one before it, should the disk have lost the newest
_NAME: Final = re.compile(r"step-([0-9]{8,19})\.safetensors")


@dataclass(frozen=True)
class Header:
    """What a run is of. `every`: a checkpoint may be written at multiples of so many steps."""

    experiment: Experiment
    engine: str
    every: int | None

    def to_json(self) -> dict[str, Any]:
        """The header in the schema `twofold.run/1`."""
        return {
            "schema": SCHEMA,
            "experiment": self.experiment.model_dump(mode="json"),
            "engine": self.engine,
            "checkpoint_every_steps": self.every,
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

    def begin(self, header: Header) -> None:
        """Take the folder for a new run. Raises ResultError where there is one already."""
        if self.header.exists():
            raise ResultError(
                f"--output: {self.path} given, where there is a run already; give --resume to go "
                "on with it, or another folder"
            )
        write_json(self.header, header.to_json())

    def go_on(self, header: Header) -> None:
        """Refuse a folder without a run, or with a run of something else. Raises ResultError."""
        if not self.header.exists():
            raise ResultError(
                f"--resume: there is no run in {self.path}; leave --resume out to begin one"
            )
        stored = read_json(self.header, SCHEMA)
        differing = differences(stored, header.to_json())
        if differing:
            name, before, now = differing[0]
            raise ResultError(
                f"--resume: {name} is {now!r}, and {before!r} in {self.header}; a run goes on as "
                "it began, or its numbers would be others: give the same, or another folder"
            )

    def engine(self) -> str:
        """The engine of the run that is there. Raises ResultError."""
        return str(read_json(self.header, SCHEMA)["engine"])

    def save(self, state: TrainState) -> Path:
        """Write a checkpoint; older ones than the newest KEPT go."""
        path = checkpoint.save(state, self.checkpoints / f"step-{state.step:08d}.safetensors")
        for _, older in self._found()[KEPT:]:
            older.unlink(missing_ok=True)
        return path

    def newest(self) -> tuple[TrainState | None, tuple[str, ...]]:
        """The newest whole checkpoint, and what is wrong with newer ones; None where none is."""
        wrong: list[str] = []
        for step, path in self._found():
            try:
                state = checkpoint.load(path)
            except DataError as error:
                wrong.append(str(error))
                continue
            if state.step == step:
                return state, tuple(wrong)
            wrong.append(f"{path}: its step is {state.step}")
        return None, tuple(wrong)

    def _found(self) -> list[tuple[int, Path]]:
        """Steps and files of checkpoints, the newest first."""
        try:
            names = [(_NAME.fullmatch(path.name), path) for path in self.checkpoints.iterdir()]
        except OSError as error:
            raise ResultError(
                f"{self.checkpoints}: cannot be read: {error.strerror or error}"
            ) from error
        return sorted(((int(match[1]), path) for match, path in names if match), reverse=True)


def differences(before: Any, now: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """Field, old value and new value of all that differs between two JSON values."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            each
            for key in {**before, **now}
            for each in differences(before.get(key), now.get(key), f"{name}.{key}".strip("."))
        ]
    return [] if before == now else [(name, before, now)]
