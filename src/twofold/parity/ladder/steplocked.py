"""Step-locked training: every step is certified from the engine's own state before it.

Free-running trajectories of correct programs separate; here no error can compound and no step
escapes, because the oracle starts each step from exactly what the engine holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from twofold.backends.departures import KnownDifference
from twofold.parity.judging.comparison import Comparison, compare
from twofold.parity.judging.subject import Subject
from twofold.parity.judging.verdict import Explanation, Rung
from twofold.parity.ladder.known_differences import Part, Seen, first_that_explains
from twofold.parity.ladder.reference import seen_after, training_step
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded
from twofold.problem.problem import Problem, initial_state
from twofold.problem.state import Array, TrainState

NAME = "step-locked training"


@dataclass(frozen=True)
class TakenStep:
    """What an engine did in one step: its state before, the loss it told, its state after."""

    before: TrainState
    loss: float
    after: TrainState

    @property
    def counted(self) -> bool:
        """Whether the count of steps went up by one."""
        return self.after.step == self.before.step + 1


@dataclass(frozen=True)
class Standard:
    """What a step is judged by; `known_differences` are those of the engine's backend."""

    problem: Problem
    arithmetic: Arithmetic
    known_differences: tuple[KnownDifference, ...]

    @classmethod
    def of(cls, subject: Subject) -> Standard:
        """The standard of a session under judgement."""
        reference = subject.reference
        return cls(reference.problem, reference.arithmetic, subject.backend.known_differences)


@dataclass(frozen=True)
class JudgedStep:
    """One step's comparison, after a known difference was modelled if one was needed.

    `update` is that of the parameters alone; None where the step was not counted.
    """

    taken: TakenStep
    comparison: Comparison
    explanation: Explanation | None = None
    update: Comparison | None = None


def step_locked_rung(subject: Subject) -> Rung:
    """Loss and state after each of `subject.steps` steps on the session's own feed.

    It is evidence where some step moves a parameter by more than its bound. Stops at the first
    step that is not within its bounds.
    """
    return _rung(subject, judge_steps(subject))


def judge_steps(subject: Subject) -> list[JudgedStep]:
    """The steps from the initial state, up to the first that is not within its bounds."""
    session = subject.session
    session.load_state(initial_state(subject.reference.problem))
    before = session.state()
    judged: list[JudgedStep] = []
    for _ in range(subject.steps):
        loss = float(session.run(1)[0])
        after = session.state()
        judged.append(judge_step(Standard.of(subject), TakenStep(before, loss, after)))
        if not judged[-1].comparison.within:
            break
        before = after
    if judged[-1].comparison.leaves_range:
        session.load_state(before)  # the rungs after this one can judge it
    return judged


def judge_step(standard: Standard, taken: TakenStep) -> JudgedStep:
    """One step of an engine, from its state before to its state after."""
    problem, arithmetic = standard.problem, standard.arithmetic
    if not taken.counted:
        note = f"step: {taken.after.step} after a step from {taken.before.step}"
        return JudgedStep(taken, Comparison(np.inf, None, 1, 1, note))
    expected = training_step(problem, taken.before, arithmetic)
    expected = seen_after(expected, problem, taken.after, arithmetic)
    return compare_step(standard, taken, expected)


def compare_step(standard: Standard, taken: TakenStep, expected: Seen) -> JudgedStep:
    """A step that was taken and the one that the oracle expects."""
    parts = [_loss_part(taken.loss, expected, standard.arithmetic)]
    parts += _state_parts(standard, expected, taken.after)
    comparison = reduce(worse_of, (part.comparison for part in parts))
    explanations = [part.explanation for part in parts if part.explanation is not None]
    return JudgedStep(taken, comparison, largest(explanations), parts[-1].comparison)


@dataclass(frozen=True)
class _Part:
    comparison: Comparison
    explanation: Explanation | None = None


def _loss_part(loss: float, expected: Seen, arithmetic: Arithmetic) -> _Part:
    name = "step loss"
    computed = {name: np.asarray(loss, arithmetic.dtype)}
    return _Part(compare(computed, {name: expected.training.loss}, arithmetic))


def _state_parts(standard: Standard, expected: Seen, after: TrainState) -> Iterator[_Part]:
    """Slots and buffers, if there are any, and parameters."""
    if expected.state.slots:
        slots = after.named_slots
        yield _explained(standard, expected, slots, expected.after.named_slots, "slots")
    if expected.state.buffers:
        buffers, allowed = dict(after.buffers), expected.training.buffers
        yield _explained(standard, expected, buffers, allowed, "buffers")
    parameters = dict(after.parameters)
    yield _explained(standard, expected, parameters, expected.after.parameters, "parameters")


def _explained(
    standard: Standard,
    expected: Seen,
    computed: dict[str, Array],
    allowed: Mapping[str, Bounded],
    part: Part,
) -> _Part:
    """The comparison, or that under the first known difference that accounts for all of it."""
    problem, arithmetic = standard.problem, standard.arithmetic
    comparison = compare(computed, allowed, arithmetic, expected.state.tensors)
    if comparison.within or comparison.unusable is not None:
        return _Part(comparison)
    known = standard.known_differences
    found = first_that_explains(known, problem, expected, computed, part, comparison, arithmetic)
    return _Part(found.comparison, found.explanation) if found else _Part(comparison)


def worse_of(left: Comparison, right: Comparison) -> Comparison:
    """Two comparisons as one: the worse ratio's words, the elements and the evidence of both."""
    worse = right if right.worst_ratio > left.worst_ratio else left
    worse = next((part for part in (left, right) if part.unusable is not None), worse)
    telling = left.telling + right.telling
    silences = (part.silence for part in (left, right) if part.silence)
    return replace(
        worse,
        outside=left.outside + right.outside,
        elements=left.elements + right.elements,
        telling=telling,
        silent=(*left.silent, *right.silent),
        silence="" if telling else "; ".join(dict.fromkeys(silences)),
    )


def silent_throughout(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """The tensors without evidence in every one of several steps."""
    first, *others = (comparison.silent for comparison in comparisons)
    return tuple(name for name in first if all(name in other for other in others))


def _rung(subject: Subject, judged: list[JudgedStep]) -> Rung:
    last = judged[-1]
    if not last.comparison.within:
        return subject.rung(
            NAME, named_step(last, f"step {last.taken.before.step + 1} of {subject.steps}: ")
        )
    worst = max(judged, key=lambda step: step.comparison.worst_ratio)
    explained = [step for step in judged if step.explanation is not None]
    elements = sum(step.comparison.elements for step in judged)
    note = f"{len(judged):,} steps, {elements:,} elements"
    if explained:
        note += f"; {len(explained):,} steps explained"
    updates = [step.update for step in judged if step.update is not None]
    telling = sum(update.telling for update in updates)
    combined = replace(
        named_step(worst, ""),
        elements=elements,
        note=note,
        telling=telling,  # of the update: the loss has a rung of its own
        silent=silent_throughout([step.comparison for step in judged]),
        silence="" if telling else "; ".join(dict.fromkeys(u.silence for u in updates)),
    )
    explanations = [step.explanation for step in explained if step.explanation is not None]
    return subject.rung(NAME, combined, largest(explanations))


def named_step(judged: JudgedStep, prefix: str) -> Comparison:
    """The comparison with its step in the worst element's name and before its note."""
    comparison = judged.comparison
    worst = comparison.worst
    if worst is not None:
        worst = replace(worst, tensor=f"{worst.tensor} (step {judged.taken.before.step + 1})")
    unusable = comparison.unusable
    return replace(
        comparison,
        worst=worst,
        note=prefix + comparison.note,
        unusable=None if unusable is None else prefix + unusable,
        beyond_step=judged.taken.before.step + 1 if comparison.leaves_range else None,
    )


def largest(explanations: list[Explanation]) -> Explanation | None:
    """The explanation of where the difference was largest."""
    return max(explanations, key=lambda explanation: explanation.ratio_without, default=None)
