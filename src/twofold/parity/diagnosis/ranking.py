"""Ranking known differences: a failed rung is judged again by the oracle with each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from twofold.parity.diagnosis.catalogue import causes_of
from twofold.parity.diagnosis.cause import Cause, at, each_moment, seen
from twofold.parity.diagnosis.causes_of_layers import in_training_mode
from twofold.parity.diagnosis.causes_of_transfer import of_transfer, of_unmoved_step
from twofold.parity.judging.comparison import compare, compare_exactly
from twofold.parity.judging.subject import Subject
from twofold.parity.judging.verdict import Rung
from twofold.parity.ladder.evaluation import NAME as EVALUATION_METRIC
from twofold.parity.ladder.evaluation import logits_in_batches, rows_to_evaluate
from twofold.parity.ladder.export import NAME as EXPORT_AND_IMPORT
from twofold.parity.ladder.export import Transfer, compare_logits, flat, transferred
from twofold.parity.ladder.multistep import NAME as MULTI_STEP
from twofold.parity.ladder.multistep import failing_step
from twofold.parity.ladder.reference import Moment, Reference, moment, seen_after
from twofold.parity.ladder.rungs import LADDER
from twofold.parity.ladder.steplocked import NAME as STEP_LOCKED
from twofold.parity.ladder.steplocked import Standard, TakenStep, compare_step, judge_steps
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded
from twofold.parity.oracle.network import forward
from twofold.problem.problem import Batch, Problem, dropout_masks, initial_parameters
from twofold.problem.state import TrainState

MOMENT_RUNGS: Final = frozenset(
    {"init", "data order", "dropout masks", "forward", "loss", "gradients"}
    | {f"{what} ({when})" for what in ("slots", "buffers", "update") for when in ("fresh", "warm")}
)


@dataclass(frozen=True)
class Fit:
    """How well the oracle fits with a cause: the worst ratio that is left."""

    cause: Cause
    ratio: float

    @property
    def whole(self) -> bool:
        """Whether the cause accounts for every element."""
        return self.ratio <= self.cause.largest_ratio


@dataclass(frozen=True)
class Trial:
    """What an engine did on a rung that failed, ready to be judged by a changed oracle.

    `ratio` gives the worst ratio that is left under a changed reference, None where it cannot tell.
    """

    reference: Reference
    causes: tuple[Cause, ...]
    ratio: Callable[[Reference], float | None]


def ranked(subject: Subject, rung: Rung) -> list[Fit]:
    """Every known cause with what it leaves, the best fit first; the session's state changes.

    Empty where the failure does not show again.
    """
    try:
        trial = _trial_of(subject, rung)
    except Exception:  # an engine that is already wrong may fail in any way
        return []
    if trial is None:
        return []
    fits = []
    for cause in trial.causes:
        ratio = _ratio_with(trial, cause)
        if ratio is not None:
            fits.append(Fit(cause, ratio))
    # Of those that fit, coarser arithmetic says least, and comes last in the catalogue.
    return sorted(fits, key=lambda fit: 0.0 if fit.whole else fit.ratio)


def _ratio_with(trial: Trial, cause: Cause) -> float | None:
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return trial.ratio(cause.change(trial.reference))
    except Exception:  # an engine that is already wrong may fail in any way
        return None


def _trial_of(subject: Subject, rung: Rung) -> Trial | None:
    if rung.rung in MOMENT_RUNGS:
        return _trial_of_moments(subject, rung)
    trials = {
        STEP_LOCKED: _trial_of_step,
        MULTI_STEP: _trial_of_several,
        EVALUATION_METRIC: _trial_of_evaluation,
        EXPORT_AND_IMPORT: _trial_of_export,
    }
    return trials[rung.rung](subject)


def _trial_of_moments(subject: Subject, rung: Rung) -> Trial:
    """The rung asks the session again."""
    place = rung.rung.replace("slots", "update").replace("buffers", "update")
    judges = [judge for name, judge in LADDER if name == place]

    def ratio(reference: Reference) -> float | None:
        changed = replace(subject, reference=reference)
        judged = [again for judge in judges for again in judge(changed)]
        same = [again for again in judged if again.rung == rung.rung]
        if not same or same[0].verdict in ("not run", "out of range"):
            return None
        return same[0].worst_ratio or 0.0

    experiment = subject.reference.problem.experiment
    return Trial(subject.reference, causes_of(experiment, rung.rung), ratio)


def _only(reference: Reference, given: Moment, problem: Problem | None = None) -> Reference:
    """A reference of one moment."""
    return replace(reference, problem=problem or reference.problem, fresh=given, warm=given)


def _trial_of_step(subject: Subject) -> Trial | None:
    """The first step that fails, taken once more from the initial state on, then kept."""
    last = judge_steps(subject)[-1]
    return None if last.comparison.within else _trial_of_taken(subject, last.taken)


def _trial_of_several(subject: Subject) -> Trial | None:
    """The first step that fails by itself; what several in one call alone do has no causes here."""
    failing = failing_step(subject)
    return None if failing is None else _trial_of_taken(subject, failing.taken)


def _trial_of_taken(subject: Subject, taken: TakenStep) -> Trial:
    """A step from its state before to its state after."""
    reference = subject.reference
    if not taken.counted:
        return _trial_of_unmoved_step(reference, taken)
    given = moment("locked", reference.problem, taken.before, reference.arithmetic)

    def ratio(changed: Reference) -> float | None:
        expected = seen_after(changed.fresh, changed.problem, taken.after, changed.arithmetic)
        standard = Standard.of(replace(subject, reference=changed))
        comparison = compare_step(standard, taken, expected).comparison
        return None if comparison.unusable is not None else comparison.worst_ratio

    causes = causes_of(reference.problem.experiment, STEP_LOCKED)
    return Trial(_only(reference, given), causes, ratio)


def _trial_of_unmoved_step(reference: Reference, taken: TakenStep) -> Trial:
    given = _only(reference, replace(reference.warm, state=taken.before))
    arrived = flat(taken.after, "")

    def ratio(changed: Reference) -> float | None:
        return compare_exactly(arrived, flat(changed.fresh.state, "")).worst_ratio

    return Trial(given, tuple(of_unmoved_step()), ratio)


def _trial_of_evaluation(subject: Subject) -> Trial | None:
    """The rows that are evaluated, from the state that the session is in."""
    problem, arithmetic = subject.reference.problem, subject.reference.arithmetic
    rows, _ = rows_to_evaluate(problem)
    state = subject.session.state()
    computed = {"logits": logits_in_batches(subject.session, rows.inputs)}
    given = _reference_on(subject.reference, state, rows)
    allowed = {"logits": given.fresh.evaluation_logits}
    if compare(computed, allowed, arithmetic).within:
        return None

    def ratio(changed: Reference) -> float | None:
        logits = {"logits": changed.fresh.evaluation_logits}
        comparison = compare(computed, logits, changed.arithmetic)
        return None if comparison.unusable is not None else comparison.worst_ratio

    size = min(problem.experiment.data.batch_size, rows.rows)
    initial = each_moment("the initial parameters are evaluated", _initial_parameters)
    causes = [initial, *causes_of(problem.experiment, "forward")]
    mode = in_training_mode(problem.experiment)
    if mode is not None:
        words = f"evaluation runs in training mode ({mode}), batch by batch"
        causes.insert(1, each_moment(words, lambda m, p, a: _training_in_batches(m, p, a, size)))
    return Trial(given, tuple(causes), ratio)


def _reference_on(reference: Reference, state: TrainState, rows: Batch) -> Reference:
    """A reference whose one moment has these rows as its batch, in their own order."""
    experiment = reference.problem.experiment
    data = experiment.data.model_copy(
        update={"batch_size": rows.rows, "shuffle": False, "drop_last": False}
    )
    problem = Problem(experiment.model_copy(update={"data": data}), rows, rows)
    return _only(reference, moment("evaluated", problem, state, reference.arithmetic), problem)


def _initial_parameters(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    return seen(at(given, initial_parameters(problem)), problem, arithmetic)


def _training_in_batches(
    given: Moment, problem: Problem, arithmetic: Arithmetic, size: int
) -> Moment:
    """Training mode in pieces of `size` rows, the last of which reaches back to be whole."""
    masks = dropout_masks(problem, given.state.step, size)
    values, bounds = [], []
    for start in range(0, given.batch.rows, size):
        first = min(start, given.batch.rows - size)
        inputs = given.batch.inputs[first : first + size]
        logits = forward(problem.experiment, given.state, inputs, masks, arithmetic)
        values.append(logits.value[start - first :])
        bounds.append(logits.bound[start - first :])
    return replace(given, evaluation_logits=Bounded(np.concatenate(values), np.concatenate(bounds)))


def _trial_of_export(subject: Subject) -> Trial | None:
    """The warm state is sent on the same way."""
    reference = subject.reference
    subject.session.load_state(reference.warm.state)
    transfer = transferred(subject)
    sent = transfer.sent(transfer.original)
    if not compare_exactly(transfer.arrived(), sent).within:
        given = _only(reference, replace(reference.warm, state=transfer.original))
        causes = tuple(of_transfer(reference.problem.experiment))
        return Trial(given, causes, lambda changed: _ratio_of_arrival(transfer, changed))
    given = _reference_on(reference, transfer.original, reference.warm.batch)
    arithmetic = reference.arithmetic
    if compare_logits(transfer, given.fresh.evaluation_logits, arithmetic).within:
        return None

    def ratio(changed: Reference) -> float | None:
        logits = changed.fresh.evaluation_logits
        comparison = compare_logits(transfer, logits, changed.arithmetic)
        return None if comparison.unusable is not None else comparison.worst_ratio

    return Trial(given, causes_of(reference.problem.experiment, "forward"), ratio)


def _ratio_of_arrival(transfer: Transfer, changed: Reference) -> float:
    """Zero if the changed state is what arrived at one of the two places, or at both."""
    right, wrong = transfer.original, changed.fresh.state
    ways = ((wrong, wrong), (wrong, right), (right, wrong))
    ratios = []
    for elsewhere, back in ways:
        expected = {
            **flat(elsewhere, f"in {transfer.elsewhere}"),
            **flat(back, "and back"),
        }
        ratios.append(compare_exactly(transfer.arrived(), expected).worst_ratio)
    return min(ratios)
