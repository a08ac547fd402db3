"""The optimizers in Optax, every hyperparameter passed.

No default of Optax decides anything.
"""

from __future__ import annotations

from typing import Any, Final

import jax
import jax.numpy as jnp
import optax

from twofold.problem.state import FIRST_MOMENT, MOMENTUM, SECOND_MOMENT
from twofold.spec.experiment import Optimizer

SLOT_KEYS: Final = {
    MOMENTUM: "trace",
    FIRST_MOMENT: "mu",
    SECOND_MOMENT: "nu",
}
"""Canonical slot names to the fields of Optax's states (Optax 0.2.8)."""

COUNT_KEY: Final = "count"
"""The field of Optax's states that counts the steps, int32."""


def learning_rate(spec: Optimizer, dtype: jnp.dtype[Any]) -> optax.ScalarOrSchedule:
    """The learning rate, or its schedule: a function of the steps taken.

    Optax counts in int32, and JAX divides int32 in float32 even where float64 is enabled, so the
    count is brought to the parameters' dtype first.

    `optax.exponential_decay(staircase=True)` divides the count by `transition_steps` and rounds
    down. XLA makes of a division by a constant a product with its reciprocal, which may end just
    below the whole number: with 41 the compiled schedule drops at step 42 (JAX 0.10.2 in float32,
    on a CPU). Here the whole drops are counted in integers, and the schedule is asked for those.
    """
    schedule, peak = spec.schedule, spec.learning_rate
    match schedule.kind:
        case "constant":
            return peak
        case "linear":
            rate = optax.linear_schedule(
                init_value=peak * schedule.start_fraction,
                end_value=peak * schedule.final_fraction,
                transition_steps=schedule.transition_steps,
            )
        case "step":
            drop, length = _exponential(spec, 1, schedule.decay_rate), schedule.transition_steps
            return lambda count: drop(jnp.asarray(jnp.asarray(count) // length, dtype))
        case "exponential":
            rate = _exponential(spec, schedule.transition_steps, schedule.decay_rate)
        case "warmup_cosine":
            rate = optax.warmup_cosine_decay_schedule(
                init_value=peak * schedule.start_fraction,
                peak_value=peak,
                warmup_steps=schedule.warmup_steps,
                decay_steps=schedule.decay_steps,
                end_value=peak * schedule.final_fraction,
                exponent=1.0,
            )
    return lambda count: rate(jnp.asarray(count, dtype))


def _exponential(spec: Optimizer, transition_steps: int, decay_rate: float) -> optax.Schedule:
    return optax.exponential_decay(
        init_value=spec.learning_rate,
        transition_steps=transition_steps,
        decay_rate=decay_rate,
        transition_begin=0,
        staircase=False,
        end_value=None,
    )


def decayed(params: Any) -> Any:
    """Which parameters decay with `decay_biases = false`: True for two axes and more."""
    return jax.tree.map(lambda array: array.ndim > 1, params)


def build_optimizer(spec: Optimizer, dtype: jnp.dtype[Any]) -> optax.GradientTransformation:
    """The optimizer of an experiment, after clipping the gradients if it asks for that."""
    optimizer = _unclipped(spec, learning_rate(spec, dtype))
    if spec.clip_norm is None:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(spec.clip_norm), optimizer)


def _unclipped(spec: Optimizer, rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
    """In SGD and Adam the weight decay is added to the gradient (L2), so it comes first in the
    chain; in AdamW it is decoupled. With a `mask` Optax decays some parameters alone.
    """
    mask = None if spec.decay_biases else decayed
    if spec.kind == "sgd":
        return optax.chain(
            optax.add_decayed_weights(spec.weight_decay, mask=mask),
            optax.sgd(
                learning_rate=rate,
                momentum=spec.momentum if spec.momentum > 0 else None,
                nesterov=spec.nesterov,
                accumulator_dtype=None,
            ),
        )
    b1, b2 = spec.betas
    if spec.kind == "adam":
        return optax.chain(
            optax.add_decayed_weights(spec.weight_decay, mask=mask),
            optax.adam(
                learning_rate=rate,
                b1=b1,
                b2=b2,
                eps=spec.eps,
                eps_root=0.0,
                mu_dtype=None,
                nesterov=False,
            ),
        )
    return optax.adamw(
        learning_rate=rate,
        b1=b1,
        b2=b2,
        eps=spec.eps,
        eps_root=0.0,
        mu_dtype=None,
        weight_decay=spec.weight_decay,
        mask=mask,
        nesterov=False,
    )
