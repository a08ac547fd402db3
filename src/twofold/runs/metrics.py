"""The metrics of a run: one line of JSON for each piece, in `metrics.jsonl`.

A line is written when its piece has ended, and reaches the disk before the next piece begins. A
process that is killed may leave half a line, or lines of steps that its last checkpoint does not
have: who goes on drops both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from twofold.errors import ResultError
from twofold.files import write_text


@dataclass(frozen=True)
class Line:
    """What became of one piece: `steps` steps up to `step`, in `epoch` (counted from 1).

    `loss` is the mean over these steps, None where it is not finite. `seconds` is what they took,
    compiling included. `validation_loss` is that of the validation rows at the end of an epoch;
    None elsewhere, and where it is not finite.
    """

    step: int
    steps: int
    epoch: int
    loss: float | None
    seconds: float
    validation_loss: float | None = None

    def as_text(self) -> str:
        """The line as JSON with a line feed; without a validation loss where there is none."""
        values = asdict(self)
        if self.validation_loss is None:
            del values["validation_loss"]
        return json.dumps(values, allow_nan=False) + "\n"


def append(path: Path, line: Line) -> None:
    """Write a line behind the others, onto the disk. Raises ResultError."""
    text = line.as_text()
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ResultError(f"{path}: cannot be written: {error.strerror or error}") from error


def read(path: Path) -> list[Line]:
    """The whole lines, up to the first that is none. Raises ResultError for an unreadable file."""
    try:
        texts = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror or error}") from error
    lines: list[Line] = []
    for text in texts[:-1]:  # what follows the last line feed was not written to its end
        line = _parsed(text)
        if line is None:
            break
        lines.append(line)
    return lines


def keep_until(path: Path, step: int) -> list[Line]:
    """Drop what lies after a step; returns what is left. Raises ResultError.

    It is an error if what is left does not lead from step 0 to that step without a gap.
    """
    lines = [line for line in read(path) if line.step <= step]
    reached = 0
    for line in lines:
        reached = line.step if line.step - line.steps == reached else -1
    if reached != step:
        raise ResultError(
            f"{path}: its lines do not lead to step {step}, where the newest checkpoint is; "
            "begin again in another folder"
        )
    write_text(path, "".join(line.as_text() for line in lines))
    return lines


def _parsed(text: str) -> Line | None:
    try:
        given: Any = json.loads(text)
        whole = all(_count(given[name]) for name in ("step", "steps", "epoch"))
        losses, seconds = (given["loss"], given.get("validation_loss")), given["seconds"]
        numbers = isinstance(seconds, float) and all(
            loss is None or isinstance(loss, float) for loss in losses
        )
        return Line(**given) if whole and numbers else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _count(value: object) -> bool:
    return type(value) is int and value > 0


def losses_by_epoch(lines: Sequence[Line]) -> dict[int, float | None]:
    """The mean loss of each epoch, over its steps; None where one of them is not finite."""
    sums: dict[int, tuple[int, float | None]] = {}
    for line in lines:
        steps, total = sums.get(line.epoch, (0, 0.0))
        known = None if total is None or line.loss is None else total + line.steps * line.loss
        sums[line.epoch] = steps + line.steps, known
    return {epoch: None if s is None else s / n for epoch, (n, s) in sums.items()}
