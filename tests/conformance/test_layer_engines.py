"""Norms and residual blocks in every engine; expected values come from NumPy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import plain_layers
import pytest
from problems import make_problem, random_state
from test_engines import (
    ALL_ENGINES,
    SLOW_TO_WARM,
    TWO_STEPS,
    assert_close_state,
    assert_same_arrays,
    assert_same_state,
    marked,
)

from twofold.backends.installed import engine_names
from twofold.engines.registry import find_engine, open_session
from twofold.engines.seeds import open_seeds
from twofold.engines.session import Session
from twofold.errors import DataError, SpecError
from twofold.problem import checkpoint
from twofold.problem.problem import Batch, Problem, batch_at, dropout_masks, initial_state
from twofold.problem.state import TrainState
from twofold.spec.experiment import AdamW, Experiment
from twofold.spec.model import Sequential


def model_with(first: dict[str, Any], inner: dict[str, Any]) -> Sequential:
    """A model with two norms, the one before everything, the other in a residual block."""
    layers = [
        first,
        {"kind": "linear", "out_features": 6},
        {
            "kind": "residual",
            "layers": [
                {"kind": "layer_norm", "eps": 1e-4},
                {"kind": "linear", "out_features": 4, "bias": False},
                inner,
                {"kind": "activation", "function": "tanh"},
                {"kind": "dropout", "rate": 0.25},
                {"kind": "linear", "out_features": 6},
                {"kind": "dropout", "rate": 0.5},
            ],
        },
        {"kind": "activation", "function": "gelu"},
        {"kind": "linear"},
    ]
    return Sequential.model_validate({"in_features": 5, "out_features": 3, "layers": layers})


MODEL = model_with({"kind": "batch_norm", "momentum": 0.3, "eps": 1e-3}, {"kind": "batch_norm"})
LAYER_NORMS = model_with({"kind": "layer_norm", "eps": 1e-3}, {"kind": "layer_norm"})
"""For backends that refuse batch norm."""
NAMES = [name for name in engine_names() if name != TWO_STEPS]
SESSIONS = [marked(name, SLOW_TO_WARM) for name in NAMES]
OPTIMIZER = AdamW(learning_rate=0.01, weight_decay=0.3, betas=(0.8, 0.95), eps=1e-3)


def problem_of(**values: Any) -> Problem:
    return make_problem(model=MODEL, optimizer=OPTIMIZER, **values)


def refused(engine: str, experiment: Experiment) -> bool:
    """Whether an engine, or its backend, cannot run an experiment."""
    owner, own = find_engine(engine)
    return bool(owner.refusals(experiment) or own.refusals(experiment))


def problem_for(engine: str, **values: Any) -> Problem:
    """That problem; without batch norm for an engine whose backend refuses it."""
    problem = problem_of(**values)
    if not refused(engine, problem.experiment):
        return problem
    return make_problem(model=LAYER_NORMS, optimizer=OPTIMIZER, **values)


WITH_BATCH_NORM = [
    marked(name, SLOW_TO_WARM) for name in NAMES if not refused(name, problem_of().experiment)
]
batch_norm_sessions = pytest.mark.parametrize("warm", WITH_BATCH_NORM, indirect=True)


@pytest.fixture(scope="module", params=SESSIONS)
def warm(request: pytest.FixtureRequest) -> Session:
    """One float64 session of each engine; tests load the state they need."""
    return open_session(problem_for(request.param), request.param)


def state_at(problem: Problem, step: int) -> TrainState:
    return random_state(problem, step=step)


def test_logits_in_both_modes_and_nothing_moves(warm: Session) -> None:
    problem, state = warm.problem, state_at(warm.problem, 3)
    warm.load_state(state)
    batch = batch_at(problem, 3)
    masks = dropout_masks(problem, 3, batch.rows)
    training = plain_layers.forward(problem, state, batch.inputs, masks)
    evaluation = plain_layers.forward(problem, state, batch.inputs, None)
    np.testing.assert_allclose(warm.logits(batch.inputs, training=True), training, rtol=1e-11)
    assert_same_state(warm.state(), state)
    np.testing.assert_allclose(warm.logits(batch.inputs), evaluation, rtol=1e-11)
    assert np.abs(training - evaluation).max() > 0.01
    assert warm.loss(batch) > 0
    assert_same_state(warm.state(), state)


def test_every_gradient_is_that_of_finite_differences(warm: Session) -> None:
    problem, state = warm.problem, state_at(warm.problem, 3)
    warm.load_state(state)
    batch = batch_at(problem, 3)
    masks = dropout_masks(problem, 3, batch.rows)
    _, gradients = warm.loss_and_gradients(batch)
    assert list(gradients) == list(state.parameters)
    random = np.random.default_rng(4)
    for name, gradient in gradients.items():
        for _ in range(3):
            index = tuple(int(random.integers(size)) for size in gradient.shape)
            entry = plain_layers.gradient_entry(problem, state, batch, masks, name, index)
            assert gradient[index] == pytest.approx(entry, rel=1e-8, abs=1e-10), (name, index)
    assert_same_state(warm.state(), state)


@batch_norm_sessions
def test_a_step_moves_the_running_statistics(warm: Session) -> None:
    """As PyTorch does by the unbiased variance of the batch, as Flax does by the biased one."""
    problem, state = warm.problem, state_at(warm.problem, 3)
    batch = batch_at(problem, 3)
    masks = dropout_masks(problem, 3, batch.rows)
    biased = warm.engine.startswith("flax")
    expected = plain_layers.buffers_after(problem, state, batch.inputs, masks, biased=biased)
    warm.load_state(state)
    warm.step(batch)
    stepped = warm.state()
    for name, array in expected.items():
        np.testing.assert_allclose(stepped.buffers[name], array, rtol=1e-12, err_msg=name)
    warm.load_state(state)
    warm.run(1)
    assert_same_state(warm.state(), stepped)
    np.testing.assert_array_equal(stepped.buffers["layers.0.running_mean"] == 0.0, False)


def test_a_run_in_parts_is_the_same_run(warm: Session) -> None:
    warm.load_state(initial_state(warm.problem))
    whole = warm.run(7)
    end = warm.state()
    warm.load_state(initial_state(warm.problem))
    parts = [warm.run(count) for count in (1, 4, 2)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-12)
    assert_close_state(warm.state(), end, rtol=1e-10)
    for name, array in end.buffers.items():
        np.testing.assert_allclose(warm.state().buffers[name], array, rtol=1e-10, err_msg=name)


def test_nothing_is_compiled_in_the_steady_state(warm: Session) -> None:
    warm.run(3)
    compiled = warm.compilations()
    warm.load_state(state_at(warm.problem, 0))
    warm.run(6)
    assert warm.compilations() == compiled


@batch_norm_sessions
def test_one_row_is_refused_in_training_and_evaluated(warm: Session) -> None:
    one = Batch(np.ones((1, 5)), np.array([1]))
    before = warm.state()
    for ask in (warm.step, warm.loss_and_gradients):
        with pytest.raises(DataError, match="batch: 1 row; allowed is 2 or more in training"):
            ask(one)
    with pytest.raises(DataError, match="inputs: 1 row"):
        warm.logits(one.inputs, training=True)
    assert_same_state(warm.state(), before)


@pytest.mark.parametrize("engine", ALL_ENGINES)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_states_go_in_and_out_bit_for_bit(engine: str, precision: Any, tmp_path: Path) -> None:
    problem = problem_for(engine, precision=precision)
    session = open_session(problem, engine)
    assert_same_state(session.state(), initial_state(problem))
    assert_same_arrays(session.state().buffers, initial_state(problem).buffers)
    state = state_at(problem, 41)
    session.load_state(checkpoint.load(checkpoint.save(state, tmp_path / "state.safetensors")))
    assert_same_state(session.state(), state)
    assert_same_arrays(session.state().buffers, state.buffers)
    assert {str(array.dtype) for array in session.state().tensors.values()} == {precision}


@pytest.mark.parametrize("engine", ["torch:eager", "flax:jit"])
def test_a_state_without_its_buffers_is_refused(engine: str) -> None:
    session = open_session(problem_of(), engine)
    state = initial_state(session.problem)
    with pytest.raises(DataError, match="buffers: names"):
        session.load_state(replace(state, buffers={}))
    wrong = {name: array[:-1] for name, array in state.buffers.items()}
    with pytest.raises(DataError, match=r"buffers layers.0.running_mean: float64 \(4,\) given"):
        session.load_state(replace(state, buffers=wrong))


def test_own_initial_values_of_norms_are_one_and_zero_in_both() -> None:
    for engine in ("torch:eager", "flax:jit"):
        state = open_session(problem_of(rng="native"), engine).state()
        assert np.all(state.parameters["layers.0.weight"] == 1.0)
        assert np.all(state.parameters["layers.0.bias"] == 0.0)
        assert_same_arrays(state.buffers, initial_state(problem_of()).buffers)


@pytest.mark.parametrize("backend", ["torch", "flax"])
def test_many_seeds_in_one_step_refuse_batch_norm(backend: str) -> None:
    with pytest.raises(SpecError, match="batch_norm given; many seeds in one step allow none"):
        open_seeds(problem_of(), [1, 2], backend)


@pytest.mark.parametrize("engine", ["torch:eager", "flax:jit"])
@pytest.mark.parametrize("name", ["tabular-mlp", "tabular-resnet"])
def test_the_tabular_networks_learn(engine: str, name: str) -> None:
    from twofold.engines.training import train
    from twofold.problem.data import prepare

    experiment = Experiment.load(name, ("training.epochs=8",))
    result = train(open_session(prepare(experiment), engine))
    assert result.outcome == "finished"
    assert result.score is not None
    assert result.score.value > 0.93 > result.score.baseline
