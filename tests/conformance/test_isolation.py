"""A session changes nothing outside itself, and sessions do not touch each other."""

from __future__ import annotations

import random
from types import MethodType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from problems import make_problem
from twofold_torch.inductor import own_code
from twofold_torch.model import Network

from twofold.engines.registry import open_session
from twofold.spec.experiment import Mlp


@pytest.mark.parametrize("engine", ["torch:eager", "flax:jit"])
@pytest.mark.parametrize("rng", ["shared", "native"])
def test_global_settings_and_random_numbers_stay(engine: str, rng: str) -> None:
    open_session(make_problem(rng=rng), engine).run(1)  # modules that load on first use are loaded
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    python_state, threads = random.getstate(), torch.get_num_threads()
    session = open_session(make_problem(rng=rng), engine)
    session.run(4)
    session.logits(session.problem.test.inputs, training=True)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert random.getstate() == python_state
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_num_threads() == threads
    assert not jax.config.jax_enable_x64
    assert jnp.ones(1).dtype == jnp.float32


@pytest.mark.parametrize("engine", ["torch:eager", "flax:op-by-op"])
def test_a_native_run_is_not_disturbed_by_another(engine: str) -> None:
    problem = make_problem(rng="native")
    alone = open_session(problem, engine).run(6)
    session, other = open_session(problem, engine), open_session(problem, engine)
    parts = []
    for _ in range(3):
        parts.append(session.run(2))
        other.run(1)
        torch.rand(3)
    np.testing.assert_array_equal(np.concatenate(parts), alone)


def test_every_compiled_model_has_a_cache_of_its_own() -> None:
    problem = make_problem()
    models = [Network(problem.experiment) for _ in range(2)]
    for model in models:
        model.forward = MethodType(own_code(Network.forward), model)
    codes = {id(model.forward.__code__) for model in models} | {id(Network.forward.__code__)}
    assert len(codes) == 3
    inputs = torch.zeros(2, 5)
    assert torch.equal(models[0](inputs), Network.forward(models[0], inputs))


@pytest.mark.slow
def test_too_many_shapes_fail_and_do_not_fall_back_to_eager() -> None:
    model = Mlp(in_features=5, hidden=(), out_features=3)
    session = open_session(make_problem(model=model), "torch:compile")
    inputs = np.ones((torch._dynamo.config.recompile_limit + 1, 5))
    for rows in range(1, len(inputs)):
        session.logits(inputs[:rows])
    assert session.compilations() == len(inputs) - 1
    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
        session.logits(inputs)
