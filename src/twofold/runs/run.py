"""A run: train in a session, and leave in its folder what it takes to go on after any stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from twofold.engines.parts import Held
from twofold.engines.session import Session
from twofold.engines.training import Epoch, TrainingResult, scored
from twofold.engines.validation import Watch, best_of
from twofold.engines.world import this_world
from twofold.errors import DataError, ResultError, SpecError
from twofold.problem.problem import Problem
from twofold.results.json_files import write_json
from twofold.runs import metrics, model_file
from twofold.runs.checkpoints import Checkpoints, writes_parts
from twofold.runs.folder import Header, RunFolder
from twofold.runs.lock import locked
from twofold.runs.metrics import Line
from twofold.runs.pieces import Piece, is_boundary, pieces

EVERY_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Events:
    """Who is told what: each piece when it has ended, and in sentences what else happens.

    `on_boundary` is called after each piece, when its checkpoint is written if one was due.
    """

    on_line: Callable[[Line], None] = lambda _: None
    on_note: Callable[[str], None] = lambda _: None
    on_boundary: Callable[[], None] = lambda: None


SILENT: Final = Events()


def run(
    session: Session,
    folder: Path,
    *,
    resume: bool = False,
    every_steps: int | None = None,
    every_seconds: float = EVERY_SECONDS,
    in_parts: bool | None = None,
    shared: Path | None = None,
    events: Events = SILENT,
) -> TrainingResult:
    """Train to the experiment's end, with checkpoints in a folder; the model lies there afterwards.

    A checkpoint is written after each `every_steps` steps, and at the end of an epoch when the
    last one is `every_seconds` old. With `resume` the run in the folder goes on from its newest
    whole checkpoint, and ends with the same bits as if it had never stopped. With validation rows
    the session and the model file end with the state of the best epoch.

    `in_parts`: each process of a world writes its part of a checkpoint (None: where the engine's
    state lies in parts), into `shared`, the folder of the first process, which all see; None where
    that is `folder`.

    Raises ResultError or DataError where the folder does not allow it, SpecError for `in_parts`
    with an engine of one process, and for `resume` with `rng = "native"`, whose generator no
    checkpoint holds.
    """
    if every_steps is not None and every_steps < 1:
        raise SpecError(f"every_steps: {every_steps} given; allowed is 1 or more")
    split = writes_parts(session, in_parts)
    header = Header(session.problem.experiment, session.engine, every_steps, this_world().size)
    place = RunFolder(folder)
    place.make()
    with locked(folder):
        kept = Checkpoints(session, place, shared or folder, in_parts=split)
        if resume:
            lines, watch = _going_on(session, place, kept, header, events)
        else:
            place.begin(header)
            lines, watch = [], Watch(session)
        lines += _trained(session, place, kept, header, every_seconds, events, watch)
        epochs = _epochs(lines, validated=session.problem.validation is not None)
        if epochs[-1].is_finite:
            watch.restore()
        result = scored(session, epochs)
        place.require_there()
        if result.outcome == "finished":
            model_file.save(session, place.model)
        write_json(place.result, result.to_json())
    return result


def _going_on(
    session: Session, place: RunFolder, kept: Checkpoints, header: Header, events: Events
) -> tuple[list[Line], Watch]:
    """Put the newest checkpoint into the session; returns the lines that lead to it."""
    if session.problem.experiment.rng == "native":
        raise SpecError(
            'rng: "native" given; --resume allows "shared" only, for the state of a framework\'s '
            "own generator is in no checkpoint"
        )
    began = place.go_on(header)
    if began is not None and began != header.processes:
        events.on_note(
            f"number of processes: {began} when the run began, {header.processes} now; sums are "
            "taken in another order, so the last bits differ from those of a run without a stop"
        )
    step, best, wrong = kept.restore(
        _first_validation(session.problem), lambda step: _require_boundary(session, step, header)
    )
    for sentence in wrong:
        events.on_note(f"passed over: {sentence}")
    if step is None:
        events.on_note("no whole checkpoint: the run begins at its first step")
        return metrics.keep_until(place.metrics, 0), Watch(session)
    events.on_note(f"going on from step {step:,}")
    lines = metrics.keep_until(place.metrics, step)
    return lines, Watch(session, *_validated(place, lines, best))


def _first_validation(problem: Problem) -> int | None:
    """The step after which a run has a best epoch; None without validation rows."""
    if problem.validation is None:
        return None
    return min(problem.steps_per_epoch, problem.total_steps)


def _require_boundary(session: Session, step: int, header: Header) -> None:
    if not 0 < step <= session.problem.total_steps or not is_boundary(
        session.problem, step, header.every
    ):
        raise DataError(
            f"--resume: the newest checkpoint is of step {step}, between two places where "
            "this run may stop; begin again in another folder"
        )


def _validated(
    place: RunFolder, lines: Sequence[Line], best: Held | None
) -> tuple[list[float], Held | None]:
    """The validation losses that lines tell of, and the state of the best epoch among them.

    Raises ResultError where the checkpoint has another epoch's.
    """
    ends = [line for line in lines if line.validation_loss is not None]
    losses = [line.validation_loss for line in ends if line.validation_loss is not None]
    step = ends[best_of(losses)].step if losses else None
    if best is not None and best.step != step:
        raise ResultError(
            f"{place.metrics}: by its validation losses the best epoch ended at step {step}, by "
            f"the newest checkpoint at step {best.step}; begin again in another folder"
        )
    return losses, best


def _trained(
    session: Session,
    place: RunFolder,
    kept: Checkpoints,
    header: Header,
    every_seconds: float,
    events: Events,
    watch: Watch,
) -> list[Line]:
    """Take the steps that are left; stops after a loss that is not finite, or out of patience."""
    lines: list[Line] = []
    saved = time.monotonic()
    for piece in pieces(session.problem, session.held().step, header.every):
        if watch.is_over:
            break
        line, finite = _line_of(session, piece, watch)
        place.require_there()
        metrics.append(place.metrics, line)
        lines.append(line)
        events.on_line(line)
        if not finite:
            break
        due = header.every is not None and piece.after % header.every == 0
        due = due or piece.after == session.problem.total_steps or watch.is_over
        late = time.monotonic() - saved >= every_seconds
        if due or (piece.ends_epoch and kept.is_late(late)):
            place.require_there()
            kept.save(watch.best)
            saved = time.monotonic()
        events.on_boundary()
    return lines


def _line_of(session: Session, piece: Piece, watch: Watch) -> tuple[Line, bool]:
    """Take the steps of a piece; what became of them, and whether the training may go on."""
    start = time.perf_counter()
    losses = session.run(piece.steps)  # (steps,)
    session.synchronize()
    seconds = time.perf_counter() - start
    loss = _if_finite(float(np.mean(losses, dtype=np.float64)))
    measured = watch.measure() if piece.ends_epoch and loss is not None else None
    validated = None if measured is None else _if_finite(measured)
    line = Line(piece.after, piece.steps, piece.epoch, loss, seconds, validated)
    return line, loss is not None and (measured is None or validated is not None)


def _if_finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None


def _epochs(lines: list[Line], *, validated: bool) -> list[Epoch]:
    """The epochs that lines tell of; a loss that is not finite is not a number."""
    losses = metrics.losses_by_epoch(lines)
    return [
        Epoch(
            epoch,
            sum(line.steps for line in lines if line.epoch == epoch),
            math.nan if loss is None else loss,
            sum(line.seconds for line in lines if line.epoch == epoch),
            _validation_loss(lines, epoch) if validated and loss is not None else None,
        )
        for epoch, loss in losses.items()
    ]


def _validation_loss(lines: list[Line], epoch: int) -> float:
    (*_, last) = (line for line in lines if line.epoch == epoch)
    return math.nan if last.validation_loss is None else last.validation_loss
