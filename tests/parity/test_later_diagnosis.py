"""The story of the later rungs: step-locked training, evaluation, export and import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from twofold import Experiment
from twofold.backends.installed import backend
from twofold.engines.registry import open_session
from twofold.parity.certify import climb_subject
from twofold.parity.diagnosis.diagnose import diagnose
from twofold.parity.judging.subject import Subject
from twofold.parity.judging.verdict import Rung
from twofold.parity.ladder.evaluation import evaluation_metric_rung
from twofold.parity.ladder.export import export_and_import_rung
from twofold.parity.ladder.reference import Reference, build_reference
from twofold.parity.ladder.rungs import LADDER
from twofold.parity.ladder.steplocked import step_locked_rung
from twofold.problem import checkpoint
from twofold.problem.data import prepare
from twofold.problem.problem import Batch
from twofold.problem.state import Array, TrainState

SGD = {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9}
SCHEDULE = {"kind": "warmup_cosine", "warmup_steps": 3, "decay_steps": 9}


def reference_of(**values: Any) -> Reference:
    """Breast cancer in two batches an epoch, two hidden layers as wide as the input."""
    base = Experiment.load("breast-cancer")
    changed = base.with_values(model__hidden=[30, 30], data__batch_size=256, **values)
    return build_reference(prepare(changed))


@pytest.fixture(scope="module")
def adam() -> Reference:
    return reference_of(model__dropout=0.0)


@pytest.fixture(scope="module")
def sgd() -> Reference:
    return reference_of(optimizer={**SGD, "schedule": SCHEDULE})


@pytest.fixture(scope="module")
def plain_sgd() -> Reference:
    return reference_of(optimizer={**SGD, "schedule": SCHEDULE}, model__dropout=0.0)


def subject_of(reference: Reference, steps: int = 5) -> Subject:
    return Subject(
        open_session(reference.problem, "torch:eager"), backend("torch"), reference, steps
    )


class Changed:
    """A session with a method of its own in place of another."""

    def __init__(self, session: Any, **methods: Callable[..., Any]) -> None:
        self._session = session
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        if name in self._methods:
            return lambda *given, **named: self._methods[name](self._session, *given, **named)
        return getattr(self._session, name)


def with_methods(subject: Subject, **methods: Callable[..., Any]) -> Subject:
    session: Any = Changed(subject.session, **methods)
    return replace(subject, session=session)


def told(rung: Rung) -> list[str]:
    """The causes that account for every element, as the diagnosis words them."""
    lines = [line for line in rung.diagnosis if line.startswith(("likely cause", "  or"))]
    assert lines
    assert "accounts for every element" in lines[0]
    return lines


# Step-locked training: at step 4 of 5 something is not right.


def bad_run(change: Callable[[Any, TrainState], Any]) -> Callable[..., Any]:
    def run(session: Any, steps: int) -> Any:
        before = session.state()
        return session.run(steps) if before.step != 3 else change(session, before)

    return run


def on_batch(step: int) -> Callable[[Any, TrainState], Any]:
    return lambda session, _: np.asarray([session.step(session.batch(step))])


def unshuffled(session: Any, _: TrainState) -> Any:
    """Step 3 is the second of its epoch: rows 256 to 454."""
    train = session.problem.train
    batch = Batch(train.inputs[256:], train.targets[256:])
    return np.asarray([session.step(batch)])


def at_count(count: int) -> Callable[[Any, TrainState], Any]:
    """Masks and rate of another step, the batch of this one."""

    def change(session: Any, before: TrainState) -> Any:
        batch = session.batch(before.step)
        session.load_state(TrainState(before.parameters, before.slots, count))
        loss = session.step(batch)
        after = session.state()
        session.load_state(TrainState(after.parameters, after.slots, before.step + 1))
        return np.asarray([loss])

    return change


def new_optimizer(session: Any, before: TrainState) -> Any:
    empty = {s: {n: 0 * a for n, a in arrays.items()} for s, arrays in before.slots.items()}
    return at_count(0)(session, TrainState(before.parameters, empty, before.step))


def slot_after(slot: str, keep: bool) -> Callable[[Any, TrainState], Any]:
    def change(session: Any, before: TrainState) -> Any:
        losses = session.run(1)
        after = session.state()
        left = {n: a if keep else 0 * a for n, a in before.slots[slot].items()}
        slots = {**after.slots, slot: left}
        session.load_state(TrainState(after.parameters, slots, after.step))
        return losses

    return change


def stuck(session: Any, before: TrainState) -> Any:
    losses = session.run(1)
    session.load_state(before)
    return losses


STEPS = {
    "the batch of the step before": ("adam", on_batch(2)),
    "the batch of the step after": ("adam", on_batch(4)),
    "the batch of the first step": ("adam", on_batch(0)),
    "the batches of the first epoch again": ("adam", on_batch(1)),
    "the rows are not shuffled": ("adam", unshuffled),
    "the optimizer is a new one": ("adam", new_optimizer),
    "the second moment is zero after the step": ("adam", slot_after("second_moment", False)),
    "the first moment stays as it was": ("adam", slot_after("first_moment", True)),
    "the step leaves the state as it was": ("adam", stuck),
    "the bias correction of the first step": ("adam", at_count(0)),
    "the learning rate of the step before": ("plain_sgd", at_count(2)),
    "the learning rate of the step after": ("plain_sgd", at_count(4)),
    "the schedule counts epochs for steps": ("plain_sgd", at_count(1)),
}


@pytest.mark.parametrize("words", sorted(STEPS))
def test_a_wrong_step_has_its_cause(words: str, request: pytest.FixtureRequest) -> None:
    name, change = STEPS[words]
    subject = with_methods(subject_of(request.getfixturevalue(name)), run=bad_run(change))
    (rung,) = diagnose(subject, [step_locked_rung(subject)])
    assert rung.note.startswith("step 4 of 5")
    assert words in told(rung)[0]


def test_masks_of_another_step_are_told_where_the_rate_is_constant() -> None:
    reference = reference_of(optimizer=SGD)
    subject = with_methods(subject_of(reference), run=bad_run(at_count(0)))
    (rung,) = diagnose(subject, [step_locked_rung(subject)])
    assert "the dropout masks of the first step" in told(rung)[0]


def test_two_differences_at_once_are_not_taken_for_one(sgd: Reference) -> None:
    """Masks and learning rate of another step: no single cause fits, the nearest are told."""
    subject = with_methods(subject_of(sgd), run=bad_run(at_count(2)))
    (rung,) = diagnose(subject, [step_locked_rung(subject)])
    text = "\n".join(rung.diagnosis)
    assert all("arithmetic in" in line for line in told(rung))  # its bounds hold nearly anything
    assert "left over" in text
    assert "twofold parity breast-cancer --engines torch:eager" in text


def test_a_correct_engine_is_not_diagnosed(adam: Reference) -> None:
    rungs = climb_subject(subject_of(adam), LADDER)
    assert all(rung.diagnosis == () for rung in rungs)


# The evaluation metric.


def test_evaluation_with_dropout_has_its_cause(sgd: Reference) -> None:
    trained = {row.tobytes() for row in sgd.problem.train.inputs}

    def logits(session: Any, inputs: Array, training: bool = False) -> Any:
        unknown = inputs[0].tobytes() not in trained
        return session.logits(inputs, training=training or unknown)

    subject = with_methods(subject_of(sgd), logits=logits)
    subject.session.run(3)
    (rung,) = diagnose(subject, [evaluation_metric_rung(subject)])
    assert "evaluation runs in training mode (with dropout), batch by batch" in told(rung)[0]


def test_evaluation_of_old_parameters_has_its_cause(adam: Reference) -> None:
    fresh = open_session(adam.problem, "torch:eager")
    subject = with_methods(subject_of(adam), logits=lambda _, inputs: fresh.logits(inputs))
    subject.session.run(3)
    (rung,) = diagnose(subject, [evaluation_metric_rung(subject)])
    assert "the initial parameters are evaluated" in told(rung)[0]
    assert any("relative" in line for line in rung.diagnosis)


def test_evaluation_with_another_activation_has_its_cause(adam: Reference) -> None:
    other = adam.problem.experiment.with_values(model__activation="identity")
    linear = open_session(replace(adam.problem, experiment=other), "torch:eager")

    def logits(session: Any, inputs: Array) -> Any:
        linear.load_state(session.state())
        return linear.logits(inputs)

    subject = with_methods(subject_of(adam), logits=logits)
    subject.session.run(3)
    (rung,) = diagnose(subject, [evaluation_metric_rung(subject)])
    assert "activation identity in place of tanh" in told(rung)[0]


# Export and import: a file that does not hold what was saved.


def arrays_through(change: Callable[[Array], Array]) -> Callable[[TrainState], TrainState]:
    def changed(state: TrainState) -> TrainState:
        slots = {s: {n: change(a) for n, a in arrays.items()} for s, arrays in state.slots.items()}
        return TrainState({n: change(a) for n, a in state.parameters.items()}, slots, state.step)

    return changed


def through_torch(kind: torch.dtype) -> Callable[[TrainState], TrainState]:
    return arrays_through(lambda a: torch.tensor(a).to(kind).to(torch.float32).numpy())


def with_parameters(change: Callable[[dict[str, Array]], dict[str, Array]]) -> Any:
    return lambda state: TrainState(
        {**state.parameters, **change(dict(state.parameters))}, state.slots, state.step
    )


def swapped_layers(state: TrainState) -> TrainState:
    def swap(arrays: Any) -> dict[str, Array]:
        there = {"0": "1", "1": "0"}
        number = lambda name: name.split(".")[1]  # noqa: E731
        return {
            name: arrays[
                name.replace(f".{number(name)}.", f".{there.get(number(name), number(name))}.")
            ]
            for name in arrays
        }

    return TrainState(
        swap(state.parameters), {s: swap(a) for s, a in state.slots.items()}, state.step
    )


FILES = {
    "the state is rounded to bfloat16": through_torch(torch.bfloat16),
    "the state is rounded to float16": through_torch(torch.float16),
    "the square weight of layer 1 arrives transposed": with_parameters(
        lambda p: {"layers.1.weight": np.ascontiguousarray(p["layers.1.weight"].T)}
    ),
    "layers 0 and 1 change places": swapped_layers,
    "the count of steps is lost": lambda s: TrainState(s.parameters, s.slots, 0),
    "the two moments change places": lambda s: TrainState(
        s.parameters,
        {"first_moment": s.slots["second_moment"], "second_moment": s.slots["first_moment"]},
        s.step,
    ),
    "the second moment is lost": lambda s: TrainState(
        s.parameters,
        {**s.slots, "second_moment": {n: 0 * a for n, a in s.slots["second_moment"].items()}},
        s.step,
    ),
    "subnormal numbers become zero": arrays_through(
        lambda a: np.where(np.abs(a) < 1.1754943e-38, np.float32(0) * a, a)
    ),
}


def with_a_subnormal(reference: Reference) -> Reference:
    state = reference.warm.state
    weight = state.parameters["layers.0.weight"].copy()
    weight[0, 0] = -1e-40
    parameters = {**state.parameters, "layers.0.weight": weight}
    state = TrainState(parameters, state.slots, state.step)
    return replace(reference, warm=replace(reference.warm, state=state))


@pytest.mark.parametrize("words", sorted(FILES))
def test_what_a_file_loses_has_its_cause(
    words: str, adam: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = checkpoint.save
    monkeypatch.setattr(
        "twofold.problem.checkpoint.save", lambda state, path: whole(FILES[words](state), path)
    )
    reference = with_a_subnormal(adam)
    subject = subject_of(reference)
    subject.session.load_state(reference.warm.state)
    (rung,) = diagnose(subject, [export_and_import_rung(subject)])
    assert words in told(rung)[0]


def test_an_importer_that_computes_something_else_has_its_cause(
    adam: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state arrives bit for bit, but the other engine leaves out a bias."""

    def logits(session: Any, inputs: Array) -> Any:
        state = session.state()
        bare = {n: a * (n != "layers.1.bias") for n, a in state.parameters.items()}
        session.load_state(TrainState(bare, state.slots, state.step))
        return session.logits(inputs)

    def opened(problem: Any, engine: str) -> Any:
        return Changed(open_session(problem, engine), logits=logits)

    subject = subject_of(adam)
    subject.session.load_state(adam.warm.state)
    monkeypatch.setattr("twofold.engines.registry.open_session", opened)
    (rung,) = diagnose(subject, [export_and_import_rung(subject)])
    assert "layer 1 has no bias" in told(rung)[0]
