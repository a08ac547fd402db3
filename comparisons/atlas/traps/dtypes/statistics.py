"""Statistics that divide, choose or count differently."""

from __future__ import annotations

import jax.numpy as jnp
import torch
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Raises, Trap


def var_pytorch() -> Tensor:
    return torch.tensor([1.0, 2.0, 3.0]).var()


def var_jax() -> Array:
    return jnp.array([1.0, 2.0, 3.0]).var()


def var_jax_fixed() -> Array:
    return jnp.array([1.0, 2.0, 3.0]).var(ddof=1)


VAR_STD_DDOF = Trap(
    id="var-std-ddof",
    statement="var and std divide by N - 1 in PyTorch and by N in JAX (and NumPy).",
    severity="silent wrong result",
    symptoms="standard deviation differs, normalization slightly off, unbiased, Bessel",
    pytorch=var_pytorch,
    pytorch_gives=1.0,  # (1 + 0 + 1) / 2
    jax=var_jax,
    jax_gives=2 / 3,  # (1 + 0 + 1) / 3
    fix="jnp.var(x, ddof=1), or torch.var(x, correction=0).",
    jax_fixed=var_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.var.html; "
    "https://docs.jax.dev/en/latest/_autosummary/jax.numpy.var.html",
)


def std_of_one_pytorch() -> Tensor:
    return torch.tensor([[5.0], [7.0]]).std(dim=1, correction=0)


def std_of_one_jax() -> Array:
    return jnp.array([[5.0], [7.0]]).std(axis=1, ddof=1)


def std_of_one_jax_fixed() -> Array:
    return jnp.array([[5.0], [7.0]]).std(axis=1, ddof=0)


STD_OF_ONE = Trap(
    id="std-of-one",
    statement="The standard deviation of a single element is NaN with N - 1, PyTorch's default, "
    "and 0 with N, JAX's: whoever mends the first trap meets this one.",
    severity="silent wrong result",
    symptoms="nan after normalization with batch of one, std nan, advantage normalization",
    pytorch=std_of_one_pytorch,
    pytorch_gives=[0.0, 0.0],
    jax=std_of_one_jax,
    jax_gives=[float("nan"), float("nan")],
    fix="Use correction 0 on both sides where one element may come alone.",
    jax_fixed=std_of_one_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.std.html",
)


def median_pytorch() -> Tensor:
    return torch.tensor([1.0, 2.0, 3.0, 10.0]).median()


def median_jax() -> Array:
    return jnp.median(jnp.array([1.0, 2.0, 3.0, 10.0]))


def median_pytorch_fixed() -> Tensor:
    return torch.tensor([1.0, 2.0, 3.0, 10.0]).quantile(0.5)


MEDIAN_EVEN_COUNT = Trap(
    id="median-even-count",
    statement="The median of an even count is the LOWER middle element in PyTorch and the mean of "
    "the two in JAX (and NumPy).",
    severity="silent wrong result",
    symptoms="median differs, kernel bandwidth median heuristic, nanmedian",
    pytorch=median_pytorch,
    pytorch_gives=2.0,
    jax=median_jax,
    jax_gives=2.5,
    fix="torch.quantile(x, 0.5).",
    pytorch_fixed=median_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.median.html",
)


def bincount_pytorch() -> Tensor:
    return torch.bincount(torch.tensor([-1, 2]))


def bincount_jax() -> Array:
    return jnp.bincount(jnp.array([-1, 2]))


def bincount_pytorch_fixed() -> Tensor:
    labels = torch.tensor([-1, 2])
    return torch.bincount(labels[labels >= 0], minlength=3)


def bincount_jax_fixed() -> Array:
    labels = jnp.array([-1, 2])
    return jnp.bincount(labels[labels >= 0], minlength=3)


BINCOUNT_NEGATIVE = Trap(
    id="bincount-negative",
    statement="bincount raises on a negative label in PyTorch and counts it as class 0 in JAX.",
    severity="silent wrong result",
    symptoms="class 0 count too large, ignore_index -1 -100, confusion matrix, class weights",
    pytorch=bincount_pytorch,
    pytorch_gives=Raises("RuntimeError", "non-negative"),
    jax=bincount_jax,
    jax_gives=[1, 0, 1],
    fix="Leave padding labels out before counting.",
    pytorch_fixed=bincount_pytorch_fixed,
    jax_fixed=bincount_jax_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.numpy.bincount.html",
)


def bincount_length_pytorch() -> Tensor:
    return torch.bincount(torch.tensor([1, 5]), minlength=3)


def bincount_length_jax() -> Array:
    return jnp.bincount(jnp.array([1, 5]), length=3)


def bincount_length_jax_fixed() -> Array:
    return jnp.bincount(jnp.array([1, 5]), minlength=3)


BINCOUNT_LENGTH = Trap(
    id="bincount-length",
    statement="minlength in PyTorch grows with the labels; length in JAX, which jit needs, cuts "
    "off: labels beyond it are not counted.",
    severity="silent wrong result",
    symptoms="counts do not sum to number of rows, histogram misses classes, jit bincount",
    pytorch=bincount_length_pytorch,
    pytorch_gives=[0, 1, 0, 0, 0, 1],
    jax=bincount_length_jax,
    jax_gives=[0, 1, 0],
    fix="minlength outside jit; inside, a length that holds every label.",
    jax_fixed=bincount_length_jax_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.numpy.bincount.html",
)


def bucketize_pytorch() -> Tensor:
    return torch.bucketize(torch.tensor([1.0, 1.5, 2.0]), torch.tensor([1.0, 2.0]))


def bucketize_jax() -> Array:
    return jnp.digitize(jnp.array([1.0, 1.5, 2.0]), jnp.array([1.0, 2.0]))


def bucketize_pytorch_fixed() -> Tensor:
    return torch.bucketize(torch.tensor([1.0, 1.5, 2.0]), torch.tensor([1.0, 2.0]), right=True)


BUCKETIZE_SIDE = Trap(
    id="bucketize-side",
    statement="A value equal to a boundary falls below it in torch.bucketize and above it in "
    "jnp.digitize; right=True means the opposite in the two.",
    severity="silent wrong result",
    symptoms="bin index off by one at the edges, histogram bins, calibration error",
    pytorch=bucketize_pytorch,
    pytorch_gives=[0, 1, 1],
    jax=bucketize_jax,
    jax_gives=[1, 1, 2],
    fix="right=True on exactly one of the two sides.",
    pytorch_fixed=bucketize_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.bucketize.html",
)
