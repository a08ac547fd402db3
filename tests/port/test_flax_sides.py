"""The JAX sides: float64 inside, live objects untouched, casts and draws told."""

from __future__ import annotations

from dataclasses import replace

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from twofold.errors import BadInput, SideFailed
from twofold.port import Function, Linen, Nnx
from twofold.port.side import Call, Mask, MasksDoNotFit

X = np.random.default_rng(0).normal(size=(3, 4))
EVERYTHING = frozenset({"outputs", "loss", "gradients", "buffers", "modules"})


class Model(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.fc = nnx.Linear(4, 4, rngs=rngs)
        self.bn = nnx.BatchNorm(4, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return {"y": self.drop(self.bn(self.fc(x)))}


def call(**changes):
    return replace(Call({}, (X,), want=EVERYTHING, projection={"y": np.ones((3, 4))}), **changes)


@pytest.fixture(scope="module")
def model():
    return Model()


@pytest.fixture(scope="module")
def side(model):
    return Nnx(model)


def plain(value):
    is_key = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(value) if is_key else value


def test_the_model_is_afterwards_as_it_was(model, side):
    model.train()
    before = [np.array(plain(value)) for value in jax.tree.leaves(nnx.state(model))]
    answer = side.answer(call(mode="training"))
    with pytest.raises(SideFailed):
        Nnx(model, call=lambda *_: 1 / 0).answer(call())
    after = jax.tree.leaves(nnx.state(model))
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(old, plain(new))
    assert not model.drop.deterministic
    assert not jax.config.jax_enable_x64
    assert model.fc.kernel[...].dtype == jnp.float32
    assert not np.array_equal(answer.buffers["bn.mean"], np.zeros(4))


def test_answers_are_those_of_numpy_in_float64(model, side):
    answer = side.answer(call())
    kernel, bias = (np.asarray(v[...], np.float64) for v in (model.fc.kernel, model.fc.bias))
    expected = (X @ kernel + bias) / np.sqrt(1 + model.bn.epsilon)
    assert answer.outputs["y"].dtype == np.float64
    assert np.allclose(answer.outputs["y"], expected, rtol=1e-13, atol=0)
    assert np.allclose(answer.modules["fc"], X @ kernel + bias, rtol=1e-13)
    slope = np.repeat(X.sum(0)[:, None], 4, 1) / np.sqrt(1 + model.bn.epsilon)
    assert np.allclose(answer.gradients["fc.kernel"], slope, rtol=1e-12)


def test_forced_outputs_replace_those_of_a_module(model, side):
    given = np.random.default_rng(3).normal(size=(3, 4))
    answer = side.answer(call(forced={"fc": given}))
    expected = given / np.sqrt(1 + model.bn.epsilon)
    assert np.allclose(answer.outputs["y"], expected, rtol=1e-13)


def test_masks_are_given_counted_and_refused(side):
    kept = np.random.default_rng(1).random((3, 4)) > 0.5
    masked = side.answer(call(mode="training", masks=(Mask(kept, 0.5),)))
    every = side.answer(call(mode="training", masks=()))
    assert np.allclose(masked.outputs["y"], np.where(kept, every.outputs["y"], 0))
    with pytest.raises(MasksDoNotFit, match="no mask of shape"):
        side.answer(call(mode="training", masks=(Mask(kept[:2], 0.5),)))
    with pytest.raises(MasksDoNotFit, match="1 dropouts ran; 2 masks"):
        side.answer(call(mode="training", masks=(Mask(kept, 0.5),) * 2))


def casting(parameters, x):
    h = x.astype(jnp.float32) * parameters["scale"]
    table = jnp.arange(0, 4, dtype=jnp.float32) / 3
    weights = jax.nn.softmax((h + table).astype(jnp.bfloat16), axis=-1)
    return jnp.dot(weights, jnp.eye(4), preferred_element_type=jnp.float32) * h


def test_casts_inside_are_kept_wide_and_told_with_their_lines():
    scale = np.full(4, 1.1, np.float32)
    side = Function(casting, {"scale": scale})
    want = frozenset({"outputs", "gradients"})
    answer = side.answer(Call({}, (X,), want=want, projection={"": np.ones((3, 4))}))

    def total(value):
        h = X * value
        e = np.exp(h + np.arange(4) / 3)
        return e / e.sum(-1, keepdims=True) * h

    wide = scale.astype(np.float64)
    assert np.allclose(answer.outputs[""], total(wide), rtol=1e-14, atol=0)
    for i in range(4):
        step = np.eye(4)[i] * 1e-6
        slope = (total(wide + step) - total(wide - step)).sum() / 2e-6
        assert answer.gradients["scale"][i] == pytest.approx(slope, rel=1e-7)
    first = casting.__code__.co_firstlineno
    found = {(int(c.where.rpartition(":")[2]) - first, c.target) for c in answer.casts}
    assert {(1, "float32"), (2, "float32"), (3, "bfloat16"), (4, "float32")} <= found
    narrow = side.answer(Call({}, (X,), wide=False))
    assert np.abs(narrow.outputs[""] - total(wide)).max() > 1e-5


def test_a_persons_own_compiled_function_is_not_changed_by_the_judge():
    @jax.jit
    def narrowing(x):
        return x.astype(jnp.bfloat16)

    side = Function(lambda p, x: narrowing(p["w"] * x), {"w": np.ones(4, np.float32)})
    assert side.answer(Call({}, (X,))).outputs[""].dtype == np.float64
    with jax.enable_x64(True):
        assert narrowing(jnp.asarray(X)).dtype == jnp.bfloat16
    assert narrowing(jnp.ones(3)).dtype == jnp.bfloat16


def test_control_flow_on_data_runs_operation_by_operation_and_says_so():
    def branching(parameters, x):
        if x.sum() > 0:
            return parameters["w"] * x
        return -parameters["w"] * x

    side = Function(branching, {"w": np.full(4, 2.0, np.float32)})
    want = frozenset({"outputs", "gradients"})
    answer = side.answer(Call({}, (np.abs(X),), want=want, projection={"": np.ones((3, 4))}))
    assert np.allclose(answer.outputs[""], 2 * np.abs(X))
    assert np.allclose(answer.gradients["w"], np.abs(X).sum(0))
    assert "control flow depends on data" in answer.notes[0]


def test_other_draws_are_told_and_initializers_are_not():
    def noisy(parameters, x):
        return x * parameters["w"] + jax.random.normal(jax.random.key(0), x.shape)

    answer = Function(noisy, {"w": np.ones(4, np.float32)}).answer(Call({}, (X,)))
    assert "test_flax_sides.py" in answer.draws[0]
    module = linen.Dense(2)
    quiet = Linen(module, module.init(jax.random.key(0), X)).answer(Call({}, (X,)))
    assert quiet.draws == ()
    assert quiet.casts == ()


class WithStatistics(linen.Module):
    @linen.compact
    def __call__(self, x, *, train):
        x = linen.Dense(4)(x)
        x = linen.BatchNorm(use_running_average=not train)(x)
        return linen.Dropout(0.5, deterministic=not train)(x)


def test_linen_is_told_its_mode_and_names_its_tensors():
    module = WithStatistics()
    side = Linen(module, module.init(jax.random.key(0), X, train=False))
    side.look(Call({}, (X,)))
    found = {t.name: t for t in side.tensors()}
    assert found["BatchNorm_0.mean"].role == "buffer"
    assert found["Dense_0.kernel"].owner == "flax.linen.Dense"
    assert found["BatchNorm_0.scale"].attributes["momentum"] == 0.99
    want = frozenset({"outputs", "buffers", "modules"})
    trained = side.answer(Call({}, (X,), mode="training", want=want))
    assert not np.array_equal(trained.buffers["BatchNorm_0.mean"], np.zeros(4))
    assert np.allclose(trained.outputs[""], 2 * trained.modules["BatchNorm_0"])
    still = side.answer(Call({}, (X,), want=want))
    assert np.array_equal(still.buffers["BatchNorm_0.mean"], np.zeros(4))


def test_what_is_no_model_is_refused():
    with pytest.raises(BadInput, match=r"Nnx: int given"):
        Nnx(3)
    with pytest.raises(BadInput, match="no arrays"):
        Function(lambda _, x: x, {})
