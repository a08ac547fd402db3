"""Step-locked training, the evaluation metric, export and import: what they pass and catch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold import Experiment, certify
from twofold.backends.installed import backend
from twofold.engines.registry import open_session
from twofold.errors import SpecError
from twofold.parity.judging.subject import Subject, steps_in
from twofold.parity.ladder.evaluation import (
    evaluation_metric_rung,
    logits_in_batches,
    metric_interval,
    rows_to_evaluate,
)
from twofold.parity.ladder.export import export_and_import_rung, partner_of
from twofold.parity.ladder.reference import Reference, build_reference
from twofold.parity.ladder.steplocked import step_locked_rung
from twofold.parity.oracle.bounded import Bounded
from twofold.problem import checkpoint, metrics
from twofold.problem.data import prepare
from twofold.problem.state import TrainState
from twofold.spec.experiment import BceWithLogits, CrossEntropy, Mse


@pytest.fixture(scope="module")
def reference() -> Reference:
    return build_reference(prepare(Experiment.load("breast-cancer")))


def subject_of(reference: Reference, engine: str = "torch:eager", steps: int = 8) -> Subject:
    session = open_session(reference.problem, engine)
    return Subject(session, backend(engine.split(":")[0]), reference, steps)


class ChangedRun:
    """A session whose `run` does something else at one step, counted from 1."""

    def __init__(self, session: Any, at: int, change: Callable[[Any, Any], Any]) -> None:
        self._session = session
        self._at = at
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, steps: int) -> Any:
        before = self._session.state()
        if before.step + 1 != self._at:
            return self._session.run(steps)
        return self._change(self._session, before)


def stale_batch(session: Any, before: TrainState) -> Any:
    return np.asarray([session.step(session.batch(before.step - 1))])


def moved_bias(session: Any, _: TrainState) -> Any:
    """A bias pushed by 64 units in the last place, once."""
    losses = session.run(1)
    after = session.state()
    parameters = {name: array.copy() for name, array in after.parameters.items()}
    bias = parameters["layers.1.bias"]
    bias += 64 * np.spacing(np.abs(bias))
    session.load_state(TrainState(parameters, after.slots, after.step))
    return losses


def forgotten_moment(session: Any, _: TrainState) -> Any:
    losses = session.run(1)
    after = session.state()
    slots = {slot: dict(arrays) for slot, arrays in after.slots.items()}
    slots["second_moment"] = {n: np.zeros_like(a) for n, a in slots["second_moment"].items()}
    session.load_state(TrainState(after.parameters, slots, after.step))
    return losses


def stuck(session: Any, before: TrainState) -> Any:
    losses = session.run(1)
    session.load_state(before)
    return losses


@pytest.mark.parametrize("change", [stale_batch, moved_bias, forgotten_moment, stuck])
def test_a_single_wrong_step_is_found_and_named(
    change: Callable[[Any, Any], Any], reference: Reference
) -> None:
    right = subject_of(reference)
    session: Any = ChangedRun(right.session, 5, change)
    rung = step_locked_rung(Subject(session, right.backend, reference, 8))
    assert rung.verdict == "diverges"
    assert rung.note.startswith("step 5 of 8")


def test_steps_of_a_correct_engine_are_certified_and_counted(reference: Reference) -> None:
    rung = step_locked_rung(subject_of(reference))
    assert rung.verdict == "certified"
    parameters = 30 * 32 + 32 + 32 * 1 + 1
    assert rung.note == f"8 steps, {8 * (3 * parameters + 1):,} elements"


def test_a_known_difference_explains_only_the_steps_that_need_it(reference: Reference) -> None:
    rung = step_locked_rung(subject_of(reference, "flax:jit"))
    assert rung.verdict == "explained"
    assert rung.explanation is not None
    assert rung.explanation.ratio_without > 1
    assert "steps explained" in rung.note


def test_fewer_steps_in_float64_and_none_refused() -> None:
    assert [steps_in("float64", steps) for steps in (1, 4, 20, 21)] == [1, 1, 5, 6]
    assert steps_in("float32", 21) == 21
    with pytest.raises(SpecError, match="steps: 0 given"):
        certify(Experiment.load("digits"), engines=["torch:eager"], steps=0)


# The metric's interval.


def bounded(values: list[list[float]], bound: float) -> Bounded:
    array = np.asarray(values)
    return Bounded(array, np.full(array.shape, bound))


def experiment_with(loss: Any) -> Experiment:
    return Experiment(loss=loss)


def test_accuracy_is_open_only_where_two_logits_are_within_their_bounds() -> None:
    logits = bounded([[1.0, 1.05], [3.0, 0.0], [0.0, 3.0], [1.05, 1.0]], 0.1)
    labels = np.array([0, 0, 0, 1])
    assert metric_interval(experiment_with(CrossEntropy()), logits, labels) == (0.25, 0.75)


def test_equal_certain_logits_go_to_the_first_class() -> None:
    logits = bounded([[2.0, 2.0], [2.0, 2.0]], 0.0)
    labels = np.array([0, 1])
    assert metric_interval(experiment_with(CrossEntropy()), logits, labels) == (0.5, 0.5)


def test_binary_accuracy_is_open_only_around_zero() -> None:
    logits = bounded([[0.05], [-0.05], [1.0], [-1.0]], 0.1)
    targets = np.array([[1.0], [1.0], [1.0], [1.0]])
    assert metric_interval(experiment_with(BceWithLogits()), logits, targets) == (0.25, 0.75)


def test_r_squared_by_hand() -> None:
    """Targets 0, 2 (total 2), predictions 0.5, 2 within 0.5: residual 0 to 1 + 0.25."""
    logits, targets = bounded([[0.5], [2.0]], 0.5), np.array([[0.0], [2.0]])
    low, high = metric_interval(experiment_with(Mse()), logits, targets)
    assert low == pytest.approx(1 - 1.25 / 2, abs=1e-12)
    assert high == pytest.approx(1.0, abs=1e-12)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(2, 20),
    loss=st.sampled_from([CrossEntropy(), BceWithLogits(), Mse()]),
    bound=st.sampled_from([0.0, 1e-7, 0.1, 2.0]),
)
def test_logits_within_their_bounds_get_a_metric_within_its_interval(
    seed: int, rows: int, loss: Any, bound: float
) -> None:
    random = np.random.default_rng(seed)
    value = np.round(random.normal(size=(rows, 3)), 1)  # ties are common
    allowed = Bounded(value.astype(np.longdouble), np.full(value.shape, bound))
    if loss.kind == "cross_entropy":
        targets: Any = random.integers(0, 3, rows)
    elif loss.kind == "mse":
        targets = random.normal(size=(rows, 3)) + 1e3
    else:
        targets = random.integers(0, 2, (rows, 3)).astype(float)
    low, high = metric_interval(experiment_with(loss), allowed, targets)
    computed = value + random.choice([-1, 0, 1], value.shape) * bound * 0.999
    assert low <= metrics.metric_of(loss.kind, computed, targets) <= high


def test_a_wrong_evaluation_mode_is_caught_on_the_test_rows(reference: Reference) -> None:
    """An engine that leaves training mode on while it evaluates rows it never trained on."""
    trained = {row.tobytes() for row in reference.problem.train.inputs}
    right = subject_of(reference)

    class Dropping:
        problem = reference.problem

        def __getattr__(self, name: str) -> Any:
            return getattr(right.session, name)

        def logits(self, inputs: Any) -> Any:
            return right.session.logits(inputs, training=inputs[0].tobytes() not in trained)

    rung = evaluation_metric_rung(Subject(Dropping(), right.backend, reference, 1))  # type: ignore[arg-type]
    assert rung.verdict == "diverges"


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 64, 114])
def test_logits_in_batches_are_those_of_every_row(rows: int, reference: Reference) -> None:
    shapes = []

    class Echo:
        problem = reference.problem

        def logits(self, inputs: Any) -> Any:
            shapes.append(len(inputs))
            return inputs * 2

    inputs = np.arange(rows)[:, None]
    np.testing.assert_array_equal(logits_in_batches(Echo(), inputs), inputs * 2)  # type: ignore[arg-type]
    assert set(shapes) == {min(rows, 32)}


def test_the_metric_is_in_the_note_and_its_rows_are_named(reference: Reference) -> None:
    rung = evaluation_metric_rung(subject_of(reference))
    assert rung.verdict == "certified"
    assert "accuracy 0." in rung.note
    assert "114 test rows" in rung.note
    untested = prepare(Experiment.load("lesson"))
    assert untested.test.rows == 0
    rows, words = rows_to_evaluate(untested)
    assert rows.rows == 1024
    assert words.startswith("1,024 training rows of ")


# Export and import.


@pytest.mark.parametrize(
    ("engine", "partner"), [("torch:eager", "flax:op-by-op"), ("flax:jit", "torch:eager")]
)
def test_a_state_goes_through_the_other_backend_and_back(
    engine: str, partner: str, reference: Reference
) -> None:
    subject = subject_of(reference, engine)
    subject.session.run(3)
    assert partner_of(subject) == partner
    rung = export_and_import_rung(subject)
    assert rung.verdict == "certified"
    parameters = 30 * 32 + 32 + 32 * 1 + 1
    assert rung.note.startswith(f"{2 * (3 * parameters + 1):,} elements equal bit for bit")


def test_without_the_other_framework_a_fresh_session_imports(
    reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "twofold.backends.description.Backend.missing_frameworks",
        lambda self: ("jax",) if self.name != "torch" else (),
    )
    subject = subject_of(reference)
    assert partner_of(subject) == "torch:eager"
    assert export_and_import_rung(subject).verdict == "certified"


def test_a_file_that_loses_a_bit_is_caught(
    reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = checkpoint.save

    def rounded(state: TrainState, path: Any) -> Any:
        parameters = {n: a.astype(np.float16).astype(a.dtype) for n, a in state.parameters.items()}
        return whole(TrainState(parameters, state.slots, state.step), path)

    monkeypatch.setattr("twofold.problem.checkpoint.save", rounded)
    rung = export_and_import_rung(subject_of(reference))
    assert rung.verdict == "diverges"
    assert "elements differ" in rung.note


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_state_that_no_file_holds_is_not_judged(reference: Reference, value: float) -> None:
    """It is neither certified nor the engine's failure: the tensor is named."""
    subject = subject_of(reference)
    state = subject.session.state()
    weight = state.parameters["layers.1.weight"].copy()
    weight[0, 0] = value
    parameters = {**state.parameters, "layers.1.weight": weight}
    subject.session.load_state(TrainState(parameters, state.slots, state.step))
    rung = export_and_import_rung(subject)
    assert rung.verdict == "not run"
    assert rung.note.startswith("layers.1.weight: not finite in the state")
    assert rung.worst_ratio is None
