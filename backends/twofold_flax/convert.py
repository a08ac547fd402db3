"""Between the canonical NumPy form and Flax, bit for bit.

`nnx.Linear` keeps its kernel as (in_features, out_features), the transpose of the canonical weight.
This is the only place that transposes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

from twofold.problem.state import Array, Parameters, TrainState, bias_name, weight_name
from twofold_flax.optimizer import COUNT_KEY, SLOT_KEYS
from twofold_flax.state import Params, State


def to_device(array: Array, device: jax.Device) -> jax.Array:
    """A copy of an array on the device; class labels become int32, which JAX has without x64."""
    narrow = array.astype(np.int32) if array.dtype == np.int64 else array
    copied: jax.Array = jax.device_put(np.array(narrow, copy=True), device, may_alias=False)
    return copied


def to_array(array: jax.Array) -> Array:
    """A copy of a JAX array in NumPy; labels come back as int64."""
    copied = np.array(array, copy=True)
    return copied.astype(np.int64) if copied.dtype == np.int32 else copied


def parameters_to_numpy(params: Params) -> Parameters:
    """Parameters, or anything of their structure, under canonical names."""
    layers: dict[int, dict[str, jax.Array]] = nnx.to_pure_dict(params)["layers"]
    named: dict[str, Array] = {}
    for index in sorted(layers):
        kernel = to_array(layers[index]["kernel"])  # (in_features, out_features)
        named[weight_name(index)] = np.ascontiguousarray(kernel.T)
        if "bias" in layers[index]:
            named[bias_name(index)] = to_array(layers[index]["bias"])  # (out_features,)
    return named


def parameters_to_flax(like: Params, parameters: Parameters) -> Params:
    """Parameters, still in NumPy, with the structure of `like`, which may hold shapes alone."""
    layers: dict[int, dict[str, Array]] = {}
    for index in nnx.to_pure_dict(like)["layers"]:
        weight = parameters[weight_name(index)]  # (out_features, in_features)
        layers[index] = {"kernel": np.ascontiguousarray(weight.T)}
        if bias_name(index) in parameters:
            layers[index]["bias"] = parameters[bias_name(index)]
    params: Params = jax.tree.map(lambda leaf: leaf, like)  # a new tree: the next line changes it
    nnx.replace_by_pure_dict(params, {"layers": layers})
    return params


def state_to_numpy(state: State, slots: Iterable[str]) -> TrainState:
    """A copy of the train state."""
    return TrainState(
        parameters=parameters_to_numpy(state.params),
        slots={
            slot: parameters_to_numpy(optax.tree.get(state.optimizer, SLOT_KEYS[slot]))
            for slot in slots
        },
        step=int(state.step),
    )


def state_to_flax(
    like: Params,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    device: jax.Device,
) -> State:
    """A train state on the device; `like` has the structure of the parameters.

    Put together in NumPy and copied at the end: on the device each operation would be compiled for
    the shapes of every layer. The copies give each leaf a buffer of its own to be given away, also
    the two counts that there are with a schedule.
    """
    params = parameters_to_flax(like, state.parameters)
    values: dict[str, Any] = {
        SLOT_KEYS[slot]: parameters_to_flax(like, arrays) for slot, arrays in state.slots.items()
    }
    shapes = jax.eval_shape(optimizer.init, params)
    if optax.tree.get_all_with_path(shapes, COUNT_KEY):
        # Optax's count stays at int32's largest number (`optax.safe_increment`).
        values[COUNT_KEY] = np.array(min(state.step, np.iinfo(np.int32).max), np.int32)
    whole = params, optax.tree.set(shapes, **values), np.array(state.step, np.uint32)
    return State(*jax.tree.map(lambda leaf: to_device(leaf, device), whole))
