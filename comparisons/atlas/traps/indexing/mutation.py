"""What changes in place, and who shares the memory."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Raises, Trap


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
