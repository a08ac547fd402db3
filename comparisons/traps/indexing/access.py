"""Reading and writing elements."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import Array
from torch import Tensor

from comparisons.traps.trap import Raises, Trap


def read_pytorch() -> Tensor:
    return torch.arange(5)[10]


def read_jax() -> Array:
    return jnp.arange(5)[10]


def read_pytorch_fixed() -> Tensor:
    x, index = torch.arange(5), 10
    return x[index] if index < len(x) else torch.tensor(-1)


def read_jax_fixed() -> Array:
    return jnp.arange(5).at[10].get(mode="fill", fill_value=-1)


OOB_GATHER = Trap(
    id="oob-gather",
    statement="Reading beyond the end raises in PyTorch; JAX reads the last element.",
    severity="silent wrong result",
    symptoms="index out of range, vocabulary too small, wrong row, off by one never noticed",
    pytorch=read_pytorch,
    pytorch_gives=Raises("IndexError", "out of bounds"),
    jax=read_jax,
    jax_gives=4,
    fix="x.at[i].get(mode='fill') makes it visible; jax.experimental.checkify raises.",
    pytorch_fixed=read_pytorch_fixed,
    jax_fixed=read_jax_fixed,
    source="jax-ml/jax#278; jax-ml/jax#3774; jax-ml/jax#14193; "
    "https://docs.jax.dev/en/latest/notebooks/Common_Gotchas_in_JAX.html",
)


def take_pytorch() -> Tensor:
    return torch.index_select(torch.tensor([1.0, 2.0]), 0, torch.tensor([0, 2]))


def take_jax() -> Array:
    return jnp.take(jnp.array([1.0, 2.0]), jnp.array([0, 2]))


def take_pytorch_fixed() -> Tensor:
    index = torch.tensor([0, 2]).clamp(max=1)
    return torch.index_select(torch.tensor([1.0, 2.0]), 0, index)


def take_jax_fixed() -> Array:
    return jnp.take(jnp.array([1.0, 2.0]), jnp.array([0, 2]), mode="clip")


OOB_TAKE_IS_NAN = Trap(
    id="oob-take-is-nan",
    statement="index_select beyond the end raises in PyTorch; jnp.take gives NaN, and for integers "
    "the smallest one.",
    severity="silent wrong result",
    symptoms="nan out of nowhere, embedding lookup nan, take nan, -2147483648",
    pytorch=take_pytorch,
    pytorch_gives=Raises("IndexError", "out of range"),
    jax=take_jax,
    jax_gives=[1.0, float("nan")],
    fix="Check indices on the host, or say what you want: mode='clip', as here, or a clamp.",
    pytorch_fixed=take_pytorch_fixed,
    jax_fixed=take_jax_fixed,
    source="jax-ml/jax#4383; jax-ml/jax#9839; "
    "https://docs.jax.dev/en/latest/_autosummary/jax.numpy.take.html",
)


def window_pytorch() -> Tensor:
    return torch.arange(5).narrow(0, 3, 4)


def window_jax() -> Array:
    return jax.lax.dynamic_slice(jnp.arange(5), (3,), (4,))


def window_pytorch_fixed() -> Tensor:
    padded = torch.nn.functional.pad(torch.arange(5), (0, 4), value=-1)
    return padded.narrow(0, 3, 4)


def window_jax_fixed() -> Array:
    padded = jnp.pad(jnp.arange(5), (0, 4), constant_values=-1)
    return jax.lax.dynamic_slice(padded, (3,), (4,))


DYNAMIC_SLICE_SHIFTS = Trap(
    id="dynamic-slice-shifts",
    statement="A window that reaches beyond the end raises in PyTorch; lax.dynamic_slice shifts it "
    "back until it fits.",
    severity="silent wrong result",
    symptoms="last window repeated, KV cache overwritten, sliding window wrong at the end, narrow",
    pytorch=window_pytorch,
    pytorch_gives=Raises("RuntimeError", "exceeds dimension size"),
    jax=window_jax,
    jax_gives=[1, 2, 3, 4],
    fix="Pad first, on both sides.",
    pytorch_fixed=window_pytorch_fixed,
    jax_fixed=window_jax_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.lax.dynamic_slice.html",
)


def write_pytorch() -> Tensor:
    x = torch.arange(5)
    x.index_add_(0, torch.tensor([10, 1]), torch.tensor([1, 1]))
    return x


def write_jax() -> Array:
    return jnp.arange(5).at[jnp.array([10, 1])].add(1)


def write_pytorch_fixed() -> Tensor:
    x, index = torch.arange(5), torch.tensor([10, 1])
    inside = index[index < len(x)]
    return x.index_add_(0, inside, torch.ones_like(inside))


OOB_SCATTER_DROPPED = Trap(
    id="oob-scatter-dropped",
    statement="Writing beyond the end raises in PyTorch; .at[].set and .at[].add drop it.",
    severity="silent wrong result",
    symptoms="updates lost, replay buffer full, counts missing, index out of range",
    pytorch=write_pytorch,
    pytorch_gives=Raises("IndexError", "out of range"),
    jax=write_jax,
    jax_gives=[0, 2, 2, 3, 4],
    fix="Check indices on the host; where dropping is meant, drop in PyTorch as well.",
    pytorch_fixed=write_pytorch_fixed,
    source="https://docs.jax.dev/en/latest/notebooks/Common_Gotchas_in_JAX.html",
)


def assign_pytorch() -> Tensor:
    x = torch.zeros(2)
    x[0] = 9.0
    return x


def assign_jax() -> Array:
    x = jnp.zeros(2)
    x[0] = 9.0
    return x


def assign_jax_fixed() -> Array:
    x = jnp.zeros(2)
    return x.at[0].set(9.0)


INPLACE_ASSIGNMENT = Trap(
    id="inplace-assignment",
    statement="x[0] = 9 changes a PyTorch tensor and raises on a JAX array, which never changes.",
    severity="error",
    symptoms="JAX arrays are immutable, object does not support item assignment",
    pytorch=assign_pytorch,
    pytorch_gives=[9.0, 0.0],
    jax=assign_jax,
    jax_gives=Raises("TypeError", "immutable"),
    fix="x = x.at[0].set(9).",
    jax_fixed=assign_jax_fixed,
    source="https://docs.jax.dev/en/latest/notebooks/Common_Gotchas_in_JAX.html",
)


def dropped_pytorch() -> Tensor:
    x = torch.zeros(2)
    x[0] = 9.0
    return x


def dropped_jax() -> Array:
    x = jnp.zeros(2)
    x.at[0].set(9.0)
    return x


AT_SET_RESULT_DROPPED = Trap(
    id="at-set-result-dropped",
    statement="x.at[0].set(9) returns a NEW array: where the result is not kept, nothing happened, "
    "and nothing says so.",
    severity="silent wrong result",
    symptoms="array not updated, at set has no effect, values stay zero",
    pytorch=dropped_pytorch,
    pytorch_gives=[9.0, 0.0],
    jax=dropped_jax,
    jax_gives=[0.0, 0.0],
    fix="Keep the result: x = x.at[0].set(9).",
    jax_fixed=assign_jax_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.numpy.ndarray.at.html",
)


def twice_pytorch() -> Tensor:
    x = torch.zeros(3)
    x[[0, 0]] += 1.0
    return x


def twice_jax() -> Array:
    return jnp.zeros(3).at[jnp.array([0, 0])].add(1.0)


def twice_pytorch_fixed() -> Tensor:
    x = torch.zeros(3)
    return x.index_add_(0, torch.tensor([0, 0]), torch.ones(2))


DUPLICATE_INDEX_ADD = Trap(
    id="duplicate-index-add",
    statement="Adding at an index given twice adds once in PyTorch (x[i] += 1) and twice in JAX "
    "(.at[i].add(1)).",
    severity="silent wrong result",
    symptoms="histogram wrong, embedding gradient, scatter add duplicates, counts too small",
    pytorch=twice_pytorch,
    pytorch_gives=[1.0, 0.0, 0.0],
    jax=twice_jax,
    jax_gives=[2.0, 0.0, 0.0],
    fix="index_add_ or scatter_add_ in PyTorch.",
    pytorch_fixed=twice_pytorch_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.numpy.ndarray.at.html",
)


def list_pytorch() -> Tensor:
    return torch.arange(5)[[0, 2]]


def list_jax() -> Array:
    return jnp.arange(5)[[0, 2]]


def list_jax_fixed() -> Array:
    return jnp.arange(5)[jnp.array([0, 2])]


LIST_AS_INDEX = Trap(
    id="list-as-index",
    statement="A Python list indexes a PyTorch tensor and raises on a JAX array.",
    severity="error",
    symptoms="Using a non-tuple sequence for multidimensional indexing is not allowed",
    pytorch=list_pytorch,
    pytorch_gives=[0, 2],
    jax=list_jax,
    jax_gives=Raises("TypeError", "non-tuple sequence"),
    fix="Make the list an array first.",
    jax_fixed=list_jax_fixed,
    source="jax-ml/jax#4564",
)


def reverse_pytorch() -> Tensor:
    return torch.arange(3)[::-1]


def reverse_jax() -> Array:
    return jnp.arange(3)[::-1]


def reverse_pytorch_fixed() -> Tensor:
    return torch.arange(3).flip(0)


NEGATIVE_STEP = Trap(
    id="negative-step",
    statement="x[::-1] reverses a JAX array and raises on a PyTorch tensor.",
    severity="error",
    symptoms="step must be greater than zero, ValueError reverse slice, flip",
    pytorch=reverse_pytorch,
    pytorch_gives=Raises("ValueError", "step must be greater than zero"),
    jax=reverse_jax,
    jax_gives=[2, 1, 0],
    fix="torch.flip.",
    pytorch_fixed=reverse_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.flip.html",
)


def mask_pytorch() -> Tensor:
    def large(x: Tensor) -> Tensor:
        return x[x > 2].sum()

    return large(torch.arange(5))


def mask_jax() -> Array:
    def large(x: Array) -> Array:
        return x[x > 2].sum()

    return jax.jit(large)(jnp.arange(5))


def mask_jax_fixed() -> Array:
    def large(x: Array) -> Array:
        return jnp.where(x > 2, x, 0).sum()

    return jax.jit(large)(jnp.arange(5))


BOOLEAN_MASK_UNDER_JIT = Trap(
    id="boolean-mask-under-jit",
    statement="x[mask] has a size that depends on values: fine in PyTorch and in eager JAX, an "
    "error under jit.",
    severity="error",
    symptoms="NonConcreteBooleanIndexError, array boolean indices must be concrete",
    pytorch=mask_pytorch,
    pytorch_gives=7,
    jax=mask_jax,
    jax_gives=Raises("NonConcreteBooleanIndexError"),
    fix="jnp.where(mask, x, 0), or jnp.nonzero(mask, size=k).",
    jax_fixed=mask_jax_fixed,
    source="https://docs.jax.dev/en/latest/errors.html",
)


def caller_pytorch() -> Tensor:
    def shifted(x: Tensor) -> Tensor:
        x += 1
        return x

    mine = torch.zeros(2)
    shifted(mine)
    return mine


def caller_jax() -> Array:
    def shifted(x: Array) -> Array:
        x += 1
        return x

    mine = jnp.zeros(2)
    shifted(mine)
    return mine


def caller_pytorch_fixed() -> Tensor:
    def shifted(x: Tensor) -> Tensor:
        return x + 1

    mine = torch.zeros(2)
    shifted(mine)
    return mine


AUGMENTED_ASSIGN_ALIASING = Trap(
    id="augmented-assign-aliasing",
    statement="x += 1 inside a function changes the caller's tensor in PyTorch and only a local "
    "name in JAX.",
    severity="silent wrong result",
    symptoms="input modified, normalisation applied twice, data changes every epoch, in place",
    pytorch=caller_pytorch,
    pytorch_gives=[1.0, 1.0],
    jax=caller_jax,
    jax_gives=[0.0, 0.0],
    fix="Write x = x + 1 and return the new value.",
    pytorch_fixed=caller_pytorch_fixed,
    source="https://docs.jax.dev/en/latest/notebooks/Common_Gotchas_in_JAX.html",
)


def view_pytorch() -> Tensor:
    x = torch.zeros(2, 2)
    first = x.reshape(4)[:2]
    first += 1
    return x


def view_jax() -> Array:
    x = jnp.zeros((2, 2))
    first = x.reshape(4)[:2]
    first += 1
    return x


def view_pytorch_fixed() -> Tensor:
    x = torch.zeros(2, 2)
    first = x.reshape(4)[:2].clone()
    first += 1
    return x


VIEWS_SHARE_MEMORY = Trap(
    id="views-share-memory",
    statement="A slice or reshape of a PyTorch tensor is mostly a view: writing to it writes to "
    "the original. In JAX it never does.",
    severity="silent wrong result",
    symptoms="original changes, reshape view copy, contiguous, modified elsewhere",
    pytorch=view_pytorch,
    pytorch_gives=[[1.0, 1.0], [0.0, 0.0]],
    jax=view_jax,
    jax_gives=[[0.0, 0.0], [0.0, 0.0]],
    fix="clone() before writing.",
    pytorch_fixed=view_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/tensor_view.html",
)


def buffer_pytorch() -> Tensor:
    buffer = np.zeros(1024, "float32")
    x = torch.from_numpy(buffer)
    buffer[:] = 7.0
    return x[0]


def buffer_jax() -> Array:
    buffer = np.zeros(1024, "float32")
    x = jnp.array(buffer)
    buffer[:] = 7.0
    return x[0]


def buffer_pytorch_fixed() -> Tensor:
    buffer = np.zeros(1024, "float32")
    x = torch.tensor(buffer)
    buffer[:] = 7.0
    return x[0]


NUMPY_BUFFER_ALIASING = Trap(
    id="numpy-buffer-aliasing",
    statement="torch.from_numpy shares the NumPy array's memory; jnp.array copies it.",
    severity="silent wrong result",
    symptoms="batch changes after it was made, reused buffer, prefetch corrupts data",
    pytorch=buffer_pytorch,
    pytorch_gives=7.0,
    jax=buffer_jax,
    jax_gives=0.0,
    fix="torch.tensor(array) copies.",
    pytorch_fixed=buffer_pytorch_fixed,
    source="jax-ml/jax#37830; jax-ml/jax#4486",
)


def aligned() -> Any:
    """1024 float32 that begin at a multiple of 64 bytes, as large NumPy arrays often do."""
    raw = np.zeros(4096 + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + 4096].view("float32")


def put_pytorch() -> Tensor:
    buffer = aligned()
    x = torch.tensor(buffer)
    buffer[:] = 7.0
    return x[0]


def put_jax() -> Array:
    buffer = aligned()
    x = jax.device_put(buffer)
    x.block_until_ready()
    buffer[:] = 7.0
    return x[0]


def put_jax_fixed() -> Array:
    buffer = aligned()
    x = jnp.array(buffer, copy=True)
    buffer[:] = 7.0
    return x[0]


DEVICE_PUT_ALIASES = Trap(
    id="device-put-aliases",
    statement="jax.device_put on the CPU may share an aligned NumPy buffer, so that an array that "
    "'never changes' does; torch.tensor copies.",
    severity="silent wrong result",
    symptoms="immutable array changes, data corrupted when buffer reused, loader, alignment",
    pytorch=put_pytorch,
    pytorch_gives=0.0,
    jax=put_jax,
    jax_gives=7.0,
    fix="jnp.array(x, copy=True), or a fresh buffer for each batch (may_alias=False does not "
    "help in JAX 0.10).",
    jax_fixed=put_jax_fixed,
    source="jax-ml/jax#37830; jax-ml/jax#4486",
)
