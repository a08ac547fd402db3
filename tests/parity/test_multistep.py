"""Multi-step execution: what several steps in one call may do, and what is found in them alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from judged import LOSSES, OPTIMIZERS, batch_of, experiment_of
from plain import Plain
from plain_engine import Inner, Outcome, PlainExecutor

from twofold import Experiment
from twofold.backends.description import Backend
from twofold.backends.installed import backend
from twofold.engines.registry import open_session
from twofold.engines.session import Session
from twofold.parity.diagnosis.diagnose import diagnose
from twofold.parity.judging.comparison import Comparison
from twofold.parity.judging.subject import Subject
from twofold.parity.judging.verdict import Rung
from twofold.parity.ladder import multistep, run_calls
from twofold.parity.ladder.multistep import STEPS, multi_step_rung, starts
from twofold.parity.ladder.reference import Reference, build_reference
from twofold.parity.ladder.run_calls import called, in_a_row, pieces, same_bits
from twofold.parity.ladder.trajectory import Trajectory, trajectory
from twofold.parity.oracle.bounded import Bounded
from twofold.problem.data import prepare
from twofold.problem.problem import Problem
from twofold.problem.state import TrainState
from twofold.spec.experiment import AdamW, Data, Precision, WarmupCosine

DTYPES: dict[Precision, type] = {"float32": np.float32, "float64": np.float64}
SCHEDULED = AdamW(schedule=WarmupCosine(warmup_steps=3, decay_steps=40))
NO_DIFFERENCES = replace(backend("torch"), known_differences=())


def reference_of(
    precision: Precision, optimizer: Any = None, loss: str = "cross_entropy"
) -> Reference:
    """Eleven rows in batches of two, the last of one; two hidden layers, dropout."""
    experiment = experiment_of((4, 8, 6, 3), "gelu", loss, optimizer or SCHEDULED, dropout=0.3)
    data = {"precision": precision, "data": Data(batch_size=2)}
    experiment = experiment.model_copy(update=data)
    rows = [batch_of(experiment, seed, DTYPES[precision], 11) for seed in (3, 4)]
    return build_reference(Problem(experiment, *rows))


def judged(
    reference: Reference,
    inner: Inner | None,
    owner: Backend = NO_DIFFERENCES,
    wrong: dict[str, float] | None = None,
) -> Rung:
    precision = reference.problem.experiment.precision
    executor = PlainExecutor(reference.problem, Plain(DTYPES[precision], wrong=wrong or {}), inner)
    session = Session("fake:plain", reference.problem, executor)
    return multi_step_rung(Subject(session, owner, reference))


# Correct engines.


def test_starts_are_the_initial_state_and_one_before_the_end_of_an_epoch() -> None:
    reference = reference_of("float32")
    fresh, later = starts(reference)
    assert fresh.step == 0
    assert reference.problem.steps_per_epoch == 6
    assert later.step == 7  # its call goes from 7 through 11, a batch of one row, to 15
    assert later.step >= reference.warm.state.step
    assert later.parameters == reference.warm.state.parameters


def test_a_call_takes_two_groups_of_every_engine() -> None:
    from twofold_torch.self_stepping import STEPS_PER_CALL

    assert STEPS >= 2 * STEPS_PER_CALL + 1


@pytest.mark.parametrize("precision", DTYPES)
def test_the_same_bits_are_certified_by_the_single_steps(precision: Precision) -> None:
    rung = judged(reference_of(precision), None)
    assert rung.verdict == "certified"
    assert rung.worst_ratio is not None
    assert rung.worst_ratio <= 1
    assert rung.note == (
        "steps 1 to 9 and steps 8 to 16 in one call: equal bit for bit to the same steps one by one"
    )


def in_another_order(engine: PlainExecutor, *_: Any) -> Outcome:
    return engine.take(plain=Plain(engine.single.dtype, order="pairwise", style="jax"))


def as_type(state: TrainState, dtype: type) -> TrainState:
    slots = {
        s: {n: a.astype(dtype) for n, a in arrays.items()} for s, arrays in state.slots.items()
    }
    parameters = {name: array.astype(dtype) for name, array in state.parameters.items()}
    return TrainState(parameters, slots, state.step)


def in_float64(problem: Problem) -> Problem:
    experiment = problem.experiment.model_copy(update={"precision": "float64"})
    rows = [
        replace(
            batch,
            inputs=batch.inputs.astype(np.float64),
            targets=batch.targets
            if experiment.loss.kind == "cross_entropy"
            else batch.targets.astype(np.float64),
        )
        for batch in (problem.train, problem.test)
    ]
    return Problem(experiment, *rows)


class KeptWide:
    """Float64 within a call, rounded once at its end."""

    def __init__(self) -> None:
        self.wide: PlainExecutor | None = None

    def __call__(self, engine: PlainExecutor, start: TrainState, index: int, _: int) -> Outcome:
        if index == 0:
            self.wide = PlainExecutor(in_float64(engine.problem), Plain(np.float64))
            self.wide.current = as_type(start, np.float64)
        assert self.wide is not None
        loss, self.wide.current = self.wide.take()
        return loss, as_type(self.wide.current, engine.single.dtype)


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("number", range(len(OPTIMIZERS)))
def test_another_order_of_summation_is_within_the_bounds(number: int, precision: Precision) -> None:
    optimizer, loss = sorted(OPTIMIZERS)[number], LOSSES[number % 3]
    rung = judged(reference_of(precision, OPTIMIZERS[optimizer], loss), in_another_order)
    assert rung.verdict == "certified"
    assert "other bits than one by one, within bounds that go through the steps" in rung.note


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_a_wider_arithmetic_within_a_call_is_within_the_bounds(optimizer: str) -> None:
    rung = judged(reference_of("float32", OPTIMIZERS[optimizer]), KeptWide())
    assert rung.verdict == "certified"
    assert "other bits" in rung.note


def test_the_session_stays_where_it_was() -> None:
    reference = reference_of("float32")
    executor = PlainExecutor(reference.problem, Plain(np.float32))
    session = Session("fake:plain", reference.problem, executor)
    session.run(2)
    before = session.state()
    multi_step_rung(Subject(session, NO_DIFFERENCES, reference))
    assert session.state() == before


# A call that is made of shorter ones.


def in_groups_of_four(engine: PlainExecutor, start: TrainState, index: int, steps: int) -> Outcome:
    """Whole groups of four sum in another order; what is left is single steps."""
    del start
    return in_another_order(engine) if index < steps // 4 * 4 else engine.take()


def test_a_long_call_is_cut_into_the_groups_that_it_is_made_of() -> None:
    problem = reference_of("float32").problem
    executor = PlainExecutor(problem, Plain(np.float32), in_groups_of_four)
    session = Session("fake:plain", problem, executor)
    call = called(session, session.state(), 9)
    parts = pieces(session, call)
    assert [part.steps for part in parts] == [4, 4, 1]
    assert [part.before.step for part in parts] == [0, 4, 8]
    assert same_bits(call, in_a_row(parts)).within


def test_groups_are_judged_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths, whole = [], multistep.trajectory

    def counted(problem: Any, state: Any, steps: int, *rest: Any) -> Any:
        lengths.append(steps)
        return whole(problem, state, steps, *rest)

    monkeypatch.setattr(multistep, "trajectory", counted)
    rung = judged(reference_of("float32"), in_groups_of_four)
    assert rung.verdict == "certified"
    assert set(lengths) == {4}


# Bugs of the calls alone.


def masks_of_the_first(engine: PlainExecutor, start: TrainState, *_: int) -> Outcome:
    return engine.take(masks=start.step)


def batches_exchanged(engine: PlainExecutor, start: TrainState, index: int, steps: int) -> Outcome:
    other = index ^ 1
    return engine.take(batch=start.step + (other if other < steps else index))


def rate_of_the_first(engine: PlainExecutor, start: TrainState, *_: int) -> Outcome:
    return engine.take(rate=start.step)


def count_of_the_first(engine: PlainExecutor, start: TrainState, *_: int) -> Outcome:
    return engine.take(count=start.step)


def last_step_lost(engine: PlainExecutor, _: TrainState, index: int, steps: int) -> Outcome:
    loss, after = engine.take()
    if index < steps - 1:
        return loss, after
    return loss, replace(engine.current, step=after.step)


def first_step_alone_decays(engine: PlainExecutor, _: TrainState, index: int, __: int) -> Outcome:
    return engine.take(decay=index == 0)


def not_counted(engine: PlainExecutor, start: TrainState, index: int, steps: int) -> Outcome:
    loss, after = engine.take()
    return loss, after if index < steps - 1 else replace(after, step=start.step + 1)


BUGS: dict[str, Inner] = {
    "the masks of the first step": masks_of_the_first,
    "batches exchanged": batches_exchanged,
    "the learning rate of the first step": rate_of_the_first,
    "the count of the first step": count_of_the_first,
    "the last step lost": last_step_lost,
    "the first step alone decays": first_step_alone_decays,
    "the steps not counted": not_counted,
}


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("bug", sorted(BUGS))
def test_a_bug_of_the_calls_alone_is_found(bug: str, precision: Precision) -> None:
    rung = judged(reference_of(precision), BUGS[bug])
    assert rung.verdict == "diverges", rung
    assert "in one call: " in rung.note
    assert rung.note.endswith("the same steps one by one hold")
    assert rung.explanation is None


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_a_known_difference_excuses_no_bug(bug: str) -> None:
    assert judged(reference_of("float32"), BUGS[bug], backend("flax")).verdict == "diverges"


# Known differences, what cannot be judged, and the story of a failure.


@dataclass(frozen=True)
class LowPrecisionCorrections(Plain):
    """1 - beta^t in float32, the power `ulps` units in the last place off."""

    ulps: int = 0

    def coefficient(self, name: str, value: float) -> float:
        if not name.startswith("correction"):
            return super().coefficient(name, value)
        power = np.float32(1 - value)
        if self.ulps and value not in (1 - 0.9, 1 - 0.999):  # after one step it is beta itself
            power = np.nextafter(power, np.float32(2))
        return float(np.float32(1) - power)


@pytest.mark.parametrize("ulps", [0, 1])
def test_a_known_difference_explains_calls_with_other_bits(ulps: int) -> None:
    reference = reference_of("float32", AdamW(learning_rate=0.1, weight_decay=0.0))
    corrected = LowPrecisionCorrections(np.float32, ulps=ulps)

    def inner(engine: PlainExecutor, *_: Any) -> Outcome:
        return engine.take(plain=replace(corrected, order="pairwise"))

    executor = PlainExecutor(reference.problem, corrected, inner)
    session = Session("fake:plain", reference.problem, executor)
    assert multi_step_rung(Subject(session, NO_DIFFERENCES, reference)).verdict == "diverges"
    rung = multi_step_rung(Subject(session, backend("flax"), reference))
    assert rung.verdict == "explained"
    assert rung.explanation is not None
    assert rung.explanation.ratio_without > 1
    assert "other bits than one by one" in rung.note


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize(
    ("name", "changes", "engine", "explained"),
    [
        ("diabetes", (), "torch:eager", ()),
        ("diabetes", ("optimizer.clip_norm=0.1",), "torch:eager", ("float64",)),
        ("breast-cancer", (), "flax:jit", ()),  # after two steps bounds exceed the correction's
        ("breast-cancer", (), "torch:eager", ()),
    ],
)
def test_real_engines_hold_without_their_single_steps(
    name: str,
    changes: tuple[str, ...],
    engine: str,
    explained: tuple[str, ...],
    precision: Precision,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if no two calls ever had the same bits: the bounds alone judge every length of call."""
    other = Comparison(np.inf, None, 1, 1, "other bits")
    monkeypatch.setattr(multistep, "same_bits", lambda *_: other)
    monkeypatch.setattr(run_calls, "same_bits", lambda *_: other)
    experiment = Experiment.load(name, (f"precision={precision}", *changes))
    reference = build_reference(prepare(experiment))
    session = open_session(reference.problem, engine)
    rung = multi_step_rung(Subject(session, backend(engine.split(":")[0]), reference))
    assert rung.verdict == ("explained" if precision in explained else "certified"), rung
    assert "within bounds that go through the steps" in rung.note


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize(
    "engine",
    ["torch:lesson", "flax:scan", pytest.param("torch:compile-epoch", marks=pytest.mark.slow)],
)
def test_engines_with_other_code_for_several_steps_hold(engine: str, precision: Precision) -> None:
    """Five whole batches an epoch and a smaller one: one group of four, and what is left."""
    reference = reference_of(precision)
    session = open_session(reference.problem, engine)
    rung = multi_step_rung(Subject(session, backend(engine.split(":")[0]), reference))
    assert rung.verdict in ("certified", "explained"), rung


def test_bounds_beyond_the_range_do_not_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    def boundless(*given: Any) -> Trajectory:
        found = trajectory(*given)
        losses = tuple(Bounded(loss.value, np.full((), np.inf)) for loss in found.losses)
        return replace(found, losses=losses)

    monkeypatch.setattr(multistep, "trajectory", boundless)
    rung = judged(reference_of("float32"), in_another_order)
    assert rung.verdict == "not run"
    assert rung.note.startswith("steps 1 to 2 in one call: other bits than one by one, which")
    assert rung.note.endswith(
        "loss (step 1): the exact result, or a number on the way to it, may exceed the range of "
        "float32"
    )
    assert judged(reference_of("float32"), None).verdict == "certified"


def test_a_step_that_is_wrong_by_itself_is_named_with_its_cause() -> None:
    reference = reference_of("float64")
    executor = PlainExecutor(reference.problem, Plain(np.float64, wrong={"weight_decay": -0.99}))
    session = Session("torch:eager", reference.problem, executor)
    subject = Subject(session, NO_DIFFERENCES, reference)
    (rung,) = diagnose(subject, [multi_step_rung(subject)])
    assert rung.verdict == "diverges"
    assert rung.note.startswith("step 2 in a call of its own: ")  # the first step's rate is zero
    assert any("weight decay 0.0001: it accounts" in line for line in rung.diagnosis)


def test_calls_that_are_wrong_alone_have_no_cause_of_single_steps() -> None:
    reference = reference_of("float64")
    executor = PlainExecutor(reference.problem, Plain(np.float64), masks_of_the_first)
    session = Session("torch:eager", reference.problem, executor)
    subject = Subject(session, NO_DIFFERENCES, reference)
    (rung,) = diagnose(subject, [multi_step_rung(subject)])
    assert "the same steps one by one hold" in rung.note
    assert not any("likely cause" in line for line in rung.diagnosis)
    again = f"call assert_parity(session, steps={subject.steps}) again; no command opens "
    own_loop = f"{PlainExecutor.__module__}.PlainExecutor"
    assert f"reproduce      {again}{own_loop}" in rung.diagnosis
