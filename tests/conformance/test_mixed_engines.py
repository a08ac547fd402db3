"""What every engine must do in mixed precision: bfloat16 layers, float32 everything else."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from problems import make_problem, random_state
from test_engines import OWN_SESSION, marked

from twofold.engines.registry import find_engine, open_session
from twofold.engines.session import Session
from twofold.parity.certify import climb_subject
from twofold.parity.judging.subject import Subject
from twofold.parity.ladder.reference import build_reference
from twofold.parity.ladder.rungs import LADDER
from twofold.problem.problem import Problem, initial_state
from twofold.problem.state import Array
from twofold.spec.experiment import Adam, AdamW, Mlp, Mse, Sgd

ROUNDS_WHAT_IT_STORES = ("torch:lesson", "torch:eager", "torch:eager-fused", "flax:op-by-op")
GELU = Mlp(in_features=5, hidden=(7, 6), out_features=3, activation="gelu", dropout=0.3)


def mixed(**given: object) -> Problem:
    return make_problem(precision="mixed_bfloat16", **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=OWN_SESSION)
def session(request: pytest.FixtureRequest) -> Session:
    """One session of each engine, with dropout and AdamW."""
    return open_session(mixed(model=GELU, optimizer=AdamW(learning_rate=1e-6)), request.param)


def is_bfloat16(array: Array) -> bool:
    """Whether every number is one of bfloat16's."""
    return bool((array.astype(ml_dtypes.bfloat16).astype(array.dtype) == array).all())


def test_the_ladder_holds(session: Session) -> None:
    session.load_state(initial_state(session.problem))
    owner, _ = find_engine(session.engine)
    subject = Subject(session, owner, build_reference(session.problem), 4)
    rungs = climb_subject(subject, LADDER[:-1])  # without the export, which opens other engines
    assert len(rungs) == 13
    assert {rung.verdict for rung in rungs} <= {"certified", "explained"}, rungs
    assert {rung.precision for rung in rungs} == {"mixed_bfloat16"}


def test_all_that_comes_out_is_float32(session: Session) -> None:
    session.load_state(random_state(session.problem))
    batch = session.problem.train
    assert session.logits(batch.inputs[:8]).dtype == np.float32
    _, gradients = session.loss_and_gradients(session.batch(12))
    state = session.state()
    arrays = [*gradients.values(), *state.parameters.values()]
    arrays += [array for slot in state.slots.values() for array in slot.values()]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert session.run(2).dtype == np.float32


def test_layers_compute_in_bfloat16(session: Session) -> None:
    problem = session.problem
    state = random_state(problem)
    session.load_state(state)
    inputs = problem.train.inputs[:8]
    logits = session.logits(inputs)
    if session.engine in ROUNDS_WHAT_IT_STORES:
        assert is_bfloat16(logits)
    reference = open_session(make_problem(precision="float32", model=GELU), "torch:eager")
    reference.load_state(state)
    off = np.abs(logits - reference.logits(inputs)).max() / np.abs(logits).max()
    assert 2.0**-14 < off < 2.0**-4


def test_small_updates_are_not_lost(session: Session) -> None:
    """A step of 1e-6 is less than bfloat16 can add to a parameter of 0.1, and float32 can."""
    state = random_state(session.problem)
    session.load_state(state)
    session.run(1)
    after = session.state().parameters
    changed = [after[name] != before for name, before in state.parameters.items()]
    assert np.concatenate([each.ravel() for each in changed]).mean() > 0.8
    assert not any(is_bfloat16(array) for array in after.values())


@pytest.mark.parametrize(
    ("optimizer", "parts"), [(Sgd(momentum=0.9, weight_decay=0.1), 1), (Adam(), 3)]
)
@pytest.mark.parametrize("engine", [marked("torch:eager"), marked("flax:jit")])
def test_other_optimizers_and_losses(engine: str, optimizer: Sgd | Adam, parts: int) -> None:
    model = Mlp(in_features=5, hidden=(6,), out_features=3, activation="silu")
    problem = mixed(model=model, loss=Mse(), optimizer=optimizer, micro_batches=parts)
    owner, _ = find_engine(engine)
    subject = Subject(open_session(problem, engine), owner, build_reference(problem), 4)
    assert {rung.verdict for rung in climb_subject(subject)} <= {"certified", "explained"}


@pytest.mark.parametrize("engine", [marked("torch:eager"), marked("flax:jit")])
def test_native_dropout_trains(engine: str) -> None:
    session = open_session(mixed(rng="native"), engine)
    assert np.isfinite(session.run(3)).all()
    assert session.state().parameters["layers.0.weight"].dtype == np.float32
