"""Which type comes out of what goes in."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from jax import Array
from torch import Tensor, nn

from comparisons.atlas.traps.trap import Raises, Trap

MEASURED = np.array([0.1, 0.2])  # float64


def float64_pytorch() -> Any:
    return torch.from_numpy(MEASURED).dtype


def float64_jax() -> Any:
    return jnp.asarray(MEASURED).dtype


def float64_jax_fixed() -> Any:
    with jax.enable_x64(True):
        return jnp.asarray(MEASURED).dtype


FLOAT64_TRUNCATED = Trap(
    id="float64-truncated",
    statement="A float64 NumPy array stays float64 in PyTorch and becomes float32 in JAX without "
    "a word, unless x64 is enabled.",
    severity="silent wrong result",
    symptoms="double precision lost, only seven digits, finite differences fail, x64",
    pytorch=float64_pytorch,
    pytorch_gives="float64",
    jax=float64_jax,
    jax_gives="float32",
    fix="Set jax_enable_x64 before anything runs (here for a block), or cast on both sides.",
    jax_fixed=float64_jax_fixed,
    source="jax-ml/jax#1333; jax-ml/jax#22688; "
    "https://docs.jax.dev/en/latest/notebooks/Common_Gotchas_in_JAX.html",
)

IDS = np.array([2**40 + 5])


def int64_pytorch() -> Tensor:
    return torch.from_numpy(IDS)


def int64_jax() -> Array:
    return jnp.asarray(IDS)


def int64_jax_fixed() -> Array:
    with jax.enable_x64(True):
        return jnp.asarray(IDS)


INT64_WRAPS = Trap(
    id="int64-wraps",
    statement="An int64 NumPy array enters JAX as int32, and numbers that do not fit wrap modulo "
    "2^32: 2^40 + 5 becomes 5.",
    severity="silent wrong result",
    symptoms="ids hashes timestamps wrong, negative ids, overflow, user ids collide",
    pytorch=int64_pytorch,
    pytorch_gives=[1099511627781],
    jax=int64_jax,
    jax_gives=[5],
    fix="Enable x64, or map ids to a small range on the host.",
    jax_fixed=int64_jax_fixed,
    source="jax-ml/jax#1333",
)


def big_int_pytorch() -> Tensor:
    return torch.tensor(2**31)


def big_int_jax() -> Array:
    return jnp.array(2**31)


def big_int_jax_fixed() -> Array:
    with jax.enable_x64(True):
        return jnp.array(2**31)


PYTHON_INT_OVERFLOW = Trap(
    id="python-int-overflow",
    statement="A Python int beyond 2^31 - 1 makes an int64 tensor in PyTorch and raises in JAX "
    "(an int64 ARRAY would wrap instead).",
    severity="error",
    symptoms="OverflowError Python int too large to convert, large constant, nanoseconds",
    pytorch=big_int_pytorch,
    pytorch_gives=2147483648,
    jax=big_int_jax,
    jax_gives=Raises("OverflowError"),
    fix="Enable x64, or keep such numbers in NumPy.",
    jax_fixed=big_int_jax_fixed,
    source="https://docs.jax.dev/en/latest/default_dtypes.html",
)


def zero_dim_pytorch() -> Any:
    x = torch.ones(2, dtype=torch.bfloat16)
    return (x * torch.tensor(2.0, dtype=torch.float32)).dtype


def zero_dim_jax() -> Any:
    x = jnp.ones(2, jnp.bfloat16)
    return (x * jnp.array(2.0, jnp.float32)).dtype


def zero_dim_jax_fixed() -> Any:
    x = jnp.ones(2, jnp.bfloat16)
    return (x * 2.0).dtype


ZERO_DIM_PROMOTION = Trap(
    id="zero-dim-promotion",
    statement="A float32 scalar tensor leaves a bfloat16 tensor bfloat16 in PyTorch; in JAX it "
    "makes the result float32, since only Python numbers give way.",
    severity="silent wrong result",
    symptoms="mixed precision silently float32, memory doubles, bf16 model slow",
    pytorch=zero_dim_pytorch,
    pytorch_gives="bfloat16",
    jax=zero_dim_jax,
    jax_gives="float32",
    fix="Use Python numbers for constants, or .astype(x.dtype).",
    jax_fixed=zero_dim_jax_fixed,
    source="https://docs.jax.dev/en/latest/type_promotion.html",
)


def numpy_scalar_pytorch() -> Any:
    x = torch.ones(2, dtype=torch.bfloat16)
    return (x / np.sqrt(64)).dtype


def numpy_scalar_jax() -> Any:
    x = jnp.ones(2, jnp.bfloat16)
    return (x / np.sqrt(64)).dtype


def numpy_scalar_jax_fixed() -> Any:
    x = jnp.ones(2, jnp.bfloat16)
    return (x / float(np.sqrt(64))).dtype


NUMPY_SCALAR_PROMOTES = Trap(
    id="numpy-scalar-promotes",
    statement="np.sqrt(64) is a NumPy scalar: it leaves a bfloat16 tensor as it is in PyTorch and "
    "makes it float32 in JAX.",
    severity="silent wrong result",
    symptoms="attention scale np.sqrt(d) bf16 becomes float32, activations upcast",
    pytorch=numpy_scalar_pytorch,
    pytorch_gives="bfloat16",
    jax=numpy_scalar_jax,
    jax_gives="float32",
    fix="Use math.sqrt or float(...), which give Python numbers.",
    jax_fixed=numpy_scalar_jax_fixed,
    source="https://docs.jax.dev/en/latest/type_promotion.html",
)

WIDE, NARROW = np.array([2**24 + 1]), np.array([1.0], "float32")


def reference_pytorch() -> Any:
    return (torch.from_numpy(WIDE) * torch.from_numpy(NARROW)).double()


def reference_jax() -> Any:
    return WIDE * NARROW  # NumPy, the reference for the JAX side: float64


def reference_jax_fixed() -> Any:
    return WIDE.astype("float32") * NARROW


NUMPY_PROMOTION_FLOAT64 = Trap(
    id="numpy-promotion-float64",
    statement="int64 times float32 is float32 in PyTorch and JAX but float64 in NumPy: a NumPy "
    "reference is more precise than what it judges.",
    severity="silent wrong result",
    symptoms="reference implementation differs, golden values off by one, 2**24 + 1",
    pytorch=reference_pytorch,
    pytorch_gives=[16777216.0],
    jax=reference_jax,
    jax_gives=[16777217.0],
    tolerance=0.0,
    fix="Cast the reference to the type of what it judges, or knowingly keep it wider.",
    jax_fixed=reference_jax_fixed,
    source="https://docs.jax.dev/en/latest/type_promotion.html",
)


def mixed_linear_pytorch() -> Any:
    layer = nn.Linear(2, 1)
    return layer(torch.from_numpy(MEASURED)).dtype


def mixed_linear_jax() -> Any:
    layer = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    return layer(MEASURED).dtype


def mixed_linear_pytorch_fixed() -> Any:
    layer = nn.Linear(2, 1)
    return layer(torch.from_numpy(MEASURED).float()).dtype


MIXED_DTYPE_LINEAR = Trap(
    id="mixed-dtype-linear",
    statement="Feeding float64 data to a float32 layer raises in PyTorch and silently computes in "
    "float32 in Flax.",
    severity="error",
    symptoms="mat1 and mat2 must have the same dtype, but got Double and Float; expected scalar",
    pytorch=mixed_linear_pytorch,
    pytorch_gives=Raises("RuntimeError", "must have the same dtype"),
    jax=mixed_linear_jax,
    jax_gives="float32",
    fix="Cast the data where it enters: torch.from_numpy(x).float().",
    pytorch_fixed=mixed_linear_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear.html",
)


def int_mean_pytorch() -> Tensor:
    return torch.tensor([1, 2]).mean()


def int_mean_jax() -> Array:
    return jnp.array([1, 2]).mean()


def int_mean_pytorch_fixed() -> Tensor:
    return torch.tensor([1, 2]).float().mean()


MEAN_OF_INTEGERS = Trap(
    id="mean-of-integers",
    statement="The mean of integers (or of an accuracy mask of booleans) raises in PyTorch and is "
    "float32 in JAX.",
    severity="error",
    symptoms="mean(): could not infer output dtype, Got: Long, Got: Bool, accuracy",
    pytorch=int_mean_pytorch,
    pytorch_gives=Raises("RuntimeError", "could not infer output dtype"),
    jax=int_mean_jax,
    jax_gives=1.5,
    fix="Write .float().mean() in PyTorch.",
    pytorch_fixed=int_mean_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.mean.html",
)


def int_index_pytorch() -> Any:
    return torch.tensor([3.0, 1.0]).argmax().dtype, torch.arange(3).dtype


def int_index_jax() -> Any:
    return jnp.array([3.0, 1.0]).argmax().dtype, jnp.arange(3).dtype


def int_index_pytorch_fixed() -> Any:
    indices = torch.tensor([3.0, 1.0]).argmax().int(), torch.arange(3, dtype=torch.int32)
    return tuple(each.dtype for each in indices)


INDEX_DTYPE = Trap(
    id="index-dtype",
    statement="Indices and arange are int64 in PyTorch and int32 in JAX: saved labels and checks "
    "of dtype differ, and int32 arithmetic on them can overflow.",
    severity="silent wrong result",
    symptoms="labels dtype mismatch, expected Long but got Int, flattened index negative",
    pytorch=int_index_pytorch,
    pytorch_gives=("int64", "int64"),
    jax=int_index_jax,
    jax_gives=("int32", "int32"),
    fix="State the dtype wherever indices cross between the two.",
    pytorch_fixed=int_index_pytorch_fixed,
    source="https://docs.jax.dev/en/latest/default_dtypes.html",
)
