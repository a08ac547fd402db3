"""Multi-step execution: several steps in one call of `run`, the very code that is timed.

Step-locked training takes one step a call. An engine may have other code for several: a graph of
four steps, a loop on the device. So the same steps are taken one by one and in one call, from the
same state. Each of the single steps is judged as in step-locked training; where the call gives
the same bits, these stand for it. Another graph may round otherwise: then the oracle judges the
shortest calls that make up the long one, each from the engine's own state before it, with bounds
that go through all of its steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

import numpy as np

from twofold.parity.judging.comparison import Comparison, compare
from twofold.parity.judging.subject import Subject
from twofold.parity.judging.verdict import Explanation, Rung
from twofold.parity.ladder.known_differences import explanation_of, modelled_steps
from twofold.parity.ladder.reference import Reference
from twofold.parity.ladder.run_calls import Call, called, in_a_row, pieces, same_bits
from twofold.parity.ladder.steplocked import (
    JudgedStep,
    Standard,
    TakenStep,
    judge_step,
    largest,
    named_step,
    silent_throughout,
    worse_of,
)
from twofold.parity.ladder.trajectory import Trajectory, trajectory
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded
from twofold.problem.problem import initial_state
from twofold.problem.state import Array, TrainState

NAME: Final = "multi-step execution"
STEPS: Final = 9
"""Two groups of four and one step more: the most that an engine here takes in one graph is four."""
LENGTHS: Final = (2, 4)
"""Calls to judge before the whole one where bits differ: the shortest has the tightest bounds."""
OTHER_BITS: Final = "other bits than one by one, within bounds that go through the steps"


@dataclass(frozen=True)
class JudgedCall:
    """What was found of a call: its comparison, its steps and what the verdict rests on.

    `widest` is the largest bound of a parameter, where bounds went through several steps.
    """

    comparison: Comparison
    steps: str
    ground: str = ""
    explanation: Explanation | None = None
    widest: float = 0.0


def multi_step_rung(subject: Subject) -> Rung:
    """`STEPS` steps in one call from the initial state, and from a warm one over an epoch's end."""
    return multi_step_rung_from(subject, starts(subject.reference))


def multi_step_rung_from(subject: Subject, states: Sequence[TrainState]) -> Rung:
    """`STEPS` steps in one call from each of some states, on the session's own batches.

    Where they hold, or leave the range, the session is left in the state that it was in.
    """
    kept = subject.session.state()
    judged: list[JudgedCall] = []
    for state in states:
        judged.append(judge_call(subject, state))
        comparison = judged[-1].comparison
        if comparison.leaves_range:
            subject.session.load_state(kept)
        if not comparison.within:
            return subject.rung(NAME, comparison)
    subject.session.load_state(kept)
    return _rung(subject, judged)


def starts(reference: Reference) -> tuple[TrainState, TrainState]:
    """The initial state, and the warm one's numbers some steps before the end of an epoch.

    The call goes from there through the epoch's last batch, which may be smaller, into the next.
    """
    warm, per_epoch = reference.warm.state, reference.problem.steps_per_epoch
    left = STEPS // 2 + 1
    end = -(-(warm.step + left) // per_epoch) * per_epoch
    return initial_state(reference.problem), replace(warm, step=end - left)


def failing_step(subject: Subject) -> JudgedStep | None:
    """The first single step that does not hold by itself, if there is one."""
    for state in starts(subject.reference):
        last = _singles(subject, state)[-1]
        if not last.comparison.within:
            return last
    return None


def judge_call(subject: Subject, state: TrainState) -> JudgedCall:
    """`STEPS` steps from a state, one by one and in one call.

    Where the exact results leave the engine's range on the way, the steps before that.
    """
    singles = _singles(subject, state)
    last = singles[-1]
    if last.comparison.within:
        return _judge_steps(subject, state, singles)
    step = last.taken.before.step + 1
    beyond = JudgedCall(named_step(last, f"step {step} in a call of its own: "), f"step {step}")
    if state.step > 0:  # a warm state that stands for a later one: no step of this training
        beyond = replace(beyond, comparison=replace(beyond.comparison, beyond_step=None))
    if not last.comparison.leaves_range or len(singles) < 3:
        return beyond
    before = _judge_steps(subject, state, singles[:-1])
    return before if not before.comparison.within else _beyond(beyond, before)


def _beyond(beyond: JudgedCall, before: JudgedCall) -> JudgedCall:
    """A step that leaves the range, after several that hold."""
    said = f"{beyond.comparison.note}; {before.steps} in one call hold: {before.ground}"
    return replace(beyond, comparison=replace(beyond.comparison, unusable=said))


def _judge_steps(subject: Subject, state: TrainState, singles: list[JudgedStep]) -> JudgedCall:
    """Steps that hold one by one, in one call."""
    one_by_one = [_as_call(single.taken) for single in singles]
    call = called(subject.session, state, len(singles))
    equal = _faultless(call) or same_bits(call, in_a_row(one_by_one))
    if not equal.within:
        return _judge_other_bits(subject, call, one_by_one)
    comparison = reduce(worse_of, (named_step(single, "") for single in singles))
    silent = silent_throughout([single.comparison for single in singles])
    comparison = replace(comparison, silent=silent)
    explained = [each.explanation for each in singles if each.explanation is not None]
    ground = "equal bit for bit to the same steps one by one"
    return JudgedCall(comparison, call.name, ground, largest(explained))


def _singles(subject: Subject, state: TrainState) -> list[JudgedStep]:
    """The steps one by one, up to the first that is not within its bounds."""
    session = subject.session
    session.load_state(state)
    before = session.state()
    judged: list[JudgedStep] = []
    for _ in range(STEPS):
        loss = float(session.run(1)[0])
        taken = TakenStep(before, loss, session.state())
        judged.append(judge_step(Standard.of(subject), taken))
        if not judged[-1].comparison.within:
            break
        before = taken.after
    return judged


def _as_call(taken: TakenStep) -> Call:
    dtype = next(iter(taken.after.parameters.values())).dtype
    return Call(taken.before, 1, np.asarray([taken.loss], dtype), taken.after)


def _faultless(call: Call) -> Comparison | None:
    """A comparison that fails where losses or steps are not as many as were asked for."""
    return None if call.fault is None else Comparison(np.inf, None, 1, 1, call.fault)


def _judge_other_bits(subject: Subject, whole: Call, one_by_one: list[Call]) -> JudgedCall:
    """Shorter calls, then the whole one, each by the calls that make it up."""
    judged: list[JudgedCall] = []
    for steps in (*(length for length in LENGTHS if length < whole.steps), whole.steps):
        call = whole if steps == whole.steps else called(subject.session, whole.before, steps)
        fault = _faultless(call)
        if fault is not None:
            return JudgedCall(_worded(call, fault), call.name)
        if same_bits(call, in_a_row(one_by_one[:steps])).within:
            continue
        for piece in pieces(subject.session, call):
            judged.append(_judge_piece(subject, piece))
            if not judged[-1].comparison.within:
                return judged[-1]
    ground = OTHER_BITS
    if subject.reference.arithmetic.stored_roundoff > 0:
        ground += ", without the engine's own slots in between"
    return _together(whole, judged, ground)


def _together(call: Call, judged: list[JudgedCall], ground: str) -> JudgedCall:
    comparison = reduce(worse_of, (each.comparison for each in judged))
    comparison = replace(comparison, silent=())  # of calls of several lengths
    explained = [each.explanation for each in judged if each.explanation is not None]
    widest = max(judged, key=lambda each: each.widest)
    ground += f" (through {widest.steps} up to {widest.widest:.1e} for a parameter)"
    return JudgedCall(comparison, call.name, ground, largest(explained))


def _judge_piece(subject: Subject, call: Call) -> JudgedCall:
    """A call that shorter ones do not make up, by the oracle."""
    fault = _faultless(call)
    if fault is not None:
        return JudgedCall(_worded(call, fault), call.name)
    if call.steps == 1:
        single = judge_step(
            Standard.of(subject), TakenStep(call.before, float(call.losses[0]), call.after)
        )
        return JudgedCall(named_step(single, ""), call.name, explanation=single.explanation)
    problem, arithmetic = subject.reference.problem, subject.reference.arithmetic
    expected = trajectory(problem, call.before, call.steps, arithmetic)
    comparison = compare_call(call, expected, arithmetic)
    explained = None
    if not comparison.within and comparison.unusable is None:
        explained = _explained(subject, call, comparison)
    if explained is not None:
        return explained
    return JudgedCall(_worded(call, comparison), call.name, widest=_widest(expected))


def _explained(subject: Subject, call: Call, failed: Comparison) -> JudgedCall | None:
    """The call under the first known difference, or two together, that account for all of it."""
    problem, arithmetic = subject.reference.problem, subject.reference.arithmetic
    steps = range(call.before.step, call.before.step + call.steps)
    known = subject.backend.known_differences
    for modelled in modelled_steps(known, problem, steps, arithmetic):
        variant_at = modelled.variant_at
        expected = trajectory(problem, call.before, call.steps, arithmetic, variant_at)
        comparison = compare_call(call, expected, arithmetic)
        if comparison.within:
            explanation = explanation_of(modelled.difference, modelled.size, failed)
            widest = _widest(expected)
            return JudgedCall(comparison, call.name, explanation=explanation, widest=widest)
    return None


def compare_call(call: Call, expected: Trajectory, arithmetic: Arithmetic) -> Comparison:
    """Every step's loss, and slots, buffers and parameters after the last."""
    first = call.before.step + 1
    computed: dict[str, Array] = {}
    allowed: dict[str, Bounded] = {}
    for step, loss in enumerate(call.losses, first):
        computed[f"loss (step {step})"] = np.asarray(loss)
        allowed[f"loss (step {step})"] = expected.losses[step - first]
    after = f"(step {first + call.steps - 1})"
    computed |= {f"{name} {after}": array for name, array in call.after.tensors.items()}
    before = {f"{name} {after}": array for name, array in call.before.tensors.items()}
    state = {**expected.after.named_slots, **expected.after.parameters, **expected.buffers}
    allowed |= {f"{name} {after}": array for name, array in state.items()}
    return compare(computed, allowed, arithmetic, before)


def _widest(expected: Trajectory) -> float:
    """The largest bound of a parameter."""
    return max(float(array.bound.max()) for array in expected.after.parameters.values())


def _worded(call: Call, comparison: Comparison) -> Comparison:
    """The comparison with its call in its note; the single steps before it have held."""
    unusable = comparison.unusable
    return replace(
        comparison,
        note=f"{call.name} in one call: {comparison.note}; the same steps one by one hold",
        leaves_range=False,
        unusable=None
        if unusable is None
        else f"{call.name} in one call: other bits than one by one, which bounds through all of "
        f"them do not judge: {unusable}",
    )


def _rung(subject: Subject, judged: list[JudgedCall]) -> Rung:
    comparison = reduce(worse_of, (each.comparison for each in judged))
    comparison = replace(comparison, silent=silent_throughout([j.comparison for j in judged]))
    note = "; ".join(
        f"{' and '.join(each.steps for each in judged if each.ground == ground)} "
        f"in one call: {ground}"
        for ground in dict.fromkeys(each.ground for each in judged)
    )
    explained = [each.explanation for each in judged if each.explanation is not None]
    return subject.rung(NAME, replace(comparison, note=note), largest(explained))
