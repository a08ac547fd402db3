"""Linear algebra, sorting and their corner cases."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import torch
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Raises, Trap

MATRIX = [[1.0, 2.0], [3.0, 4.0]]


def norm_pytorch() -> Tensor:
    return torch.norm(torch.tensor(MATRIX), 2)


def norm_jax() -> Array:
    return jnp.linalg.norm(jnp.array(MATRIX), 2)


def norm_jax_fixed() -> Array:
    return jnp.linalg.norm(jnp.array(MATRIX))


MATRIX_NORM_ORD_2 = Trap(
    id="matrix-norm-ord-2",
    statement="torch.norm(A, 2) is the root of the sum of squares; jnp.linalg.norm(A, 2) (and "
    "torch.linalg.norm) is the largest singular value.",
    severity="silent wrong result",
    symptoms="gradient clipping norm, weight norm, spectral norm, slightly smaller",
    pytorch=norm_pytorch,
    pytorch_gives=5.477226,  # sqrt(30)
    jax=norm_jax,
    jax_gives=5.464986,  # sqrt(15 + sqrt(221))
    fix="jnp.linalg.norm(A) without an order is the first.",
    jax_fixed=norm_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="squares are summed in another order",
    source="https://docs.pytorch.org/docs/stable/generated/torch.norm.html",
)


def cholesky_pytorch() -> Tensor:
    return torch.linalg.cholesky(torch.tensor([[1.0, 2.0], [2.0, 1.0]]))


def cholesky_jax() -> Array:
    return jnp.linalg.cholesky(jnp.array([[1.0, 2.0], [2.0, 1.0]]))


def cholesky_pytorch_fixed() -> Any:
    _, info = torch.linalg.cholesky_ex(torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
    return bool(info == 0)


def cholesky_jax_fixed() -> Any:
    factor = jnp.linalg.cholesky(jnp.array([[1.0, 2.0], [2.0, 1.0]]))
    return bool(jnp.isfinite(factor).all())


CHOLESKY_FAILURE_IS_NAN = Trap(
    id="cholesky-failure-is-nan",
    statement="Cholesky of a matrix that is not positive definite raises in PyTorch and gives NaN "
    "in JAX.",
    severity="silent wrong result",
    symptoms="Gaussian process nan, LinAlgError not positive-definite, jitter, covariance",
    pytorch=cholesky_pytorch,
    pytorch_gives=Raises("_LinAlgError", "positive-definite"),
    jax=cholesky_jax,
    jax_gives=[[float("nan"), 0.0], [float("nan"), float("nan")]],
    fix="Ask whether it worked: cholesky_ex, or jnp.isfinite.",
    pytorch_fixed=cholesky_pytorch_fixed,
    jax_fixed=cholesky_jax_fixed,
    source="jax-ml/jax#775",
)


def inverse_pytorch() -> Tensor:
    return torch.linalg.inv(torch.tensor([[1.0, 1.0], [1.0, 1.0]]))


def inverse_jax() -> Any:
    inverse = jnp.linalg.inv(jnp.array([[1.0, 1.0], [1.0, 1.0]]))
    return bool(jnp.isfinite(inverse).all())


def inverse_pytorch_fixed() -> Any:
    inverse, _ = torch.linalg.inv_ex(torch.tensor([[1.0, 1.0], [1.0, 1.0]]))
    return bool(inverse.isfinite().all())


SINGULAR_INVERSE = Trap(
    id="singular-inverse",
    statement="The inverse of a singular matrix raises in PyTorch and is not finite in JAX.",
    severity="silent wrong result",
    symptoms="inf nan after solve, LinAlgError singular, least squares",
    pytorch=inverse_pytorch,
    pytorch_gives=Raises("_LinAlgError", "singular"),
    jax=inverse_jax,
    jax_gives=False,
    fix="Ask whether the result is finite; inv_ex does not raise.",
    pytorch_fixed=inverse_pytorch_fixed,
    source="jax-ml/jax#775",
)

LOWER = [[4.0, 0.0], [2.0, 5.0]]  # only the lower triangle is filled


def triangle_pytorch() -> Tensor:
    return torch.linalg.cholesky(torch.tensor(LOWER))


def triangle_jax() -> Array:
    return jnp.linalg.cholesky(jnp.array(LOWER))


def triangle_jax_fixed() -> Array:
    return jnp.linalg.cholesky(jnp.array(LOWER), symmetrize_input=False)


LINALG_SYMMETRIZE = Trap(
    id="linalg-symmetrize",
    statement="cholesky and eigh take the mean of A and its transpose in JAX; PyTorch reads the "
    "lower triangle only.",
    severity="silent wrong result",
    symptoms="half-filled covariance matrix, triangular storage, eigenvalues wrong",
    pytorch=triangle_pytorch,
    pytorch_gives=[[2.0, 0.0], [1.0, 2.0]],  # of [[4, 2], [2, 5]]
    jax=triangle_jax,
    jax_gives=[[2.0, 0.0], [0.5, 2.1794495]],  # of [[4, 1], [1, 5]]: sqrt(5 - 1/4)
    fix="symmetrize_input=False, or fill both triangles.",
    jax_fixed=triangle_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="two LAPACK routines",
    source="https://docs.jax.dev/en/latest/_autosummary/jax.numpy.linalg.cholesky.html",
)


def svd_pytorch() -> Any:
    _, _, v = torch.svd(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    return v.shape


def svd_jax() -> Any:
    _, _, v = jnp.linalg.svd(jnp.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    return v.shape


def svd_pytorch_fixed() -> Any:
    _, _, vh = torch.linalg.svd(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    return vh.shape


SVD_RETURNS_V = Trap(
    id="svd-returns-v",
    statement="torch.svd gives V, reduced; jnp.linalg.svd (and torch.linalg.svd) its conjugate "
    "transpose, in full. For a square matrix both have the same shape.",
    severity="silent wrong result",
    symptoms="reconstruction wrong, low rank, PCA components transposed, full_matrices",
    pytorch=svd_pytorch,
    pytorch_gives=(3, 2),
    jax=svd_jax,
    jax_gives=(3, 3),
    fix="torch.linalg.svd, which follows NumPy.",
    pytorch_fixed=svd_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.svd.html",
)

TIES = [1.0, 0.0] * 40  # long enough for an unstable algorithm


def sort_pytorch() -> Any:
    return bool((torch.tensor(TIES).argsort()[:40].diff() > 0).all())


def sort_jax() -> Any:
    return bool((jnp.diff(jnp.array(TIES).argsort()[:40]) > 0).all())


def sort_pytorch_fixed() -> Any:
    return bool((torch.tensor(TIES).argsort(stable=True)[:40].diff() > 0).all())


SORT_TIES = Trap(
    id="sort-ties",
    statement="Equal elements keep their order in jnp.sort and argsort; in PyTorch only with "
    "stable=True (here: are the indices of equal elements increasing?).",
    severity="silent wrong result",
    symptoms="ranking differs between runs, argsort order of ties, retrieval metrics",
    pytorch=sort_pytorch,
    pytorch_gives=False,
    jax=sort_jax,
    jax_gives=True,
    fix="torch.sort(x, stable=True).",
    pytorch_fixed=sort_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.sort.html",
)


def top_pytorch() -> Any:
    return bool(set(torch.zeros(100).topk(3).indices.tolist()) == {0, 1, 2})


def top_jax() -> Any:
    return bool(set(jax.lax.top_k(jnp.zeros(100), 3)[1].tolist()) == {0, 1, 2})


def top_pytorch_fixed() -> Any:
    order = torch.zeros(100).sort(descending=True, stable=True).indices
    return bool(set(order[:3].tolist()) == {0, 1, 2})


TOPK_TIES = Trap(
    id="topk-ties",
    statement="Of equal elements torch.topk takes any; JAX's sort and lax.top_k take the first.",
    severity="silent wrong result",
    symptoms="top-k sampling, beam search differs, equal logits, mixture of experts routing",
    pytorch=top_pytorch,
    pytorch_gives=False,
    jax=top_jax,
    jax_gives=True,
    fix="Sort stably and take the first k.",
    pytorch_fixed=top_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.topk.html",
)
