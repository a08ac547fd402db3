"""Between NumPy and JAX: arrays and train states, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
import optax

from twofold.problem.state import Array, TrainState
from twofold_jax.model import Layout, Model
from twofold_jax.optimizer import COUNT_KEY, SLOT_KEYS
from twofold_jax.state import State


def to_device(array: Array, device: jax.Device) -> jax.Array:
    """A copy of an array on the device; class labels become int32, which JAX has without x64."""
    narrow = array.astype(np.int32) if array.dtype == np.int64 else array
    copied: jax.Array = jax.device_put(np.array(narrow, copy=True), device, may_alias=False)
    return copied


def to_array(array: jax.Array) -> Array:
    """A copy of a JAX array in NumPy; labels come back as int64."""
    copied = np.array(array, copy=True)
    return copied.astype(np.int64) if copied.dtype == np.int32 else copied


def state_to_numpy(layout: Layout, state: State, slots: Iterable[str]) -> TrainState:
    """A copy of the train state."""
    return TrainState(
        parameters=layout.to_numpy(state.params),
        slots={
            slot: layout.to_numpy(optax.tree.get(state.optimizer, SLOT_KEYS[slot]))
            for slot in slots
        },
        step=int(state.step),
        buffers=layout.to_numpy(state.buffers),
    )


def state_to_jax(
    model: Model, optimizer: optax.GradientTransformation, state: TrainState, device: jax.Device
) -> State:
    """A train state on the device.

    Put together in NumPy and copied at the end: on the device each operation would be compiled for
    the shapes of every layer. The copies give each leaf a buffer of its own to be given away, also
    the two counts that there are with a schedule.
    """
    like, layout = model.variables, model.layout
    params = layout.to_tree(like.params, state.parameters)
    values: dict[str, Any] = {
        SLOT_KEYS[slot]: layout.to_tree(like.params, arrays) for slot, arrays in state.slots.items()
    }
    buffers = layout.to_tree(like.buffers, state.buffers)
    shapes = jax.eval_shape(optimizer.init, params)
    if optax.tree.get_all_with_path(shapes, COUNT_KEY):
        # Optax's count stays at int32's largest number (`optax.safe_increment`).
        values[COUNT_KEY] = np.array(min(state.step, np.iinfo(np.int32).max), np.int32)
    whole = params, optax.tree.set(shapes, **values), np.array(state.step, np.uint32), buffers
    return State(*jax.tree.map(lambda leaf: to_device(leaf, device), whole))
