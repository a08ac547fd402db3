"""No pass without evidence: a rung that nothing could have failed is `vacuous`, never certified."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, final

import numpy as np
import pytest

import twofold
from comparisons.evidence.mutants import bases
from twofold import Experiment, open_session, prepare
from twofold.cli.parity_view import summary_line
from twofold.engines.build_time import NOTHING_BUILT, BuildTime
from twofold.engines.session import Executor, Session
from twofold.errors import EngineFailed, NothingShown, ParityDiverges
from twofold.parity.assertions import error_of, story
from twofold.parity.judging.comparison import compare, compare_exactly
from twofold.parity.judging.subject import Subject
from twofold.parity.judging.verdict import EXIT_CODES, ParityReport, Rung, Verdict
from twofold.parity.ladder.reference import build_reference
from twofold.parity.ladder.rungs import gradients_rung
from twofold.parity.ladder.steplocked import worse_of
from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.parity.oracle.bounded import Bounded
from twofold.problem.problem import Batch, Problem
from twofold.problem.state import Array, Parameters, TrainState

FLOAT32 = arithmetic_for("float32")


def allowed(value: list[float], bound: float) -> Bounded:
    return Bounded(np.array(value, np.float64), np.full(len(value), bound))


def computed(*values: float) -> Array:
    return np.array(values, np.float32)


def test_an_element_is_evidence_if_zero_or_double_would_be_outside() -> None:
    """|0 - v| and |2 v - v| are both |v|, so the value must be larger than its bound."""
    found = compare({"a": computed(1, 2, 3)}, {"a": allowed([1, 2, 3], 2.0)}, FLOAT32)
    assert found.within
    assert (found.telling, found.silent, found.vacuous) == (1, (), False)
    wide = compare({"a": computed(1, 2, 3)}, {"a": allowed([1, 2, 3], 3.0)}, FLOAT32)
    assert wide.within
    assert (wide.telling, wide.silent, wide.vacuous) == (0, ("a",), True)
    assert wide.silence == "the bounds are so wide that zero and twice the value would pass as well"


def test_exact_zeros_are_no_evidence() -> None:
    zeros = compare({"a": computed(0, 0)}, {"a": allowed([0, 0], 1e-9)}, FLOAT32)
    assert zeros.vacuous
    assert zeros.silence == "every exact value is zero"
    one = compare({"a": computed(0, 1)}, {"a": allowed([0, 1], 1e-9)}, FLOAT32)
    assert not one.vacuous


def test_of_a_step_the_change_is_the_evidence() -> None:
    """A parameter of 1 that a step should move by 1e-9 says nothing within 1e-7."""
    before = {"a": computed(1.0)}
    still = compare({"a": computed(1)}, {"a": allowed([1 + 1e-9], 1e-7)}, FLOAT32, before)
    assert still.vacuous
    assert "no change and twice the change" in still.silence
    moved = compare({"a": computed(0.9)}, {"a": allowed([0.9], 1e-7)}, FLOAT32, before)
    assert (moved.vacuous, moved.telling) == (False, 1)
    nothing = compare({"a": computed(1)}, {"a": allowed([1], 1e-7)}, FLOAT32, before)
    assert nothing.silence == "the exact step moves nothing"


def test_tensors_without_evidence_are_named_beside_those_with_it() -> None:
    both = {"a": allowed([0.0], 1e-9), "b": allowed([1.0], 1e-9)}
    found = compare({"a": computed(0), "b": computed(1)}, both, FLOAT32)
    assert (found.vacuous, found.silent, found.silence) == (False, ("a",), "")
    zeros = compare({"a": computed(0)}, {"a": allowed([0.0], 1e-9)}, FLOAT32)
    assert worse_of(zeros, zeros).vacuous
    assert not worse_of(zeros, found).vacuous


def test_what_is_equal_bit_for_bit_could_have_failed() -> None:
    zeros = np.zeros(3, np.float32)
    assert not compare_exactly({"a": zeros}, {"a": zeros.copy()}).vacuous


def problem_of(labels: int, **changes: Any) -> Problem:
    """Twenty rows of three inputs and labels of so many classes; one is refused by `prepare`."""
    base = Experiment(name="mine").with_values(
        model__hidden=[5],
        model__in_features=3,
        model__out_features=max(labels, 2),
        optimizer__kind="adam",
        optimizer__weight_decay=0.0,
        data__batch_size=8,
        data__rows=20,
        data__test_fraction=0.25,
        **changes,
    )
    problem = prepare(base)
    resolved = base.model.model_copy(update={"out_features": labels})
    experiment = problem.experiment.model_copy(update={"model": resolved})

    def relabelled(batch: Batch) -> Batch:
        return Batch(batch.inputs, np.arange(batch.rows, dtype=np.int64) % labels)

    return Problem(experiment, relabelled(problem.train), relabelled(problem.test))


@final
class Sevenfold(Executor):
    """A person's loop that multiplies the loss by seven, around an engine."""

    def __init__(self, inner: Executor) -> None:
        self.inner = inner

    def logits(self, inputs: Array, *, training: bool) -> Array:
        return self.inner.logits(inputs, training=training)

    def loss(self, batch: Batch) -> float:
        return 7 * self.inner.loss(batch)

    def loss_and_gradients(self, batch: Batch) -> tuple[float, Parameters]:
        loss, gradients = self.inner.loss_and_gradients(batch)
        return 7 * loss, {name: 7 * array for name, array in gradients.items()}

    def step(self, batch: Batch) -> float:
        return 7 * self.inner.step(batch)

    def run(self, steps: int) -> Array:
        return 7 * self.inner.run(steps)

    def batch(self, step: int) -> Batch:
        return self.inner.batch(step)

    def masks(self, rows: int) -> tuple[Array, ...]:
        return self.inner.masks(rows)

    def state(self) -> TrainState:
        return self.inner.state()

    def load_state(self, state: TrainState) -> None:
        self.inner.load_state(state)

    def synchronize(self) -> None:
        self.inner.synchronize()

    def compilations(self) -> int:
        return 0

    def build_time(self) -> BuildTime:
        return NOTHING_BUILT


def wrong_loop(problem: Problem) -> Session:
    """Loss times seven, ten times the learning rate, other betas, another eps."""
    wrong = {"learning_rate": 1e-2, "betas": (0.5, 0.5), "eps": 1e-2}
    optimizer = problem.experiment.optimizer.model_copy(update=wrong)
    experiment = problem.experiment.model_copy(update={"optimizer": optimizer})
    inner: Any = open_session(replace(problem, experiment=experiment), "torch:eager")
    return Session("torch:eager", problem, Sevenfold(inner._executor))


def test_a_wrong_loop_does_not_pass_on_one_class() -> None:
    """There the loss is log 1, and every gradient zero, whatever the loop does."""
    with pytest.raises(NothingShown) as caught:
        twofold.assert_parity(wrong_loop(problem_of(1)), steps=3)
    assert isinstance(caught.value, AssertionError)
    assert caught.value.exit_code == 2
    said = str(caught.value)
    assert "parity was not shown, for nothing could have failed" in said
    for what in ("loss", "gradients"):
        assert f"no evidence for {what}: every exact value is zero (torch:eager float32)" in said
    assert "no evidence for update: the exact step moves nothing (torch:eager float32)" in said
    assert "no evidence for forward" not in said


def test_the_same_loop_diverges_on_two_classes() -> None:
    with pytest.raises(ParityDiverges, match="loss: diverges"):
        twofold.assert_parity(wrong_loop(problem_of(2)), steps=3)


def test_a_step_too_small_for_float32_is_no_evidence_there_and_some_in_float64() -> None:
    problem = problem_of(3, optimizer__learning_rate=1e-14)
    session = open_session(problem, "torch:eager")
    with pytest.raises(NothingShown, match="no evidence for update: the bounds are so wide"):
        twofold.assert_parity(session, steps=2)
    wide = problem_of(3, optimizer__learning_rate=1e-14, precision="float64")
    assert twofold.assert_parity(wide, engines=["torch:eager"], steps=2).passed


def test_a_rate_of_zero_at_the_first_step_leaves_the_warm_one_as_evidence() -> None:
    schedule = {"kind": "warmup_cosine", "warmup_steps": 5, "decay_steps": 20}
    problem = problem_of(3, optimizer__schedule=schedule)
    report = twofold.assert_parity(problem, engines=["torch:eager"], steps=2)
    verdicts = {rung.rung: rung.verdict for rung in report.rungs}
    assert verdicts["update (fresh)"] == "vacuous"
    assert verdicts["update (warm)"] == "certified"
    assert "1 vacuous" in summary_line(report)


def test_a_rate_of_zero_at_both_moments_leaves_the_steps_between_as_evidence() -> None:
    """The rate is zero at step 0, where it warms up, and from step 3 on, where it has decayed."""
    schedule = {"kind": "warmup_cosine", "warmup_steps": 1, "decay_steps": 3}
    problem = problem_of(3, optimizer__schedule=schedule)
    report = twofold.assert_parity(problem, engines=["torch:eager"], steps=4)
    verdicts = {rung.rung: rung.verdict for rung in report.rungs}
    assert verdicts["update (fresh)"] == verdicts["update (warm)"] == "vacuous"
    assert verdicts["step-locked training"] == "certified"
    with pytest.raises(NothingShown, match="no evidence for update: the exact step moves nothing"):
        twofold.assert_parity(problem, engines=["torch:eager"], steps=1)


def test_a_layer_that_is_dead_is_named() -> None:
    """No hidden unit is active, so the first layer's gradients are zero: that layer is not seen."""
    problem = problem_of(3)
    reference = build_reference(problem)
    dead = dict(reference.fresh.state.parameters)
    dead["layers.0.bias"] = np.full_like(dead["layers.0.bias"], -100)
    state = TrainState(dead, reference.fresh.state.slots, 0)
    from twofold.parity.ladder.reference import moment

    seen = moment("fresh", problem, state, reference.arithmetic)
    given = replace(reference, fresh=seen, warm=replace(seen, label="warm"))
    session = open_session(problem, "torch:eager")
    from twofold.backends.installed import backend

    rung = gradients_rung(Subject(session, backend("torch"), given))
    assert rung.verdict == "certified"
    assert "layers.0.weight (fresh)" in rung.silent
    assert "layers.1.bias (fresh)" not in rung.silent


def rungs_of(**verdicts: Verdict) -> tuple[Rung, ...]:
    """The rungs that a pass rests on, certified but for those named."""
    names = {"forward": "forward", "loss": "loss", "gradients": "gradients"}
    names |= {"fresh": "update (fresh)", "warm": "update (warm)", "locked": "step-locked training"}
    return tuple(
        Rung(name, "e", "float32", verdicts.get(key, "certified"), 0.5, None, "why; and how")
        for key, name in names.items()
    )


def report_of(*rungs: Rung) -> ParityReport:
    return ParityReport(Experiment.load("digits"), {}, rungs)


@pytest.mark.parametrize("kind", ["forward", "loss", "gradients"])
def test_each_kind_of_evidence_is_needed(kind: str) -> None:
    report = report_of(*rungs_of(**{kind: "vacuous"}))
    assert (report.outcome, report.passed) == ("vacuous", False)
    assert report.missing_evidence == (f"no evidence for {kind}: why (e float32)",)
    absent = report_of(*(rung for rung in rungs_of() if rung.rung != kind))
    assert absent.missing_evidence == (f"no evidence for {kind}: {kind} not judged (e float32)",)


def test_one_update_is_enough_and_each_engine_and_precision_needs_its_own() -> None:
    assert report_of(*rungs_of(fresh="vacuous", locked="vacuous")).passed
    assert report_of(*rungs_of(fresh="vacuous", warm="vacuous")).passed
    assert not report_of(*rungs_of(fresh="vacuous", warm="vacuous", locked="vacuous")).passed
    other = tuple(replace(rung, precision="float64") for rung in rungs_of(loss="vacuous"))
    both = report_of(*rungs_of(), *other)
    assert both.missing_evidence == ("no evidence for loss: why (e float64)",)
    assert not both.engine_passed("e")
    assert both.of_engine("e", "float32").passed


@pytest.mark.parametrize(
    ("verdicts", "outcome", "error"),
    [
        ({}, "holds", None),
        ({"locked": "diverges", "warm": "not run"}, "does not hold", ParityDiverges),
        ({"locked": "not run", "warm": "out of range"}, "could not be judged", EngineFailed),
        ({"locked": "out of range", "loss": "vacuous"}, "out of range", NothingShown),
        ({"loss": "vacuous"}, "vacuous", NothingShown),
    ],
)
def test_only_what_diverges_does_not_hold(
    verdicts: dict[str, Verdict], outcome: str, error: type[Exception] | None
) -> None:
    report = report_of(*rungs_of(**verdicts))
    assert report.outcome == outcome
    raised = error_of(report)
    if error is None:
        assert raised is None
        return
    assert isinstance(raised, error)
    assert isinstance(raised, AssertionError)
    assert raised.exit_code == EXIT_CODES[report.outcome]  # type: ignore[attr-defined]
    assert ("does not hold" in story(report)) == (outcome == "does not hold")


def test_the_range_is_said_with_its_step_and_what_to_change() -> None:
    beyond = replace(rungs_of(locked="out of range")[-1], beyond_step=6)
    report = report_of(*rungs_of()[:-1], beyond)
    assert summary_line(report).startswith(
        "digits: the training itself leaves the range of float32 at step 6; parity holds up to "
        "there; lower optimizer.learning_rate (0.002 now) or set optimizer.clip_norm: "
    )
    early = report_of(beyond)
    assert "parity holds" not in summary_line(early)
    assert "too early to judge parity: no evidence for forward" in summary_line(early)


def test_a_correct_base_has_evidence_for_everything() -> None:
    report = twofold.assert_parity(bases.problem("classes", "float32"), engines=["torch:eager"])
    assert report.missing_evidence == ()
    assert {rung.verdict for rung in report.rungs} == {"certified"}
