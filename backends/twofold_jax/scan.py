"""Many steps in one call: the loop over the batches runs on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twofold_jax.execution import Losses, Part, Take, TrainStep, TrainSteps
from twofold_jax.feed import Steps, take
from twofold_jax.program import Program
from twofold_jax.state import State

Order = np.ndarray[Any, np.dtype[np.int32]]
Bound = Array | np.int32
Loop = Callable[[State, Array, Array, Array | Order, Bound, Bound], tuple[State, Array]]


def device_loop(program: Program) -> Loop:
    """A function that takes steps `start` to before `stop` of an epoch's whole batches.

    It returns losses (batches,), of which those of other steps are zero. `lax.fori_loop` with
    traced bounds, since `lax.scan` would be compiled anew for each number of steps; both become
    the same while loop in XLA.
    """

    def loop(
        state: State,
        inputs: Array,
        targets: Array,
        whole: Array | Order,
        start: Bound,
        stop: Bound,
    ) -> tuple[State, Array]:
        def body(index: Array, carry: tuple[State, Array]) -> tuple[State, Array]:
            state, losses = carry
            state, loss = program.train_step(state, *take(inputs, targets, rows[index]))
            return state, losses.at[index].set(loss)

        rows = jnp.asarray(whole)  # (batches, batch)
        losses = jnp.zeros(rows.shape[0], inputs.dtype)  # (batches,)
        carry: tuple[State, Array] = jax.lax.fori_loop(start, stop, body, (state, losses))
        return carry

    return loop


def one_turn(loop: Loop) -> TrainStep:
    """A training step on any batch: the loop run once, with the batch as its training rows."""

    def train_step(state: State, inputs: Array, targets: Array) -> tuple[State, Array]:
        whole = np.arange(len(inputs), dtype=np.int32)[None]  # (1, batch)
        state, losses = loop(state, inputs, targets, whole, np.int32(0), np.int32(1))
        return state, losses[0]

    return train_step


def whole_then_partial(loop: Loop, train_step: TrainStep, gather: Take) -> TrainSteps:
    """Whole batches in one call of `loop`; the smaller last batch of an epoch by itself."""

    def train_steps(
        state: State, inputs: Array, targets: Array, steps: Steps
    ) -> tuple[State, Losses]:
        start, stop = steps.start, max(steps.start, min(steps.stop, len(steps.whole)))
        losses = []
        if stop > start:
            bounds = np.int32(start), np.int32(stop)
            state, all_losses = loop(state, inputs, targets, steps.whole, *bounds)
            losses.append(Part(all_losses, start, stop))
        for rows in steps.part(stop, steps.stop).rows:
            state, loss = train_step(state, *gather(inputs, targets, rows))
            losses.append(Part(loss, 0, 1))
        return state, losses

    return train_steps
