"""The rungs of the ladder, in order; each asks one session one question.

Every rung is a function from a `Subject` to a `Rung`; the table at the end is the ladder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from twofold.parity.judging.comparison import Comparison, compare, compare_exactly
from twofold.parity.judging.subject import LadderName, Subject
from twofold.parity.judging.verdict import Rung
from twofold.parity.ladder.evaluation import NAME as EVALUATION_METRIC
from twofold.parity.ladder.evaluation import evaluation_metric_rung
from twofold.parity.ladder.export import NAME as EXPORT_AND_IMPORT
from twofold.parity.ladder.export import export_and_import_rung
from twofold.parity.ladder.known_differences import Part, first_that_explains
from twofold.parity.ladder.multistep import NAME as MULTI_STEP
from twofold.parity.ladder.multistep import multi_step_rung
from twofold.parity.ladder.reference import Moment, seen_after
from twofold.parity.ladder.steplocked import NAME as STEP_LOCKED
from twofold.parity.ladder.steplocked import step_locked_rung
from twofold.parity.oracle.bounded import Bounded
from twofold.problem.problem import batch_at, dropout_masks, initial_state
from twofold.problem.state import Array
from twofold.spec.model import dropouts


def init_rung(subject: Subject) -> Rung:
    """The session starts from the problem's own initial state, bit for bit."""
    expected = initial_state(subject.reference.problem)
    state = subject.session.state()
    tensors = {**state.tensors, "step": np.asarray(state.step)}
    wanted = {**expected.tensors, "step": np.asarray(expected.step)}
    return subject.rung("init", compare_exactly(tensors, wanted))


def data_order_rung(subject: Subject) -> Rung:
    """First, second and last batch of an epoch and the first of the next hold the right rows."""
    problem = subject.reference.problem
    last = problem.steps_per_epoch - 1
    computed: dict[str, Array] = {}
    expected: dict[str, Array] = {}
    for step in sorted({0, min(1, last), last, last + 1}):
        given, wanted = subject.session.batch(step), batch_at(problem, step)
        computed |= {f"inputs, step {step}": given.inputs, f"targets, step {step}": given.targets}
        expected |= {f"inputs, step {step}": wanted.inputs, f"targets, step {step}": wanted.targets}
    return subject.rung("data order", compare_exactly(computed, expected))


def dropout_masks_rung(subject: Subject) -> Rung:
    """The masks drawn on the device are the shared ones, at a fresh and at a warm step."""
    problem = subject.reference.problem
    if not dropouts(problem.experiment.model):
        note = "no dropout in this experiment: no masks are drawn"
        drawn = subject.session.masks(problem.experiment.data.batch_size)
        return subject.rung(
            "dropout masks",
            Comparison(np.inf if drawn else 0.0, None, len(drawn), 1, note, telling=1),
        )
    computed: dict[str, Array] = {}
    expected: dict[str, Array] = {}
    for moment in subject.reference.moments:
        subject.session.load_state(moment.state)
        rows = moment.batch.rows
        given = subject.session.masks(rows)
        wanted = dropout_masks(problem, moment.state.step, rows)
        computed |= {f"layer {n}, {moment.label}": mask for n, mask in enumerate(given)}
        expected |= {f"layer {n}, {moment.label}": mask for n, mask in enumerate(wanted)}
    return subject.rung("dropout masks", compare_exactly(computed, expected))


def forward_rung(subject: Subject) -> Rung:
    """Logits in evaluation mode and in training mode."""
    computed: dict[str, Array] = {}
    allowed: dict[str, Bounded] = {}
    for moment in subject.reference.moments:
        subject.session.load_state(moment.state)
        inputs = moment.batch.inputs
        computed[f"logits ({moment.label})"] = subject.session.logits(inputs)
        allowed[f"logits ({moment.label})"] = moment.evaluation_logits
        name = f"training logits ({moment.label})"
        computed[name] = subject.session.logits(inputs, training=True)
        allowed[name] = moment.training.logits
    return subject.rung("forward", compare(computed, allowed, subject.reference.arithmetic))


def loss_rung(subject: Subject) -> Rung:
    """The loss in evaluation mode and in training mode."""
    computed: dict[str, Array] = {}
    allowed: dict[str, Bounded] = {}
    kind = subject.reference.arithmetic.dtype
    for moment in subject.reference.moments:
        subject.session.load_state(moment.state)
        loss, _ = subject.session.loss_and_gradients(moment.batch)
        computed[f"training loss ({moment.label})"] = np.asarray(loss, kind)
        allowed[f"training loss ({moment.label})"] = moment.training.loss
        evaluation = subject.session.loss(moment.batch)
        computed[f"loss ({moment.label})"] = np.asarray(evaluation, kind)
        allowed[f"loss ({moment.label})"] = moment.evaluation_loss
    return subject.rung("loss", compare(computed, allowed, subject.reference.arithmetic))


def gradients_rung(subject: Subject) -> Rung:
    """The gradient of every parameter."""
    computed: dict[str, Array] = {}
    allowed: dict[str, Bounded] = {}
    for moment in subject.reference.moments:
        subject.session.load_state(moment.state)
        _, gradients = subject.session.loss_and_gradients(moment.batch)
        computed |= {f"{name} ({moment.label})": array for name, array in gradients.items()}
        expected = moment.training.gradients
        allowed |= {f"{name} ({moment.label})": array for name, array in expected.items()}
    return subject.rung("gradients", compare(computed, allowed, subject.reference.arithmetic))


def fresh_step_rungs(subject: Subject) -> tuple[Rung, ...]:
    """Slots, buffers and parameters after one step on a given batch, from the initial state."""
    moment = subject.reference.fresh
    subject.session.load_state(moment.state)
    loss = subject.session.step(moment.batch)
    return _step_rungs(subject, moment, loss)


def warm_step_rungs(subject: Subject) -> tuple[Rung, ...]:
    """Slots, buffers and parameters after a step on the session's own feed, from a warm state."""
    moment = subject.reference.warm
    subject.session.load_state(moment.state)
    loss = float(subject.session.run(1)[0])
    return _step_rungs(subject, moment, loss)


def _step_rungs(subject: Subject, moment: Moment, loss: float) -> tuple[Rung, ...]:
    arithmetic = subject.reference.arithmetic
    state = subject.session.state()
    moment = seen_after(moment, subject.reference.problem, state, arithmetic)
    rungs: list[Rung] = []
    if moment.state.slots:
        computed = state.named_slots
        slots = compare(computed, moment.after.named_slots, arithmetic, moment.state.tensors)
        rungs.append(_explained_rung(subject, "slots", moment, computed, slots, "slots"))
    if moment.state.buffers:
        computed = dict(state.buffers)
        allowed = moment.training.buffers
        buffers = compare(computed, allowed, arithmetic, moment.state.tensors)
        rungs.append(_explained_rung(subject, "buffers", moment, computed, buffers, "buffers"))
    if state.step != moment.state.step + 1:
        note = f"step: {state.step} after a step from {moment.state.step}"
        counted = Comparison(np.inf, None, 1, 1, note)
        return (*rungs, subject.rung(f"update ({moment.label})", counted))
    step_loss = compare(
        {"step loss": np.asarray(loss, arithmetic.dtype)},
        {"step loss": moment.training.loss},
        arithmetic,
    )
    if not step_loss.within:
        return (*rungs, subject.rung(f"update ({moment.label})", step_loss))
    parameters = dict(state.parameters)
    compared = compare(parameters, moment.after.parameters, arithmetic, moment.state.parameters)
    rungs.append(_explained_rung(subject, "update", moment, parameters, compared, "parameters"))
    return tuple(rungs)


def _explained_rung(
    subject: Subject,
    name: str,
    moment: Moment,
    computed: dict[str, Array],
    comparison: Comparison,
    part: Part,
) -> Rung:
    """The rung of a comparison; one that fails may fit a known difference of the backend."""
    label = f"{name} ({moment.label})"
    if comparison.within or comparison.unusable is not None:
        return subject.rung(label, comparison)
    problem, arithmetic = subject.reference.problem, subject.reference.arithmetic
    known = subject.backend.known_differences
    found = first_that_explains(known, problem, moment, computed, part, comparison, arithmetic)
    if found is None:
        return subject.rung(label, comparison)
    return subject.rung(label, found.comparison, found.explanation)


def _one(rung: Callable[[Subject], Rung]) -> Callable[[Subject], tuple[Rung, ...]]:
    return lambda subject: (rung(subject),)


Ladder = tuple[tuple[str, Callable[[Subject], tuple[Rung, ...]]], ...]

LADDER: Final[Ladder] = (
    ("init", _one(init_rung)),
    ("data order", _one(data_order_rung)),
    ("dropout masks", _one(dropout_masks_rung)),
    ("forward", _one(forward_rung)),
    ("loss", _one(loss_rung)),
    ("gradients", _one(gradients_rung)),
    ("update (fresh)", fresh_step_rungs),
    ("update (warm)", warm_step_rungs),
    (STEP_LOCKED, _one(step_locked_rung)),
    (MULTI_STEP, _one(multi_step_rung)),
    (EVALUATION_METRIC, _one(evaluation_metric_rung)),
    (EXPORT_AND_IMPORT, _one(export_and_import_rung)),
)

WITHOUT_EXPORT: Final = tuple(entry for entry in LADDER if entry[0] != EXPORT_AND_IMPORT)
"""The rungs of the engine alone: export and import opens a session in the other framework."""

ONE_STEP: Final = tuple(
    entry for entry in LADDER if entry[0] in ("forward", "loss", "gradients", "update (warm)")
)
"""One training step. The warm update goes through the engine's own feed and loop."""

LADDERS: Final[Mapping[LadderName, Ladder]] = {
    "whole": LADDER,
    "engine alone": WITHOUT_EXPORT,
    "one step": ONE_STEP,
}
