"""Numbers that do not fit: integers, subnormals, division by zero."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import torch
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Raises, Trap

LARGE = [2**30, 2**30, 2**30]


def sum_pytorch() -> Tensor:
    return torch.tensor(LARGE, dtype=torch.int32).sum()


def sum_jax() -> Array:
    return jnp.array(LARGE, jnp.int32).sum()


def sum_jax_fixed() -> Array:
    with jax.enable_x64(True):
        return jnp.array(LARGE, jnp.int32).sum(dtype=jnp.int64)


INTEGER_SUM_OVERFLOW = Trap(
    id="integer-sum-overflow",
    statement="The sum of int32 is int64 in PyTorch (and NumPy); in JAX it stays int32 and wraps "
    "around.",
    severity="silent wrong result",
    symptoms="negative count, token counter negative, sum of mask lengths wraps",
    pytorch=sum_pytorch,
    pytorch_gives=3 * 2**30,
    jax=sum_jax,
    jax_gives=3 * 2**30 - 2**32,
    fix="Sum in int64 with x64 enabled, or in float32 where that is precise enough.",
    jax_fixed=sum_jax_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.numpy.sum.html",
)

WILD = [-1.0, 300.0]


def uint8_pytorch() -> Tensor:
    return torch.tensor(WILD).to(torch.uint8)


def uint8_jax() -> Array:
    return jnp.array(WILD).astype(jnp.uint8)


def uint8_pytorch_fixed() -> Tensor:
    return torch.tensor(WILD).clamp(0, 255).to(torch.uint8)


def uint8_jax_fixed() -> Array:
    return jnp.clip(jnp.array(WILD), 0, 255).astype(jnp.uint8)


FLOAT_TO_UINT8 = Trap(
    id="float-to-uint8",
    statement="A float outside 0..255 cast to uint8 wraps in PyTorch on the CPU and is clamped in "
    "JAX; neither is promised.",
    severity="silent wrong result",
    symptoms="image pixels speckled, saturated colours, denormalised image wrong",
    pytorch=uint8_pytorch,
    pytorch_gives=[255, 44],
    jax=uint8_jax,
    jax_gives=[0, 255],
    fix="Clamp before the cast.",
    pytorch_fixed=uint8_pytorch_fixed,
    jax_fixed=uint8_jax_fixed,
    source="jax-ml/jax#10005; pytorch/pytorch#180159",
)


def nan_to_int_pytorch() -> Tensor:
    return torch.tensor([float("nan"), 1e20]).to(torch.int32)


def nan_to_int_jax() -> Array:
    return jnp.array([float("nan"), 1e20]).astype(jnp.int32)


def nan_to_int_pytorch_fixed() -> Tensor:
    x = torch.tensor([float("nan"), 1e20])
    return torch.nan_to_num(x).clamp(-(2**30), 2**30).to(torch.int32)


def nan_to_int_jax_fixed() -> Array:
    x = jnp.array([float("nan"), 1e20])
    return jnp.clip(jnp.nan_to_num(x), -(2**30), 2**30).astype(jnp.int32)


FLOAT_TO_INT_CAST = Trap(
    id="float-to-int-cast",
    statement="NaN and numbers beyond int32 become the smallest int32 in PyTorch on x86; in JAX "
    "NaN becomes 0 and the others are clamped.",
    severity="silent wrong result",
    symptoms="-2147483648, huge negative index, bin index of NaN, quantisation",
    pytorch=nan_to_int_pytorch,
    pytorch_gives=[-(2**31), -(2**31)],
    jax=nan_to_int_jax,
    jax_gives=[0, 2**31 - 1],
    fix="Replace NaN and clamp before the cast.",
    pytorch_fixed=nan_to_int_pytorch_fixed,
    jax_fixed=nan_to_int_jax_fixed,
    source="jax-ml/jax#10005; pytorch/pytorch#180159",
)


def divide_pytorch() -> Tensor:
    return torch.tensor([7]) // torch.tensor([0])


def divide_jax() -> Any:
    quotient = jnp.array([7]) // jnp.array([0])
    return "a number" if jnp.issubdtype(quotient.dtype, jnp.integer) else "no number"


def divide_pytorch_fixed() -> Tensor:
    divisor = torch.tensor([0])
    safe = torch.where(divisor == 0, 1, divisor)
    return torch.where(divisor == 0, 0, torch.tensor([7]) // safe)


def divide_jax_fixed() -> Array:
    divisor = jnp.array([0])
    safe = jnp.where(divisor == 0, 1, divisor)
    return jnp.where(divisor == 0, 0, jnp.array([7]) // safe)


INTEGER_DIVISION_BY_ZERO = Trap(
    id="integer-division-by-zero",
    statement="Dividing integers by zero raises in PyTorch on the CPU and gives an arbitrary "
    "number in JAX.",
    severity="silent wrong result",
    symptoms="ZeroDivisionError, mean over empty group is a strange integer, -2",
    pytorch=divide_pytorch,
    pytorch_gives=Raises("RuntimeError", "ZeroDivisionError"),
    jax=divide_jax,
    jax_gives="a number",
    fix="Guard the divisor on both sides.",
    pytorch_fixed=divide_pytorch_fixed,
    jax_fixed=divide_jax_fixed,
    source="https://openxla.org/stablehlo/spec",
)


def negative_power_pytorch() -> Tensor:
    return torch.tensor([2]) ** torch.tensor([-1])


def negative_power_jax() -> Array:
    return jnp.array([2]) ** -1


def negative_power_pytorch_fixed() -> Tensor:
    return torch.tensor([2.0]) ** -1


def negative_power_jax_fixed() -> Array:
    return jnp.array([2.0]) ** -1


INTEGER_NEGATIVE_POWER = Trap(
    id="integer-negative-power",
    statement="Integers to negative integer powers truncate to 0 where the exponent is an array "
    "(in both), and raise where it is a Python int.",
    severity="silent wrong result",
    symptoms="Integers to negative integer powers are not allowed, scale factor is zero, 10**-3",
    pytorch=negative_power_pytorch,
    pytorch_gives=[0],
    jax=negative_power_jax,
    jax_gives=Raises("TypeError", "negative powers"),
    fix="Make the base a float.",
    pytorch_fixed=negative_power_pytorch_fixed,
    jax_fixed=negative_power_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.pow.html",
)

TINY = [-90.0]


def subnormal_pytorch() -> Tensor:
    return torch.exp(torch.tensor(TINY))


def subnormal_jax() -> Array:
    return jnp.exp(jnp.array(TINY))


def subnormal_pytorch_fixed() -> Tensor:
    smallest = torch.finfo(torch.float32).tiny
    y = torch.exp(torch.tensor(TINY))
    return torch.where(y < smallest, 0.0, y)


DENORMALS_FLUSHED = Trap(
    id="denormals-flushed",
    statement="XLA on the CPU flushes numbers below 1.2e-38 to zero; PyTorch keeps them, so "
    "exp(-90) is 8.2e-40 there and 0 in JAX.",
    severity="silent wrong result",
    symptoms="subnormal, softmax tail exactly zero, probability zero, tiny weights vanish",
    pytorch=subnormal_pytorch,
    pytorch_gives=[8.194e-40],  # exp(-90), of which a subnormal keeps few digits
    tolerance=1e-4,
    jax=subnormal_jax,
    jax_gives=[0.0],
    fix="Count numbers below the smallest normal one as zero, as torch.set_flush_denormal does.",
    pytorch_fixed=subnormal_pytorch_fixed,
    source="jax-ml/jax#16200; jax-ml/jax#37762; jax-ml/jax#26658",
)


def log_subnormal_pytorch() -> Tensor:
    return torch.log(torch.tensor([1e-40]))


def log_subnormal_jax() -> Array:
    return jnp.log(jnp.array([1e-40]))


def log_subnormal_pytorch_fixed() -> Tensor:
    return torch.log(torch.tensor([1e-40]).clamp(min=1e-30))


def log_subnormal_jax_fixed() -> Array:
    return jnp.log(jnp.maximum(jnp.array([1e-40]), 1e-30))


LOG_OF_SUBNORMAL = Trap(
    id="log-of-subnormal",
    statement="log(1e-40) is -92.1 in PyTorch and -inf in JAX on the CPU, where subnormal numbers "
    "count as zero.",
    severity="silent wrong result",
    symptoms="-inf loss, log probability infinite, eps 1e-40 has no effect",
    pytorch=log_subnormal_pytorch,
    pytorch_gives=[-92.103404],  # -40 ln 10
    jax=log_subnormal_jax,
    jax_gives=[float("-inf")],
    fix="Clamp at an epsilon that float32 has as a normal number, such as 1e-30.",
    pytorch_fixed=log_subnormal_pytorch_fixed,
    jax_fixed=log_subnormal_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="log is evaluated by another polynomial",
    source="jax-ml/jax#16200; jax-ml/jax#37762",
)


def sign_pytorch() -> Tensor:
    return torch.sign(torch.tensor([float("nan"), -2.0]))


def sign_jax() -> Array:
    return jnp.sign(jnp.array([float("nan"), -2.0]))


def sign_pytorch_fixed() -> Tensor:
    x = torch.tensor([float("nan"), -2.0])
    return torch.where(x.isnan(), x, torch.sign(x))


SIGN_OF_NAN = Trap(
    id="sign-of-nan",
    statement="The sign of NaN is 0 in PyTorch and NaN in JAX (and NumPy): a sign-based optimizer "
    "hides the NaN or spreads it.",
    severity="silent wrong result",
    symptoms="nan disappears, signSGD, Lion optimizer, nan in parameters",
    pytorch=sign_pytorch,
    pytorch_gives=[0.0, -1.0],
    jax=sign_jax,
    jax_gives=[float("nan"), -1.0],
    fix="Pass NaN on: torch.where(x.isnan(), x, x.sign()).",
    pytorch_fixed=sign_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.sign.html",
)
