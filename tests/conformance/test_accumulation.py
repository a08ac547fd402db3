"""Micro-batches in every engine: the gradient, the masks and the step of the whole batch."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import plain_numpy
import pytest
from problems import make_problem, random_state
from test_engines import (
    OF_PROCESSES,
    OPTIMIZERS,
    OWN_SESSION,
    TWO_STEPS,
    assert_close_state,
    assert_same_state,
)

from twofold.engines.registry import find_engine, open_session
from twofold.engines.session import Session
from twofold.problem.problem import Batch, Problem, batch_at, dropout_masks
from twofold.spec.experiment import (
    AdamW,
    BceWithLogits,
    CrossEntropy,
    Huber,
    Mlp,
    Mse,
    Rng,
    WarmupCosine,
)

# Processes share each batch already: those engines refuse micro-batches (tests/engines/test_world).
each_engine = pytest.mark.parametrize(
    "engine",
    [each for each in OWN_SESSION if each.values[0] not in (*OF_PROCESSES, TWO_STEPS)],
)


def problem_in_parts(**values: Any) -> Problem:
    """22 rows in batches of 7: three of parts with 3, 2 and 2 rows, and one of a single row."""
    return make_problem(
        **{"batch_size": 7, "micro_batches": 3, "optimizer": OPTIMIZERS[-1]} | values
    )


def assert_gradients_of_the_whole_batch(session: Session, step: int) -> None:
    """Loss and every entry of the gradient, from NumPy, with the masks of the whole batch."""
    problem = session.problem
    state = random_state(problem, step=step)
    session.load_state(state)
    batch = batch_at(problem, step)
    masks = dropout_masks(problem, step, batch.rows)
    value, gradients = session.loss_and_gradients(batch)
    logits = plain_numpy.forward(problem, state.parameters, batch.inputs, masks)
    assert value == pytest.approx(plain_numpy.loss(problem, logits, batch.targets), rel=1e-12)
    for name, gradient in gradients.items():
        for index in np.ndindex(gradient.shape):
            entry = plain_numpy.gradient_entry(problem, state.parameters, batch, masks, name, index)
            assert gradient[index] == pytest.approx(entry, rel=1e-9, abs=1e-11), (name, index)


@each_engine
def test_parts_add_up_to_the_whole_batch(engine: str) -> None:
    session = open_session(problem_in_parts(), engine)
    assert_gradients_of_the_whole_batch(session, 12)
    assert_gradients_of_the_whole_batch(session, 15)  # a single row: one part


@each_engine
def test_parts_of_a_weighted_mean_add_up_by_their_weights(engine: str) -> None:
    """Not by their rows: the parts' labels weigh differently."""
    loss = CrossEntropy(class_weights=(0.2, 1.0, 5.0), label_smoothing=0.1)
    session = open_session(problem_in_parts(loss=loss), engine)
    assert_gradients_of_the_whole_batch(session, 12)


@pytest.mark.parametrize("engine", ["torch:eager", "flax:jit"])
@pytest.mark.parametrize(
    "loss",
    [Mse(), Huber(delta=0.3), BceWithLogits(), BceWithLogits(pos_weight=(0.2, 1.0, 5.0))],
    ids=lambda loss: loss.kind,
)
def test_each_row_may_be_a_part(engine: str, loss: Any) -> None:
    model = Mlp(in_features=5, hidden=(4,), out_features=3, activation="tanh", dropout=0.3)
    session = open_session(problem_in_parts(model=model, loss=loss, micro_batches=7), engine)
    assert_gradients_of_the_whole_batch(session, 12)


@each_engine
def test_training_is_that_of_the_whole_batch(engine: str) -> None:
    """Nothing is left from one step to the next; clipping sees the sum; a schedule counts batches.

    22 rows in batches of 7: the fourth step of an epoch has one row.
    """
    schedule = WarmupCosine(warmup_steps=2, decay_steps=9, final_fraction=0.1)
    spec = AdamW(learning_rate=0.1, weight_decay=0.3, clip_norm=0.1, schedule=schedule)
    cut = open_session(problem_in_parts(optimizer=spec), engine)
    whole = open_session(problem_in_parts(optimizer=spec, micro_batches=1), engine)
    losses = cut.run(5)
    compiled = cut.compilations()
    np.testing.assert_allclose(losses, whole.run(5), rtol=1e-10)
    assert_close_state(cut.state(), whole.state(), rtol=1e-9)
    cut.run(4)
    assert cut.compilations() == compiled


@each_engine
def test_native_masks_differ_from_part_to_part_and_repeat_with_the_seed(engine: str) -> None:
    """Three equal rows, each a part: one mask for all would give all parts the same loss."""
    model = Mlp(in_features=5, hidden=(7,), out_features=3, dropout=0.5)
    session, again = (
        open_session(problem_in_parts(model=model, rng="native", batch_size=3), engine)
        for _ in range(2)
    )
    np.testing.assert_array_equal(session.run(2), again.run(2))
    assert_same_state(session.state(), again.state())
    first = batch_at(session.problem, 0)
    row = Batch(np.repeat(first.inputs[:1], 3, axis=0), np.repeat(first.targets[:1], 3))
    single = Batch(row.inputs[:1], row.targets[:1])
    singles = {session.loss_and_gradients(single)[0] for _ in range(20)}
    together = session.loss_and_gradients(row)[0]
    assert all(abs(together - loss) > 1e-9 for loss in singles)


@pytest.mark.parametrize(
    ("engine", "rng"),
    [
        ("torch:lesson", "shared"),
        ("torch:eager", "shared"),
        ("torch:eager", "native"),
        ("torch:eager-fused", "shared"),
        ("flax:op-by-op", "shared"),
        ("flax:op-by-op", "native"),
    ],
)
def test_the_model_sees_no_more_rows_than_a_part(
    engine: str, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = find_engine(engine)[0].name
    model = importlib.import_module(f"twofold_{backend}.model").Network
    method = "forward" if backend == "torch" else "__call__"
    original, seen = getattr(model, method), []

    def watched(self: Any, inputs: Any, *others: Any, **named: Any) -> Any:
        seen.append(inputs.shape[0])
        return original(self, inputs, *others, **named)

    session = open_session(problem_in_parts(rng=rng), engine)
    monkeypatch.setattr(model, method, watched)
    session.run(4)
    assert seen == [3, 2, 2, 3, 2, 2, 3, 2, 2, 1]
