"""Embeddings: initial values, the padding row, ids that do not exist."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import torch
from flax import nnx
from jax import Array
from torch import Tensor, nn

from comparisons.atlas.traps.trap import Raises, Trap


def embedding_init_pytorch() -> Tensor:
    return nn.Embedding(10_000, 64).weight.std()


def embedding_init_jax() -> Array:
    return nnx.Embed(10_000, 64, rngs=nnx.Rngs(0)).embedding.std()


def embedding_init_jax_fixed() -> Array:
    init = jax.nn.initializers.normal(1.0)
    return nnx.Embed(10_000, 64, embedding_init=init, rngs=nnx.Rngs(0)).embedding.std()


EMBEDDING_DEFAULT_INIT = Trap(
    id="embedding-default-init",
    statement="Embeddings start with standard deviation 1 in PyTorch and 1/sqrt(features) in Flax.",
    severity="silent wrong result",
    symptoms="language model starts with another loss, embedding scale, tied output logits large",
    pytorch=embedding_init_pytorch,
    pytorch_gives=1.0,
    jax=embedding_init_jax,
    jax_gives=64**-0.5,
    fix="Pass embedding_init=jax.nn.initializers.normal(1.0).",
    jax_fixed=embedding_init_jax_fixed,
    tolerance=3e-3,
    fix_tolerance=3e-3,
    fix_tolerance_reason="standard deviations of 640,000 numbers drawn independently",
    source="google/flax#3125",
)


def padding_row_pytorch() -> Tensor:
    embedding = nn.Embedding(3, 2, padding_idx=0)
    embedding(torch.tensor([0, 2])).sum().backward()
    return embedding.weight.grad


def padding_row_jax() -> Array:
    embedding = nnx.Embed(3, 2, rngs=nnx.Rngs(0))
    grads = nnx.grad(lambda module: module(jnp.array([0, 2])).sum())(embedding)
    return grads.embedding[...]


def padding_row_jax_fixed() -> Array:
    def loss(module: nnx.Embed) -> Array:
        ids = jnp.array([0, 2])
        return jnp.where((ids != 0)[:, None], module(ids), 0.0).sum()

    embedding = nnx.Embed(3, 2, rngs=nnx.Rngs(0))
    return nnx.grad(loss)(embedding).embedding[...]


EMBEDDING_PADDING_ROW = Trap(
    id="embedding-padding-row",
    statement="padding_idx keeps one embedding row at zero in PyTorch; Flax has no such argument "
    "and trains the padding row like any other.",
    severity="silent wrong result",
    symptoms="padding token changes the result, sequences padded differently differ",
    pytorch=padding_row_pytorch,
    pytorch_gives=[[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]],
    jax=padding_row_jax,
    jax_gives=[[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]],
    fix="Mask the embedded padding positions to zero.",
    jax_fixed=padding_row_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html",
)


def id_too_large_pytorch() -> Tensor:
    embedding = nn.Embedding.from_pretrained(torch.tensor([[1.0], [2.0], [3.0]]))
    return embedding(torch.tensor([0, 3]))


def id_too_large_jax() -> Array:
    embedding = nnx.Embed(3, 1, rngs=nnx.Rngs(0))
    embedding.embedding[...] = jnp.array([[1.0], [2.0], [3.0]])
    return embedding(jnp.array([0, 3]))


def id_too_large_pytorch_fixed() -> Tensor:
    embedding = nn.Embedding.from_pretrained(torch.tensor([[1.0], [2.0], [3.0]]))
    ids = torch.tensor([0, 3])
    return embedding(torch.where((ids >= 0) & (ids < 3), ids, 2))  # 2: the unknown word


def id_too_large_jax_fixed() -> Array:
    embedding = nnx.Embed(3, 1, rngs=nnx.Rngs(0))
    embedding.embedding[...] = jnp.array([[1.0], [2.0], [3.0]])
    ids = jnp.array([0, 3])
    return embedding(jnp.where((ids >= 0) & (ids < 3), ids, 2))  # 2: the unknown word


EMBEDDING_ID_TOO_LARGE = Trap(
    id="embedding-id-too-large",
    statement="An id past the end of the table raises in PyTorch and gives a row of NaN in Flax.",
    severity="silent wrong result",
    symptoms="nan loss, vocabulary too small, tokenizer mismatch, out of range index",
    pytorch=id_too_large_pytorch,
    pytorch_gives=Raises("IndexError", "index out of range"),
    jax=id_too_large_jax,
    jax_gives=[[1.0], [float("nan")]],
    fix="Check or replace ids before they reach the table; nothing will tell you later.",
    pytorch_fixed=id_too_large_pytorch_fixed,
    jax_fixed=id_too_large_jax_fixed,
    source="jax-ml/jax#3774; jax-ml/jax#14193",
)


def negative_id_pytorch() -> Tensor:
    embedding = nn.Embedding.from_pretrained(torch.tensor([[1.0], [2.0], [3.0]]))
    return embedding(torch.tensor([0, -1]))


def negative_id_jax() -> Array:
    embedding = nnx.Embed(3, 1, rngs=nnx.Rngs(0))
    embedding.embedding[...] = jnp.array([[1.0], [2.0], [3.0]])
    return embedding(jnp.array([0, -1]))


def negative_id_pytorch_fixed() -> Tensor:
    embedding = nn.Embedding.from_pretrained(torch.tensor([[1.0], [2.0], [3.0]]))
    ids = torch.tensor([0, -1])
    return torch.where((ids >= 0)[:, None], embedding(ids.clamp(min=0)), 0.0)


def negative_id_jax_fixed() -> Array:
    embedding = nnx.Embed(3, 1, rngs=nnx.Rngs(0))
    embedding.embedding[...] = jnp.array([[1.0], [2.0], [3.0]])
    ids = jnp.array([0, -1])
    return jnp.where((ids >= 0)[:, None], embedding(jnp.maximum(ids, 0)), 0.0)


EMBEDDING_NEGATIVE_ID = Trap(
    id="embedding-negative-id",
    statement="Id -1, a usual mark for padding, raises in PyTorch and silently reads the LAST row "
    "in Flax.",
    severity="silent wrong result",
    symptoms="padding -1 embeds as the last word, wrong index",
    pytorch=negative_id_pytorch,
    pytorch_gives=Raises("IndexError", "index out of range"),
    jax=negative_id_jax,
    jax_gives=[[1.0], [3.0]],
    fix="Mask negative ids on both sides.",
    pytorch_fixed=negative_id_pytorch_fixed,
    jax_fixed=negative_id_jax_fixed,
    source="jax-ml/jax#14193",
)


def one_hot_pytorch() -> Tensor:
    return nn.functional.one_hot(torch.tensor([0, 3]), 3)


def one_hot_jax() -> Array:
    return jax.nn.one_hot(jnp.array([0, 3]), 3, dtype=int)


def one_hot_pytorch_fixed() -> Tensor:
    return (torch.tensor([0, 3])[:, None] == torch.arange(3)).long()


ONE_HOT_OUT_OF_RANGE = Trap(
    id="one-hot-out-of-range",
    statement="one_hot of a class that does not exist raises in PyTorch and is a row of zeros in "
    "JAX, so the example drops out of a loss.",
    severity="silent wrong result",
    symptoms="loss too small, labels off by one ignored, class missing",
    pytorch=one_hot_pytorch,
    pytorch_gives=Raises("RuntimeError", "Class values must be smaller than num_classes"),
    jax=one_hot_jax,
    jax_gives=[[1, 0, 0], [0, 0, 0]],
    fix="Compare with arange(classes) where zeros are wanted; else check the labels first.",
    pytorch_fixed=one_hot_pytorch_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.nn.one_hot.html",
)
