"""Same name, other arguments or another shape."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import torch
import torch.nn.functional as F
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Raises, Trap, Warns


def split_pytorch() -> Any:
    return [len(part) for part in torch.arange(6).split(2)]


def split_jax() -> Any:
    return [len(part) for part in jnp.split(jnp.arange(6), 2)]


def split_jax_fixed() -> Any:
    x = jnp.arange(6)
    return [len(part) for part in jnp.split(x, len(x) // 2)]


SPLIT_MEANING = Trap(
    id="split-meaning",
    statement="split(x, 2) makes parts OF SIZE 2 in PyTorch and 2 PARTS in JAX.",
    severity="silent wrong result",
    symptoms="wrong number of chunks, heads and head dimension swapped, qkv split",
    pytorch=split_pytorch,
    pytorch_gives=[2, 2, 2],
    jax=split_jax,
    jax_gives=[3, 3],
    fix="jnp.split(x, len(x) // size), or torch.tensor_split(x, parts).",
    jax_fixed=split_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.split.html; "
    "https://docs.jax.dev/en/latest/_autosummary/jax.numpy.split.html",
)


def chunk_pytorch() -> Any:
    return [len(part) for part in torch.chunk(torch.arange(6), 4)]


def chunk_jax() -> Any:
    return [len(part) for part in jnp.array_split(jnp.arange(6), 4)]


def chunk_pytorch_fixed() -> Any:
    return [len(part) for part in torch.tensor_split(torch.arange(6), 4)]


CHUNK_COUNT = Trap(
    id="chunk-count",
    statement="torch.chunk(x, 4) of 6 elements makes 3 parts, all full; jnp.array_split makes 4.",
    severity="silent wrong result",
    symptoms="fewer chunks than asked, not enough values to unpack, micro-batches missing",
    pytorch=chunk_pytorch,
    pytorch_gives=[2, 2, 2],
    jax=chunk_jax,
    jax_gives=[2, 2, 1, 1],
    fix="torch.tensor_split.",
    pytorch_fixed=chunk_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.chunk.html",
)


def repeat_pytorch() -> Tensor:
    return torch.tensor([1, 2]).repeat(2)


def repeat_jax() -> Array:
    return jnp.array([1, 2]).repeat(2)


def repeat_jax_fixed() -> Array:
    return jnp.tile(jnp.array([1, 2]), 2)


REPEAT_MEANING = Trap(
    id="repeat-meaning",
    statement="x.repeat(2) repeats the whole tensor in PyTorch and each element in JAX.",
    severity="silent wrong result",
    symptoms="order of repeated rows, grouped query attention heads, beam search, tile",
    pytorch=repeat_pytorch,
    pytorch_gives=[1, 2, 1, 2],
    jax=repeat_jax,
    jax_gives=[1, 1, 2, 2],
    fix="jnp.tile, or torch.repeat_interleave the other way.",
    jax_fixed=repeat_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.Tensor.repeat.html",
)


def pad_pytorch() -> Tensor:
    return F.pad(torch.ones(1, 2), (1, 0))


def pad_jax() -> Array:
    return jnp.pad(jnp.ones((1, 2)), (1, 0))


def pad_jax_fixed() -> Array:
    return jnp.pad(jnp.ones((1, 2)), ((0, 0), (1, 0)))


PAD_ARGUMENT_ORDER = Trap(
    id="pad-argument-order",
    statement="F.pad lists pads from the LAST dimension; jnp.pad from the first, and a single "
    "(1, 0) pads EVERY dimension.",
    severity="silent wrong result",
    symptoms="extra row of zeros, causal padding, wrong axis padded",
    pytorch=pad_pytorch,
    pytorch_gives=[[0.0, 1.0, 1.0]],
    jax=pad_jax,
    jax_gives=[[0.0, 0.0, 0.0], [0.0, 1.0, 1.0]],
    fix="Give jnp.pad a pair for each dimension.",
    jax_fixed=pad_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pad.html",
)


def transpose_pytorch() -> Any:
    return torch.ones(2, 3).transpose(0, 1).shape


def transpose_jax() -> Any:
    return jnp.ones((2, 3)).transpose(0, 1).shape


def transpose_jax_fixed() -> Any:
    return jnp.ones((2, 3)).swapaxes(0, 1).shape


TRANSPOSE_MEANING = Trap(
    id="transpose-meaning",
    statement="x.transpose(0, 1) swaps two dimensions in PyTorch; in JAX the numbers are the new "
    "ORDER of all dimensions, and (0, 1) changes nothing.",
    severity="silent wrong result",
    symptoms="matrix not transposed, square matrix transpose ignored, permute",
    pytorch=transpose_pytorch,
    pytorch_gives=(3, 2),
    jax=transpose_jax,
    jax_gives=(2, 3),
    fix="swapaxes, which means the same in both.",
    jax_fixed=transpose_jax_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.numpy.transpose.html",
)


def squeeze_pytorch() -> Any:
    return torch.ones(2, 3).squeeze(0).shape


def squeeze_jax() -> Any:
    return jnp.ones((2, 3)).squeeze(0).shape


def squeeze_jax_fixed() -> Any:
    x = jnp.ones((2, 3))
    return (x.squeeze(0) if x.shape[0] == 1 else x).shape


SQUEEZE_OF_LONG_AXIS = Trap(
    id="squeeze-of-long-axis",
    statement="Squeezing a dimension that is not 1 does nothing in PyTorch and raises in JAX.",
    severity="error",
    symptoms="cannot select an axis to squeeze out which has size not equal to one, batch size 1",
    pytorch=squeeze_pytorch,
    pytorch_gives=(2, 3),
    jax=squeeze_jax,
    jax_gives=Raises("ValueError", "squeeze"),
    fix="Ask for the size first; PyTorch's silence hides a wrong shape.",
    jax_fixed=squeeze_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.squeeze.html",
)


def meshgrid_pytorch() -> Any:
    return torch.meshgrid(torch.arange(2), torch.arange(3))[0].shape


def meshgrid_jax() -> Any:
    return jnp.meshgrid(jnp.arange(2), jnp.arange(3))[0].shape


def meshgrid_pytorch_fixed() -> Any:
    return torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij")[0].shape


def meshgrid_jax_fixed() -> Any:
    return jnp.meshgrid(jnp.arange(2), jnp.arange(3), indexing="ij")[0].shape


MESHGRID_INDEXING = Trap(
    id="meshgrid-indexing",
    statement="meshgrid gives (rows, columns) by default in PyTorch (indexing 'ij') and the "
    "transpose in JAX (indexing 'xy').",
    severity="silent wrong result",
    symptoms="image transposed, x and y swapped, positional encoding, coordinates, grid_sample",
    pytorch=meshgrid_pytorch,
    pytorch_gives=Warns("indexing argument", (2, 3)),
    jax=meshgrid_jax,
    jax_gives=(3, 2),
    fix="Always pass indexing.",
    pytorch_fixed=meshgrid_pytorch_fixed,
    jax_fixed=meshgrid_jax_fixed,
    source="pytorch/pytorch#50276",
)


def nonzero_pytorch() -> Any:
    return torch.nonzero(torch.tensor([[5, 0, 6]])).shape


def nonzero_jax() -> Any:
    rows, columns = jnp.nonzero(jnp.array([[5, 0, 6]]))
    return rows.shape, columns.shape


def nonzero_pytorch_fixed() -> Any:
    rows, columns = torch.nonzero(torch.tensor([[5, 0, 6]]), as_tuple=True)
    return rows.shape, columns.shape


NONZERO_SHAPE = Trap(
    id="nonzero-shape",
    statement="nonzero gives one matrix (count, dimensions) in PyTorch and one array for each "
    "dimension in JAX.",
    severity="silent wrong result",
    symptoms="too many values to unpack, indices transposed, where",
    pytorch=nonzero_pytorch,
    pytorch_gives=(2, 2),
    jax=nonzero_jax,
    jax_gives=((2,), (2,)),
    fix="torch.nonzero(x, as_tuple=True).",
    pytorch_fixed=nonzero_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nonzero.html",
)


def gather_pytorch() -> Any:
    x, index = torch.arange(6).reshape(3, 2), torch.tensor([[1, 0]])
    return torch.gather(x, 1, index)


def gather_jax() -> Any:
    x, index = jnp.arange(6).reshape(3, 2), jnp.array([[1, 0]])
    return jnp.take_along_axis(x, index, 1)


def gather_jax_fixed() -> Any:
    x, index = jnp.arange(6).reshape(3, 2), jnp.array([[1, 0]])
    return jnp.take_along_axis(x[: len(index)], index, 1)


GATHER_BROADCASTS = Trap(
    id="gather-broadcasts",
    statement="torch.gather gives the shape of the INDEX; jnp.take_along_axis broadcasts the index "
    "over the other dimensions.",
    severity="silent wrong result",
    symptoms="output has more rows than index, gather shape, log probabilities of actions",
    pytorch=gather_pytorch,
    pytorch_gives=[[1, 0]],
    jax=gather_jax,
    jax_gives=[[1, 0], [3, 2], [5, 4]],
    fix="Cut the input to the rows of the index.",
    jax_fixed=gather_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.gather.html",
)


def max_pytorch() -> Any:
    largest = torch.tensor([[1.0, 5.0], [7.0, 2.0]]).max(dim=1)
    return len(largest), largest[0]


def max_jax() -> Any:
    largest = jnp.array([[1.0, 5.0], [7.0, 2.0]]).max(axis=1)
    return len(largest), largest[0]


def max_pytorch_fixed() -> Any:
    largest = torch.tensor([[1.0, 5.0], [7.0, 2.0]]).amax(dim=1)
    return len(largest), largest[0]


MAX_RETURNS_INDICES = Trap(
    id="max-returns-indices",
    statement="x.max(dim=1) gives a pair (values, indices) in PyTorch and the values in JAX: "
    "[0] is all the values in one, the first value in the other.",
    severity="silent wrong result",
    symptoms="max returns tuple, torch.return_types.max, q values, min, median, sort",
    pytorch=max_pytorch,
    pytorch_gives=(2, [5.0, 7.0]),
    jax=max_jax,
    jax_gives=(2, 5.0),
    fix="torch.amax(x, dim).",
    pytorch_fixed=max_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.max.html",
)


def size_pytorch() -> Any:
    return torch.ones(2, 3).size * 2


def size_jax() -> Any:
    return jnp.ones((2, 3)).size * 2


def size_pytorch_fixed() -> Any:
    return torch.ones(2, 3).numel() * 2


SIZE_IS_A_METHOD = Trap(
    id="size-is-a-method",
    statement="x.size is a method that gives the shape in PyTorch and the number of elements in "
    "JAX.",
    severity="error",
    symptoms="unsupported operand builtin_function_or_method, parameter count, numel",
    pytorch=size_pytorch,
    pytorch_gives=Raises("TypeError", "builtin_function_or_method"),
    jax=size_jax,
    jax_gives=12,
    fix="x.numel() in PyTorch.",
    pytorch_fixed=size_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.Tensor.size.html",
)


def cumsum_pytorch() -> Tensor:
    return torch.cumsum(torch.ones(2, 2), dim=-1)


def cumsum_jax() -> Array:
    return jnp.cumsum(jnp.ones((2, 2)))


def cumsum_jax_fixed() -> Array:
    return jnp.cumsum(jnp.ones((2, 2)), axis=-1)


CUMSUM_FLATTENS = Trap(
    id="cumsum-flattens",
    statement="cumsum and cumprod need a dimension in PyTorch; without one JAX flattens the array "
    "first.",
    severity="silent wrong result",
    symptoms="shape one-dimensional after cumsum, nucleus sampling, top-p, returns",
    pytorch=cumsum_pytorch,
    pytorch_gives=[[1.0, 2.0], [1.0, 2.0]],
    jax=cumsum_jax,
    jax_gives=[1.0, 2.0, 3.0, 4.0],
    fix="Always pass the axis.",
    jax_fixed=cumsum_jax_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.numpy.cumsum.html",
)
