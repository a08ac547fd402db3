"""A run: train in a session, and leave in its folder what it takes to go on after any stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from twofold.engines.session import Session
from twofold.engines.training import Epoch, TrainingResult, scored
from twofold.errors import DataError, SpecError
from twofold.problem.state import TrainState
from twofold.results.json_files import write_json
from twofold.runs import metrics, model_file
from twofold.runs.folder import Header, RunFolder
from twofold.runs.lock import locked
from twofold.runs.metrics import Line
from twofold.runs.pieces import is_boundary, pieces

EVERY_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Events:
    """Who is told what: each piece when it has ended, and in sentences what else happens."""

    on_line: Callable[[Line], None] = lambda _: None
    on_note: Callable[[str], None] = lambda _: None


SILENT: Final = Events()


def run(
    session: Session,
    folder: Path,
    *,
    resume: bool = False,
    every_steps: int | None = None,
    every_seconds: float = EVERY_SECONDS,
    events: Events = SILENT,
) -> TrainingResult:
    """Train to the experiment's end, with checkpoints in a folder; the model lies there afterwards.

    A checkpoint is written after each `every_steps` steps, and at the end of an epoch when the
    last one is `every_seconds` old. With `resume` the run in the folder goes on from its newest
    whole checkpoint, and ends with the same bits as if it had never stopped.

    Raises ResultError or DataError where the folder does not allow it, SpecError for `resume`
    with `rng = "native"`, whose generator no checkpoint holds.
    """
    if every_steps is not None and every_steps < 1:
        raise SpecError(f"every_steps: {every_steps} given; allowed is 1 or more")
    header = Header(session.problem.experiment, session.engine, every_steps)
    place = RunFolder(folder)
    place.make()
    with locked(folder):
        lines = _going_on(session, place, header, events) if resume else _beginning(place, header)
        lines += _trained(session, place, header, every_seconds, events)
        result = scored(session, _epochs(lines))
        if result.outcome == "finished":
            model_file.save(session, place.model)
        write_json(place.result, result.to_json())
    return result


def _beginning(place: RunFolder, header: Header) -> list[Line]:
    place.begin(header)
    return []


def _going_on(session: Session, place: RunFolder, header: Header, events: Events) -> list[Line]:
    """Put the newest checkpoint into the session; returns the lines that lead to it."""
    if session.problem.experiment.rng == "native":
        raise SpecError(
            'rng: "native" given; --resume allows "shared" only, for the state of a framework\'s '
            "own generator is in no checkpoint"
        )
    place.go_on(header)
    state, wrong = place.newest()
    for sentence in wrong:
        events.on_note(f"passed over: {sentence}")
    if state is None:
        events.on_note("no whole checkpoint: the run begins at its first step")
        return metrics.keep_until(place.metrics, 0)
    _require_boundary(session, state, header.every)
    session.load_state(state)
    events.on_note(f"going on from step {state.step:,}")
    return metrics.keep_until(place.metrics, state.step)


def _require_boundary(session: Session, state: TrainState, every: int | None) -> None:
    if not 0 < state.step <= session.problem.total_steps or not is_boundary(
        session.problem, state.step, every
    ):
        raise DataError(
            f"--resume: the newest checkpoint is of step {state.step}, between two places where "
            "this run may stop; begin again in another folder"
        )


def _trained(
    session: Session, place: RunFolder, header: Header, every_seconds: float, events: Events
) -> list[Line]:
    """Take the steps that are left; stops after a piece whose loss is not finite."""
    lines: list[Line] = []
    saved = time.monotonic()
    for piece in pieces(session.problem, session.state().step, header.every):
        start = time.perf_counter()
        losses = session.run(piece.steps)  # (steps,)
        session.synchronize()
        loss = float(np.mean(losses, dtype=np.float64))
        known = loss if math.isfinite(loss) else None
        line = Line(piece.after, piece.steps, piece.epoch, known, time.perf_counter() - start)
        metrics.append(place.metrics, line)
        lines.append(line)
        events.on_line(line)
        if known is None:
            break
        due = header.every is not None and piece.after % header.every == 0
        late = piece.ends_epoch and time.monotonic() - saved >= every_seconds
        if due or late or piece.after == session.problem.total_steps:
            place.save(session.state())
            saved = time.monotonic()
    return lines


def _epochs(lines: list[Line]) -> list[Epoch]:
    """The epochs that lines tell of; a loss that is not finite is not a number."""
    losses = metrics.losses_by_epoch(lines)
    return [
        Epoch(
            epoch,
            sum(line.steps for line in lines if line.epoch == epoch),
            math.nan if loss is None else loss,
            sum(line.seconds for line in lines if line.epoch == epoch),
        )
        for epoch, loss in losses.items()
    ]
