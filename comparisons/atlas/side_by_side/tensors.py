"""Tensors: creation, arithmetic, broadcasting, slicing, mean along an axis."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import torch

from comparisons.atlas.side_by_side.topic import (
    Topic,
    Values,
    show,
)

ROWS = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


def with_pytorch() -> Values:
    x = torch.tensor(ROWS)
    return {
        "zeros": torch.zeros(2, 3),
        "ones": torch.ones(3),
        "arange": torch.arange(0, 10, 2),
        "identity": torch.eye(2),
        "element by element": x * x - x / 2,
        "broadcast": x + torch.tensor([10.0, 20.0, 30.0]),
        "first row": x[0],
        "last column": x[:, -1],
        "above 2": x[x > 2],
        "mean of columns": x.mean(dim=0),
        "product": x @ x.T,
    }


def with_jax() -> Values:
    x = jnp.array(ROWS)
    return {
        "zeros": jnp.zeros((2, 3)),
        "ones": jnp.ones(3),
        "arange": jnp.arange(0, 10, 2),
        "identity": jnp.eye(2),
        "element by element": x * x - x / 2,
        "broadcast": x + jnp.array([10.0, 20.0, 30.0]),
        "first row": x[0],
        "last column": x[:, -1],
        "above 2": x[x > 2],
        "mean of columns": x.mean(axis=0),
        "product": x @ x.T,
    }


def with_numpy() -> Values:
    x = np.array(ROWS)
    return {
        "zeros": np.zeros((2, 3)),
        "ones": np.ones(3),
        "arange": np.arange(0, 10, 2),
        "identity": np.eye(2),
        "element by element": x * x - x / 2,
        "broadcast": x + np.array([10.0, 20.0, 30.0]),
        "first row": x[0],
        "last column": x[:, -1],
        "above 2": x[x > 2],
        "mean of columns": x.mean(axis=0),
        "product": x @ x.T,
    }


TOPIC = Topic(
    title="Tensors",
    about="""jax.numpy is NumPy's own vocabulary: `axis`, shapes as a tuple. PyTorch says `dim`,
    and also takes a shape as separate numbers. Broadcasting and slicing follow the same rules in
    all three. What differs is not on show here: a JAX array cannot be changed in place, `x[0] =
    1` raises a TypeError and `x.at[0].set(1)` makes a new array.""",
    pytorch=with_pytorch,
    jax=with_jax,
    numpy=with_numpy,
)

if __name__ == "__main__":
    show(TOPIC)
