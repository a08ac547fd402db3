"""Correct programs at the edges of the arithmetic stay inside; bounds stay near the real errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from judged import (
    LOSSES,
    OPTIMIZERS,
    batch_of,
    experiment_of,
    judge,
    oracle_step,
    ratio,
    state_of,
)
from plain import ORDERS, STYLES, Plain

from twofold.parity.oracle.activations import activate
from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.parity.oracle.bounded import Bounded, add, exact, scale
from twofold.parity.oracle.losses import evaluate_loss
from twofold.parity.oracle.optimizers import update
from twofold.problem.state import FIRST_MOMENT, SECOND_MOMENT, TrainState
from twofold.spec.experiment import Adam, AdamW, Sgd

Array = np.ndarray[Any, Any]
FLOAT32 = arithmetic_for("float32")
DTYPES = {"float32": np.float32, "float64": np.float64}


def adam_case(
    optimizer: Any, p: Array, m: Array, v: Array, g: Array, step: int, **options: Any
) -> float:
    """The worst ratio of one Adam update of one tensor from exact gradients."""
    experiment = experiment_of((1, 1), optimizer=optimizer)
    state = TrainState({"x": p}, {FIRST_MOMENT: {"x": m}, SECOND_MOMENT: {"x": v}}, step)
    arithmetic = arithmetic_for(p.dtype.name)
    expected = update(experiment, state, {"x": exact(g, arithmetic)}, arithmetic)
    after = Plain(p.dtype.type, **options).update(experiment, state, {"x": g})
    slots: Mapping[str, Any] = {"parameters": expected.parameters, **expected.slots}
    computed: Mapping[str, Any] = {"parameters": after.parameters, **after.slots}
    return max(ratio(computed[name]["x"], slots[name]["x"]) for name in slots)


def test_saturated_tanh_is_not_called_exact() -> None:
    # tanh(10.5) = 1 - 1.5e-9 is exactly 1 in float32: half a unit off at most, but not exact.
    z = exact(np.array([10.5, -11.0, 30.0], np.float32), FLOAT32)
    value, derivative = activate("tanh", z, FLOAT32)
    assert ratio(np.array([1, -1, 1], np.float32), value) <= 1
    assert ratio(np.zeros(3, np.float32), derivative) <= 1


@pytest.mark.parametrize("activation", ["silu", "sigmoid", "gelu", "gelu_tanh", "tanh"])
def test_flushed_tails_of_activations(activation: str) -> None:
    # At -88, sigmoid is subnormal in float32; flushed to zero it also takes z * sigmoid with it.
    z = np.concatenate([np.linspace(-110, -80, 500), [-1e4, 1e4, 1e-38, 1e-42]]).astype(np.float32)
    for style in STYLES:
        plain = Plain(np.float32, style=style, flush=True)
        computed, slope = plain.activation(activation, z)
        value, derivative = activate(activation, exact(z, FLOAT32), FLOAT32)  # type: ignore[arg-type]
        assert ratio(computed, value) <= 1
        assert ratio(slope, derivative) <= 1


def test_saturated_gelu_tanh() -> None:
    # Between the last argument where the engine's tanh is below one and where the oracle's is one.
    z = np.linspace(-8, 8, 20001).astype(np.float32)
    for style in STYLES:
        computed, slope = Plain(np.float32, style=style).activation("gelu_tanh", z)
        value, derivative = activate("gelu_tanh", exact(z, FLOAT32), FLOAT32)
        assert ratio(computed, value) <= 1
        assert ratio(slope, derivative) <= 1


def test_subnormal_operands_of_a_sum() -> None:
    # XLA takes both operands for zero: 0.9 + 0.9 smallest normals are lost at once.
    tiny = np.array([0.9 * FLOAT32.smallest_normal], np.float32)
    both = add(exact(tiny, FLOAT32), exact(tiny, FLOAT32), FLOAT32)
    assert ratio(np.zeros(1, np.float32), both) <= 1
    assert ratio(np.zeros(1, np.float32), scale(exact(tiny, FLOAT32), 0.5, 2, FLOAT32)) <= 1


@pytest.mark.parametrize("eps", [1e-8, 1e-16, 1e-30])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("flush", [False, True])
def test_adam_where_the_second_moment_underflows(eps: float, style: str, flush: bool) -> None:
    g = np.array([1e-17, 1e-19, 3e-20, 1e-21, 1e-25, 1e-30, 1e-36], np.float32)
    zeros = np.zeros_like(g)
    optimizer = Adam(learning_rate=1e-3, eps=eps)
    worst = adam_case(optimizer, zeros, zeros, zeros, g, 0, style=style, flush=flush)
    assert worst <= 1


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.4, 0.45, 0.499, 0.5, 0.51, 0.6, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_at_every_ratio_of_gradient_to_moment(beta: float, style: str, dtype: type) -> None:
    random = np.random.default_rng(3)
    sizes = 10.0 ** random.uniform(-4, 4, 100_000)
    g = random.normal(size=100_000).astype(dtype)
    m = (random.normal(size=100_000) * sizes).astype(dtype)
    v = (m.astype(np.float64) ** 2).astype(dtype)
    optimizer = AdamW(betas=(beta, beta))
    assert adam_case(optimizer, np.ones_like(g), m, v, g, 5, style=style) <= 1


@pytest.mark.parametrize("rate", [1e-5, 1.0, 30.0])
@pytest.mark.parametrize("decay", [1e-2, 1.0, 5.0])
@pytest.mark.parametrize("style", STYLES)
def test_decay_as_large_as_the_parameters(rate: float, decay: float, style: str) -> None:
    random = np.random.default_rng(4)
    p, m, g = (random.normal(size=50_000).astype(np.float32) for _ in range(3))
    optimizer = AdamW(learning_rate=rate, weight_decay=decay, eps=1e-3)
    assert adam_case(optimizer, p, m, m * m, g, 7, style=style) <= 1


@pytest.mark.parametrize("eps", [1e-12, 1e-8, 1.0, 1e3])
@pytest.mark.parametrize("betas", [(0.0, 0.999), (0.9, 0.0), (0.9, 0.999), (0.999, 0.9)])
def test_every_gradient_in_its_interval_leads_into_the_update(
    eps: float, betas: tuple[float, float]
) -> None:
    # Gradients near zero beside large bounds, from every kind of warm state; judged in float64,
    # where roundings are far too small to hide a hole in the propagation.
    random = np.random.default_rng(5)
    size = 4000
    arithmetic = arithmetic_for("float64")
    experiment = experiment_of((1, 1), optimizer=Adam(betas=betas, eps=eps, learning_rate=0.1))
    m = random.normal(size=size) * 10.0 ** random.uniform(-8, 0, size)
    v = 10.0 ** random.uniform(-20, 0, size)
    m[::7], v[::11] = 0.0, 0.0
    g = random.normal(size=size) * 10.0 ** random.uniform(-9, 0, size)
    g[::13] = 0.0
    bound = 10.0 ** random.uniform(-9, 0, size)
    state = TrainState({"x": np.zeros(size)}, {FIRST_MOMENT: {"x": m}, SECOND_MOMENT: {"x": v}}, 3)
    given = Bounded(g.astype(arithmetic.oracle_dtype), bound)
    expected = update(experiment, state, {"x": given}, arithmetic)
    for fraction in np.linspace(-1, 1, 41):
        after = Plain(np.float64).update(experiment, state, {"x": g + fraction * bound})
        assert ratio(after.parameters["x"], expected.parameters["x"]) <= 1 + 1e-9
        for slot in after.slots:
            assert ratio(after.slots[slot]["x"], expected.slots[slot]["x"]) <= 1 + 1e-9


@pytest.mark.parametrize("gap", [1e2, 1e4])
@pytest.mark.parametrize("spread", [1.0, 300.0, 3000.0])
def test_uncertain_logits_far_apart(gap: float, spread: float) -> None:
    # A class of probability e^-10000 (zero even in float64) may win where the bound is as wide.
    logits = Bounded(np.array([[0.0, -gap, -gap / 2]]), np.full((1, 3), spread))
    spec = experiment_of((1, 3)).loss
    result = evaluate_loss(spec, logits, np.array([1]), FLOAT32)
    for signs in np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T:
        z = (logits.value + spread * signs).astype(np.float32)
        loss, gradient = Plain(np.float32).loss(spec, z, np.array([1]))
        assert ratio(loss, result.loss) <= 1
        assert ratio(gradient, result.logits_gradient) <= 1


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("size", [1e-6, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_losses_at_logits_of_every_size(kind: str, size: float, precision: str) -> None:
    random = np.random.default_rng(6)
    dtype = DTYPES[precision]
    logits = (size * random.normal(size=(64, 50))).astype(dtype)
    logits[0] = size
    targets: Array = random.integers(0, 50, 64)
    spec = experiment_of((1, 50), loss=kind).loss
    if spec.kind != "cross_entropy":
        targets = random.choice([0.0, 1e-7, 1e-3, 0.5, 0.999, 1 - 1e-7, 1.0], (64, 50))
        targets = targets.astype(dtype)
    arithmetic = arithmetic_for(precision)  # type: ignore[arg-type]
    given = exact(logits, arithmetic)
    expected = evaluate_loss(spec, given, targets, arithmetic)
    for style in STYLES:
        for order in ORDERS:
            plain = Plain(dtype, order, style, flush=True)
            loss, gradient = plain.loss(spec, logits, targets)
            assert ratio(loss, expected.loss) <= 1
            assert ratio(gradient, expected.logits_gradient) <= 1


@pytest.mark.parametrize("scale_of_inputs", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_wide_networks_many_classes_large_batches(scale_of_inputs: float, activation: str) -> None:
    experiment = experiment_of((64, 512, 1000), activation)
    state = state_of(experiment, 8, np.float32, warm=True)
    batch = batch_of(experiment, 8, np.float32, 512, scale_of_inputs)
    assert max(judge(Plain(np.float32), experiment, state, batch).values()) <= 1


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("bias", [False, True])
def test_zero_inputs_and_dead_units(optimizer: str, warm: bool, bias: bool) -> None:
    experiment = experiment_of((3, 5, 2), "relu", optimizer=OPTIMIZERS[optimizer], bias=bias)
    state = state_of(experiment, 9, np.float32, warm=warm)
    batch = batch_of(experiment, 9, np.float32, 1, scale=0.0)
    assert max(judge(Plain(np.float32), experiment, state, batch).values()) <= 1


def test_scalar_network_with_one_row() -> None:
    experiment = experiment_of((1, 1), loss="mse", optimizer=Sgd(learning_rate=0.5))
    state = state_of(experiment, 10, np.float32, warm=False)
    batch = batch_of(experiment, 10, np.float32, 1)
    assert max(judge(Plain(np.float32), experiment, state, batch).values()) <= 1


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "gelu_tanh", "silu", "sigmoid"])
def test_bounds_are_near_the_real_errors(loss: str, activation: str) -> None:
    """At sane inputs no rung's worst ratio is below 1e-4."""
    experiment = experiment_of((20, 64, 64, 3), activation, loss, dropout=0.2)
    random = np.random.default_rng(11)
    masks = tuple(random.random((64, 64)) >= 0.2 for _ in range(2))
    for dtype in (np.float32, np.float64):
        for warm in (False, True):
            state = state_of(experiment, 11, dtype, warm=warm)
            batch = batch_of(experiment, 11, dtype, 64)
            worst = judge(Plain(dtype), experiment, state, batch, masks)
            loss_ratio = worst.pop("loss")  # a single number may be right by luck
            assert loss_ratio <= 1
            assert min(worst.values()) > 1e-4
            assert max(worst.values()) <= 1


def test_bounds_are_small_at_sane_inputs() -> None:
    """The relative size of the bounds themselves: a few hundred roundings."""
    experiment = experiment_of((20, 128, 128, 3), "relu")
    for precision, unit in (("float32", 6e-8), ("float64", 1.1e-16)):
        dtype = DTYPES[precision]
        state = state_of(experiment, 12, dtype, warm=True)
        batch = batch_of(experiment, 12, dtype, 64)
        arithmetic = arithmetic_for(precision)  # type: ignore[arg-type]
        result, after = oracle_step(experiment, state, batch, (), arithmetic)
        assert result.loss.bound < 3000 * unit * float(result.loss.value)
        for name, gradient in result.gradients.items():
            size = np.abs(gradient.value).max()
            assert np.median(gradient.bound) < 3e4 * unit * size, name
        for name, parameter in after.parameters.items():
            assert np.median(parameter.bound) < 100 * unit, name
