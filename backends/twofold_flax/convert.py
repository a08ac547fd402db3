"""Between the canonical NumPy form and Flax, bit for bit.

`nnx.Linear` keeps its kernel as (in_features, out_features), the transpose of the canonical weight,
and what norms call scale, mean and var is canonically weight, running_mean and running_var;
`nnx.Embed` has its weight under the name embedding. This is the only place that transposes and
renames.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import jax
import numpy as np
import optax
from flax import nnx

from twofold.problem.state import Array, Parameters, TrainState
from twofold_flax.optimizer import COUNT_KEY, SLOT_KEYS
from twofold_flax.state import Params, State, Variables

Path = tuple[Any, ...]
CANONICAL: Final[Mapping[str, str]] = {
    "kernel": "weight",
    "scale": "weight",
    "embedding": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
"""Flax's names of a layer's arrays (Flax 0.12), and the canonical ones."""


def to_device(array: Array, device: jax.Device) -> jax.Array:
    """A copy of an array on the device; class labels become int32, which JAX has without x64."""
    narrow = array.astype(np.int32) if array.dtype == np.int64 else array
    copied: jax.Array = jax.device_put(np.array(narrow, copy=True), device, may_alias=False)
    return copied


def to_array(array: jax.Array) -> Array:
    """A copy of a JAX array in NumPy; labels come back as int64."""
    copied = np.array(array, copy=True)
    return copied.astype(np.int64) if copied.dtype == np.int32 else copied


def layer_numbers(params: Params) -> dict[Path, int]:
    """Where the layers with parameters are, and their canonical numbers: input side first."""
    return {path: number for number, path in enumerate(_places(nnx.to_pure_dict(params)))}


def _places(node: Any, path: Path = ()) -> Iterator[Path]:
    if not any(isinstance(child, dict) for child in node.values()):
        yield path
        return
    for key in sorted(node):
        yield from _places(node[key], (*path, key))


def to_numpy(values: Params, numbers: Mapping[Path, int]) -> Parameters:
    """Parameters, buffers or anything of their structure, under canonical names."""
    tree, named = nnx.to_pure_dict(values), {}
    for path, number in numbers.items():
        layer = functools.reduce(lambda node, key: node.get(key, {}), path, tree)
        for own, short in CANONICAL.items():
            if own in layer:
                named[f"layers.{number}.{short}"] = _turned(own, to_array(layer[own]))
    return named


def parameters_to_numpy(params: Params) -> Parameters:
    """Parameters, or anything of their structure, under canonical names."""
    return to_numpy(params, layer_numbers(params))


def to_flax(like: Params, values: Parameters, numbers: Mapping[Path, int]) -> Params:
    """Values, still in NumPy, with the structure of `like`, which may hold shapes alone."""

    def filled(node: Any, path: Path) -> Any:
        if isinstance(node, dict):
            return {key: filled(child, (*path, key)) for key, child in node.items()}
        *place, own = path
        name = f"layers.{numbers[tuple(place)]}.{CANONICAL[own]}"
        return _turned(own, values[name])

    params: Params = jax.tree.map(lambda leaf: leaf, like)  # a new tree: the next line changes it
    nnx.replace_by_pure_dict(params, filled(nnx.to_pure_dict(like), ()))
    return params


def _turned(own: str, array: Array) -> Array:
    """A kernel (in_features, out_features) as a weight (out_features, in_features), or back."""
    return np.ascontiguousarray(array.T) if own == "kernel" else array


def state_to_numpy(state: State, slots: Iterable[str]) -> TrainState:
    """A copy of the train state."""
    numbers = layer_numbers(state.params)
    return TrainState(
        parameters=to_numpy(state.params, numbers),
        slots={
            slot: to_numpy(optax.tree.get(state.optimizer, SLOT_KEYS[slot]), numbers)
            for slot in slots
        },
        step=int(state.step),
        buffers=to_numpy(state.buffers, numbers),
    )


def state_to_flax(
    like: Variables,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    device: jax.Device,
) -> State:
    """A train state on the device; `like` has the structure of the model's variables.

    Put together in NumPy and copied at the end: on the device each operation would be compiled for
    the shapes of every layer. The copies give each leaf a buffer of its own to be given away, also
    the two counts that there are with a schedule.
    """
    numbers = layer_numbers(like.params)
    params = to_flax(like.params, state.parameters, numbers)
    values: dict[str, Any] = {
        SLOT_KEYS[slot]: to_flax(like.params, arrays, numbers)
        for slot, arrays in state.slots.items()
    }
    buffers = to_flax(like.buffers, state.buffers, numbers)
    shapes = jax.eval_shape(optimizer.init, params)
    if optax.tree.get_all_with_path(shapes, COUNT_KEY):
        # Optax's count stays at int32's largest number (`optax.safe_increment`).
        values[COUNT_KEY] = np.array(min(state.step, np.iinfo(np.int32).max), np.int32)
    whole = params, optax.tree.set(shapes, **values), np.array(state.step, np.uint32), buffers
    return State(*jax.tree.map(lambda leaf: to_device(leaf, device), whole))
