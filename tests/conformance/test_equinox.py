"""Equinox's batch norm: why its backend refuses it, measured on Equinox's own layer."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest
from problems import make_problem

from twofold.engines.registry import default_engines, open_session
from twofold.engines.seeds import open_seeds
from twofold.errors import SpecError
from twofold.problem.state import Array
from twofold.spec.experiment import Mlp

KEPT = 0.9  # Equinox's momentum: the weight of the old statistics
EPS = 1e-5
BATCH = np.random.default_rng(6).normal(2.0, 3.0, (16, 4)).astype(np.float32)


def after_training(mode: Any, steps: int) -> tuple[Array, Array]:
    """Outputs (16, 4) of the last of some training steps on the batch, and of evaluation."""
    layer, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(
        4, axis_name="batch", eps=EPS, momentum=KEPT, mode=mode
    )

    def mapped(inference: bool) -> Any:
        return jax.vmap(
            lambda row, state: layer(row, state, inference=inference),
            axis_name="batch",
            in_axes=(0, None),
            out_axes=(0, None),
        )

    for _ in range(steps):
        trained, state = mapped(False)(BATCH, state)
    evaluated, _ = mapped(True)(BATCH, state)
    return np.asarray(trained), np.asarray(evaluated)


def normalized(mean: Array, variance: Array) -> Array:
    """The batch brought to mean 0 and variance 1 by these statistics."""
    return (BATCH - mean) / np.sqrt(variance + EPS)


@pytest.mark.parametrize("steps", [1, 3])
def test_its_evaluation_divides_the_statistics_by_one_minus_a_power(steps: int) -> None:
    trained, evaluated = after_training("batch", steps)
    mean, variance = BATCH.mean(0), BATCH.var(0)
    np.testing.assert_allclose(trained, normalized(mean, variance), rtol=1e-4, atol=1e-5)
    old = KEPT**steps
    running_mean, running_variance = (1 - old) * mean, old + (1 - old) * variance
    own = normalized(running_mean / (1 - old), running_variance / (1 - old))
    np.testing.assert_allclose(evaluated, own, rtol=1e-4, atol=1e-5)
    of_the_formula = normalized(running_mean, running_variance)
    assert np.abs(evaluated - of_the_formula).max() > 0.1


def test_its_other_mode_trains_with_running_statistics() -> None:
    """Seen on a batch whose mean moves: the second batch is not brought to mean 0."""
    layer, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(
        4, axis_name="batch", eps=EPS, momentum=KEPT, mode="ema"
    )
    mapped = jax.vmap(layer, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
    first, state = mapped(BATCH, state)
    second, _ = mapped(BATCH + 5.0, state)
    np.testing.assert_allclose(np.asarray(first).mean(0), 0.0, atol=1e-5)
    own = 5.0 * KEPT / np.sqrt(BATCH.var(0) + EPS)
    np.testing.assert_allclose(np.asarray(second).mean(0), own, rtol=1e-4)


def test_batch_norm_is_refused_with_the_reason() -> None:
    problem = make_problem(model=Mlp(in_features=5, hidden=(6,), out_features=3, norm="batch_norm"))
    for engine in ("equinox:jit", "equinox:scan"):
        with pytest.raises(SpecError, match="batch_norm given; the backend equinox has none"):
            open_session(problem, engine)
    left = default_engines(problem.experiment)
    assert "flax:jit" in left
    assert not [name for name in left if name.startswith("equinox")]
    assert "equinox:jit" in default_engines()


def test_many_seeds_in_one_step_keep_their_own_states() -> None:
    problem = make_problem()
    together = open_seeds(problem, [1, 2], "equinox")
    losses = together.run(3)
    for place, seed in enumerate((1, 2)):
        alone = open_session(make_problem(seed=seed), "equinox:jit")
        np.testing.assert_allclose(losses[:, place], alone.run(3), rtol=1e-10)
        for name, array in alone.state().parameters.items():
            np.testing.assert_allclose(
                together.state(place).parameters[name], array, rtol=1e-8, err_msg=name
            )
