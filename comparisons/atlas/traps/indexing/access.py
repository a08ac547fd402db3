"""Reading and writing elements."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import torch
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Raises, Trap


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
