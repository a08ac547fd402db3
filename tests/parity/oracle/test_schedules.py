"""Linear, step, exponential and cosine schedules: by hand, against mpmath and both frameworks."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import optax
import pytest
import torch
from twofold_jax.optimizer import learning_rate as flax_rate
from twofold_torch.optimizer import build_optimizer, build_schedule, seek

from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.parity.oracle.schedule import POWER_ULPS, learning_rate
from twofold.spec.experiment import Sgd
from twofold.spec.schedules import Exponential, Linear, Schedule, StepDecay, WarmupCosine

PEAK = 0.03
SCHEDULES: dict[str, Any] = {
    "down": Linear(transition_steps=41),
    "up": Linear(transition_steps=300, start_fraction=1e-3, final_fraction=1.0),
    "step": StepDecay(transition_steps=41, decay_rate=0.7),
    "small steps": StepDecay(transition_steps=1, decay_rate=0.999),
    "exponential": Exponential(transition_steps=47, decay_rate=0.1),
    "each step": Exponential(decay_rate=0.9995),
    "from a start": WarmupCosine(warmup_steps=30, decay_steps=200, start_fraction=0.3),
}
STEPS = (0, 1, 2, 29, 30, 40, 41, 42, 81, 82, 83, 199, 200, 299, 300, 301, 1000, 5000)


@pytest.mark.parametrize(
    ("schedule", "fractions"),
    [
        (Linear(transition_steps=4), {0: 1, 1: 0.75, 3: 0.25, 4: 0, 9: 0}),
        (
            Linear(transition_steps=2, start_fraction=0.5, final_fraction=1),
            {0: 0.5, 1: 0.75, 2: 1, 3: 1},
        ),
        (StepDecay(transition_steps=3, decay_rate=0.5), {0: 1, 2: 1, 3: 0.5, 5: 0.5, 6: 0.25}),
        (Exponential(transition_steps=2, decay_rate=0.25), {0: 1, 1: 0.5, 2: 0.25, 3: 0.125}),
        (
            WarmupCosine(warmup_steps=4, decay_steps=8, start_fraction=0.2),
            {0: 0.2, 1: 0.4, 3: 0.8, 4: 1, 6: 0.5, 8: 0, 20: 0},
        ),
    ],
    ids=lambda value: value.kind if hasattr(value, "kind") else "",
)
def test_by_hand(schedule: Schedule, fractions: dict[int, float]) -> None:
    for step, fraction in fractions.items():
        rate = learning_rate(Sgd(learning_rate=0.5, schedule=schedule), step, FLOAT64)
        assert float(rate.value) == pytest.approx(0.5 * fraction, rel=1e-15, abs=1e-18)


FLOAT64 = arithmetic_for("float64")


def precise(schedule: Schedule, step: int) -> Any:
    """The factor with many digits."""
    if schedule.kind == "linear":
        progress = mp.mpf(min(step, schedule.transition_steps)) / schedule.transition_steps
        start, final = mp.mpf(schedule.start_fraction), mp.mpf(schedule.final_fraction)
        return start * (1 - progress) + final * progress
    if schedule.kind == "step":
        return mp.mpf(schedule.decay_rate) ** (step // schedule.transition_steps)
    if schedule.kind == "exponential":
        return mp.mpf(schedule.decay_rate) ** (mp.mpf(step) / schedule.transition_steps)
    assert schedule.kind == "warmup_cosine"
    if step < schedule.warmup_steps:
        start = mp.mpf(schedule.start_fraction)
        return start + (1 - start) * step / schedule.warmup_steps
    length = schedule.decay_steps - schedule.warmup_steps
    return (1 + mp.cos(mp.pi * min(step - schedule.warmup_steps, length) / length)) / 2


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_oracles_value_is_right(name: str, precision: Any) -> None:
    """Off by its own share of the bound at most."""
    arithmetic = arithmetic_for(precision)
    own = 1.0 - float(np.finfo(arithmetic.dtype).eps) / 2 / arithmetic.unit_roundoff
    with mp.workdps(40):
        for step in STEPS:
            rate = learning_rate(
                Sgd(learning_rate=PEAK, schedule=SCHEDULES[name]), step, arithmetic
            )
            high = float(rate.value)
            value = mp.mpf(high) + mp.mpf(float(rate.value - high))
            error = abs(value - mp.mpf(PEAK) * precise(SCHEDULES[name], step))
            assert float(error) <= own * rate.bound


def rates_of_torch(schedule: Schedule, steps: int) -> np.ndarray:
    """The rates that PyTorch's schedule gives as it is stepped, and as it is sought."""
    spec = Sgd(learning_rate=PEAK, schedule=schedule)
    optimizer = build_optimizer(spec, [torch.nn.Parameter(torch.zeros(2, 2))])
    stepped, found = build_schedule(spec, optimizer), []
    assert stepped is not None
    for step in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        stepped.step()
        if step % 97 == 0:  # a state is loaded: the schedule goes on from there
            seek(stepped, step + 1)
    return np.array(found)


def rates_of_optax(schedule: Schedule, steps: int, precision: str, *, jit: bool) -> np.ndarray:
    with jax.enable_x64(precision == "float64"):
        rate = flax_rate(Sgd(learning_rate=PEAK, schedule=schedule), jnp.dtype(precision))
        assert callable(rate)
        counts = jnp.arange(steps, dtype=jnp.int32)
        # One by one when compiled, as in a training step.
        each = jax.jit(lambda counts: jax.lax.map(rate, counts)) if jit else jax.vmap(rate)
        return np.asarray(each(counts))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_both_frameworks_stay_within_the_bounds(name: str, precision: Any) -> None:
    steps, schedule, arithmetic = 500, SCHEDULES[name], arithmetic_for(precision)
    computed = {
        "torch": rates_of_torch(schedule, steps),
        "optax": rates_of_optax(schedule, steps, precision, jit=False),
        "optax, compiled": rates_of_optax(schedule, steps, precision, jit=True),
    }
    spec = Sgd(learning_rate=PEAK, schedule=schedule)
    allowed = [learning_rate(spec, step, arithmetic) for step in range(steps)]
    worst = {}
    for who, rates in computed.items():
        if who == "torch" and precision == "float32":
            rates = rates.astype(np.float32)  # where it is put into a tensor
        ratios = [
            abs(float(arithmetic.oracle_dtype.type(rate) - each.value)) / each.bound
            for rate, each in zip(rates, allowed, strict=True)
        ]
        worst[who] = max(ratios)
    print(name, precision, {who: round(value, 3) for who, value in worst.items()})
    assert max(worst.values()) <= 1


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_bounds_bite(name: str, precision: Any) -> None:
    """The rate of the step before, and one that is 0.1 % off, fall outside while rates change."""
    schedule, arithmetic = SCHEDULES[name], arithmetic_for(precision)
    spec = Sgd(learning_rate=PEAK, schedule=schedule)
    caught = []
    for step in range(1, 200):
        rate, before = (learning_rate(spec, at, arithmetic) for at in (step, step - 1))
        if rate.value != before.value:
            caught.append(abs(float(rate.value - before.value)) > rate.bound)
        if rate.value > 0.01 * PEAK:
            assert 1e-3 * float(rate.value) > rate.bound
    assert len(caught) >= 4
    assert all(caught)


def test_powers_are_as_exact_as_the_bound_counts_on() -> None:
    """XLA's power of a float32 and a float64 base, without the rounding of the base itself."""
    worst = 0.0
    for precision in ("float32", "float64"):
        with jax.enable_x64(precision == "float64"):
            kind = np.dtype(precision).type
            for base in (0.999, 0.9, 0.5, 0.05):
                exponents = np.linspace(0, 60, 4001).astype(kind)
                true = np.longdouble(kind(base)) ** exponents.astype(np.longdouble)
                power = jax.jit(lambda p, base=base: jnp.power(base, p))
                error = np.abs(np.asarray(power(exponents)).astype(np.longdouble) / true - 1)
                error = error[true > 4 * np.finfo(kind).smallest_normal]
                worst = max(worst, float(error.max()) / float(np.finfo(kind).eps))
    print(f"{worst:.2f} ulps of {POWER_ULPS}")
    assert worst <= POWER_ULPS


def test_optaxs_own_staircase_is_late_where_xla_multiplies_by_a_reciprocal() -> None:
    """Why the Flax backend counts the drops in integers."""
    own = optax.exponential_decay(1.0, 41, 0.5, staircase=True)
    compiled = jax.jit(lambda count: own(jnp.asarray(count, jnp.float32)))
    assert float(own(jnp.float32(41))) == 0.5
    assert float(compiled(np.int32(41))) == 1.0
    assert float(compiled(np.int32(42))) == 0.5
    rates = rates_of_optax(StepDecay(transition_steps=41, decay_rate=0.5), 100, "float32", jit=True)
    np.testing.assert_allclose(rates[[40, 41, 81, 82]], PEAK * np.array([1, 0.5, 0.5, 0.25]))
