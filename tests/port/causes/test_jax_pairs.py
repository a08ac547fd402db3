"""Causes of pairs without PyTorch: functions and plain numbers of a JAX side are changed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from tests.port import flax_models
from twofold import port

ROWS = np.random.default_rng(2).normal(size=(4, 6)).astype(np.float32)
SERIES = np.random.default_rng(3).normal(size=(2, 5, 6))


def certify(original, wrong, inputs=ROWS):
    report = port.certify(original, wrong, (inputs,), gradients=False, precisions=())
    assert report.first_difference is not None, report.summary()
    return report.first_difference


class Original(nnx.Module):
    def __init__(self, function):
        rngs = nnx.Rngs(0)
        self.first, self.last = nnx.Linear(6, 6, rngs=rngs), nnx.Linear(6, 3, rngs=rngs)
        self.function = function

    def __call__(self, x):
        return self.last(self.function(self.first(x)))


class Ported(linen.Module):
    function: object

    @linen.compact
    def __call__(self, x):
        y = linen.Dense(6, name="first")(x)
        return linen.Dense(3, name="last")(self.function(y))


def ported(function, inputs=ROWS):
    module = Ported(function)
    return module, module.init(jax.random.key(0), inputs)


CASES = {
    "flavour of gelu": (
        lambda y: jax.nn.gelu(y, approximate=False),
        lambda y: linen.gelu(y, approximate=True),
        ROWS,
    ),
    "missing activation": (lambda y: nnx.relu(y), lambda y: y, ROWS),
    "other activation": (lambda y: jnp.tanh(y), lambda y: jax.nn.silu(y), ROWS),
    "axis of a softmax": (
        lambda y: jax.nn.softmax(y, axis=-1),
        lambda y: jax.nn.softmax(y, axis=1),
        SERIES,
    ),
    "constant": (lambda y: jnp.sin(y * 0.7), lambda y: jnp.sin(y * 0.65), ROWS),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_planted_difference_of_two_jax_models_is_named(kind):
    right, wrong, inputs = CASES[kind]

    def called(y):
        return right(y)

    first = certify(Original(called), ported(wrong, inputs), inputs)
    assert first.kind == kind, first
    assert first.line.startswith("tests/port/causes/test_jax_pairs.py:")


def test_the_epsilon_of_a_norm_is_named_between_nnx_and_linen():
    module = flax_models.LinenMLP(epsilon=3e-4)
    variables = module.init(jax.random.key(0), ROWS)
    first = certify(flax_models.MLP(epsilon=1e-5), (module, variables))
    assert (first.kind, first.trap) == ("epsilon of a layer norm", "layernorm-eps")
    assert first.cause.endswith("1e-05 in the original, 0.0003 in the port")


def test_weights_are_tried_on_a_pair_without_torch():
    class Wrong(linen.Module):
        @linen.compact
        def __call__(self, x):
            kernel = self.param("kernel", linen.initializers.lecun_normal(), (6, 6))
            return x @ kernel.T

    class Right(linen.Module):
        @linen.compact
        def __call__(self, x):
            return x @ self.param("kernel", linen.initializers.lecun_normal(), (6, 6))

    sides = [(m, m.init(jax.random.key(0), ROWS)) for m in (Right(), Wrong())]
    report = port.certify(
        *sides, (ROWS,), gradients=False, precisions=(), weights={"kernel": "kernel"}
    )
    first = report.first_difference
    assert (first.kind, first.trap) == ("transposed weight", "linear-weight-layout")
