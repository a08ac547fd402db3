"""Training to the end in one engine: the losses of each epoch, the metric on the test rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

from twofold.engines.session import Session
from twofold.engines.validation import Validation, Watch, best_of
from twofold.errors import DataError
from twofold.problem import metrics
from twofold.problem.problem import Problem
from twofold.problem.row_maps import in_order
from twofold.problem.state import Array
from twofold.results import environment
from twofold.spec.experiment import Experiment

SCHEMA: Final = "twofold.training/1"
EVALUATION_ROWS: Final = 1024

Outcome = Literal["finished", "diverged"]


@dataclass(frozen=True)
class Epoch:
    """One pass over the training rows, counted from 1; `loss` is the mean over its steps.

    `steps` is the number of steps taken in it; `seconds` what they took, compilation included.
    `validation_loss` is that of the validation rows at its end, None where there are none.
    """

    epoch: int
    steps: int
    loss: float
    seconds: float
    validation_loss: float | None = None

    @property
    def is_finite(self) -> bool:
        """Whether its losses are numbers that a training can go on from."""
        return bool(np.isfinite([self.loss, self.validation_loss or 0.0]).all())


@dataclass(frozen=True)
class Score:
    """A metric on the test rows, beside that of a model that ignores its inputs."""

    name: metrics.MetricName
    value: float
    baseline: float
    rows: int


@dataclass(frozen=True)
class TrainingResult:
    """One experiment trained in one engine.

    `outcome` is `diverged` when a loss was not finite: training stops after that epoch; and when
    the metric of the test rows is not. `score` is None then, where there are no test rows, and
    where the metric has no value on them: `note` says why. With validation rows the score is that
    of the best epoch, and `validation` says which it is; `steps` and `epochs` are all that were
    trained.
    """

    experiment: Experiment
    engine: str
    environment: dict[str, Any]
    outcome: Outcome
    steps: int
    epochs: tuple[Epoch, ...]
    score: Score | None
    training_seconds: float
    evaluation_seconds: float
    note: str | None = None
    validation: Validation | None = None

    def to_json(self) -> dict[str, Any]:
        """The result in the schema `twofold.training/1`; a loss that is not finite is null."""
        epochs = [asdict(epoch) for epoch in self.epochs]
        for epoch in epochs:
            epoch["loss"] = epoch["loss"] if np.isfinite(epoch["loss"]) else None
            validated = epoch.pop("validation_loss")
            if validated is not None:
                epoch["validation_loss"] = validated if np.isfinite(validated) else None
        return {
            "schema": SCHEMA,
            "experiment": self.experiment.model_dump(mode="json"),
            "environment": self.environment,
            "engine": self.engine,
            "outcome": self.outcome,
            "steps": self.steps,
            "epochs": epochs,
            "score": None if self.score is None else asdict(self.score),
            "training_seconds": self.training_seconds,
            "evaluation_seconds": self.evaluation_seconds,
            "note": self.note,
            "validation": None if self.validation is None else asdict(self.validation),
        }


def train(
    session: Session, *, on_progress: Callable[[Epoch], None] | None = None
) -> TrainingResult:
    """Take the steps that the experiment asks for and has not yet taken, then score the test rows.

    With validation rows the session holds the state of the best epoch afterwards. `on_progress` is
    called after each epoch. Raises DataError when all steps were already taken.
    """
    epochs: list[Epoch] = []
    watch = Watch(session)
    for size, number in _chunks(session):
        epochs.append(_run_epoch(session, number, size, watch))
        if on_progress is not None:
            on_progress(epochs[-1])
        if not epochs[-1].is_finite or watch.is_over:
            break
    if epochs[-1].is_finite:
        watch.restore()
    return scored(session, epochs)


def scored(session: Session, epochs: Sequence[Epoch]) -> TrainingResult:
    """What became of a training of these epochs: its outcome, and the score of the test rows.

    The session is scored as it stands: with validation rows, at the best epoch.
    """
    diverged = not epochs[-1].is_finite
    start = time.perf_counter()
    test, loss = session.problem.test, session.problem.experiment.loss.kind
    note = None if test.rows == 0 else metrics.why_no_score(loss, test.targets)
    to_score = test.rows > 0 and note is None and not diverged
    score = _score(session.problem, evaluate(session, test.inputs)) if to_score else None
    diverged = diverged or (to_score and score is None)
    return TrainingResult(
        experiment=session.problem.experiment,
        engine=session.engine,
        environment=environment.describe(),
        outcome="diverged" if diverged else "finished",
        steps=sum(epoch.steps for epoch in epochs),
        epochs=tuple(epochs),
        score=score,
        training_seconds=sum(epoch.seconds for epoch in epochs),
        evaluation_seconds=time.perf_counter() - start,
        note=note,
        validation=None if diverged else _validated(session.problem, epochs),
    )


def _validated(problem: Problem, epochs: Sequence[Epoch]) -> Validation | None:
    """The best of epochs by their validation losses; None without validation rows."""
    losses = [epoch.validation_loss for epoch in epochs if epoch.validation_loss is not None]
    if problem.validation is None or not losses:
        return None
    best = best_of(losses)
    ends = [min(epoch.epoch * problem.steps_per_epoch, problem.total_steps) for epoch in epochs]
    return Validation(
        epoch=epochs[best].epoch,
        step=ends[best],
        loss=losses[best],
        rows=problem.validation.rows,
        stopped=ends[-1] < problem.total_steps,
    )


def evaluate(session: Session, inputs: Array) -> Array:
    """Logits (rows, out_features) in evaluation mode, computed in chunks of EVALUATION_ROWS."""
    return np.concatenate([session.logits(rows) for rows in in_order(inputs, EVALUATION_ROWS)])


def _chunks(session: Session) -> list[tuple[int, int]]:
    """(steps, epoch counted from 1) of each piece of work, cut at the ends of epochs."""
    problem = session.problem
    step, total = session.state().step, problem.total_steps
    if step >= total:
        raise DataError(
            f"session: {step} steps taken, the experiment asks for {total}; "
            "open a new session or raise training.epochs"
        )
    chunks: list[tuple[int, int]] = []
    while step < total:
        epoch, position = divmod(step, problem.steps_per_epoch)
        size = min(problem.steps_per_epoch - position, total - step)
        chunks.append((size, epoch + 1))
        step += size
    return chunks


def _run_epoch(session: Session, number: int, steps: int, watch: Watch) -> Epoch:
    start = time.perf_counter()
    losses = session.run(steps)  # (steps,)
    session.synchronize()
    seconds = time.perf_counter() - start
    loss = float(np.mean(losses, dtype=np.float64))
    return Epoch(number, steps, loss, seconds, watch.measure() if np.isfinite(loss) else None)


def _score(problem: Problem, logits: Array) -> Score | None:
    """The score of the test rows' logits; None where these, or the metric, are not finite."""
    if not np.isfinite(logits).all():
        return None
    loss, test = problem.experiment.loss.kind, problem.test
    value = metrics.metric_of(loss, logits, test.targets)
    if not np.isfinite(value):
        return None
    return Score(
        name=metrics.METRIC_OF_LOSS[loss],
        value=value,
        baseline=metrics.baseline_of(loss, problem.train.targets, test.targets),
        rows=test.rows,
    )
