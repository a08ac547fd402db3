"""Layers of Flax Linen against PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import flax.linen as fnn
import jax
import jax.numpy as jnp
from torch import nn

from comparisons.ports.case import DEFAULTS, SAME_ARGUMENTS, Case
from comparisons.ports.rows import (
    IMAGE,
    LINE,
    PICTURE,
    ROWS,
    SEQUENCE,
    SIGNAL,
    WORDS,
    First,
    Itself,
    Row,
    Twice,
    layer,
)
from twofold import port

LINEN: Final[tuple[Row, ...]] = (
    ("Linear and Dense", SAME_ARGUMENTS, lambda: nn.Linear(6, 4), lambda: fnn.Dense(4), ROWS, None),
    (
        "Linear and DenseGeneral",
        SAME_ARGUMENTS,
        lambda: nn.Linear(6, 4),
        lambda: fnn.DenseGeneral(4),
        ROWS,
        None,
    ),
    (
        "Conv1d",
        SAME_ARGUMENTS,
        lambda: nn.Conv1d(4, 6, 3),
        lambda: fnn.Conv(6, (3,), padding="VALID"),
        SIGNAL,
        LINE,
    ),
    (
        "Conv2d",
        SAME_ARGUMENTS,
        lambda: nn.Conv2d(4, 6, 3),
        lambda: fnn.Conv(6, (3, 3), padding="VALID"),
        PICTURE,
        IMAGE,
    ),
    (
        "Conv2d, two groups, stride 2",
        SAME_ARGUMENTS,
        lambda: nn.Conv2d(4, 6, 3, 2, groups=2),
        lambda: fnn.Conv(6, (3, 3), 2, padding="VALID", feature_group_count=2),
        PICTURE,
        IMAGE,
    ),
    (
        "ConvTranspose2d",
        SAME_ARGUMENTS,
        lambda: nn.ConvTranspose2d(4, 6, 3, 2),
        lambda: fnn.ConvTranspose(6, (3, 3), (2, 2), padding="VALID", transpose_kernel=True),
        PICTURE,
        IMAGE,
    ),
    ("LayerNorm", SAME_ARGUMENTS, lambda: nn.LayerNorm(6), lambda: fnn.LayerNorm(1e-5), ROWS, None),
    ("LayerNorm", DEFAULTS, lambda: nn.LayerNorm(6), lambda: fnn.LayerNorm(), ROWS, None),
    (
        "RMSNorm",
        SAME_ARGUMENTS,
        lambda: nn.RMSNorm(6, eps=1e-6),
        lambda: fnn.RMSNorm(1e-6),
        ROWS,
        None,
    ),
    (
        "BatchNorm1d",
        SAME_ARGUMENTS,
        lambda: nn.BatchNorm1d(6),
        lambda: LinenNorm(0.9, 1e-5),
        ROWS,
        None,
    ),
    ("BatchNorm1d", DEFAULTS, lambda: nn.BatchNorm1d(6), lambda: LinenNorm(0.99, 1e-5), ROWS, None),
    (
        "GroupNorm",
        SAME_ARGUMENTS,
        lambda: nn.GroupNorm(2, 4),
        lambda: fnn.GroupNorm(2, epsilon=1e-5),
        PICTURE,
        IMAGE,
    ),
    ("GroupNorm", DEFAULTS, lambda: nn.GroupNorm(2, 4), lambda: fnn.GroupNorm(2), PICTURE, IMAGE),
    (
        "Embedding and Embed",
        SAME_ARGUMENTS,
        lambda: nn.Embedding(7, 4),
        lambda: fnn.Embed(7, 4),
        WORDS,
        None,
    ),
    (
        "LSTM and RNN(OptimizedLSTMCell)",
        SAME_ARGUMENTS,
        lambda: First(nn.LSTM(6, 4, batch_first=True)),
        lambda: fnn.RNN(fnn.OptimizedLSTMCell(4)),
        SEQUENCE,
        None,
    ),
    (
        "LSTM and RNN(LSTMCell)",
        SAME_ARGUMENTS,
        lambda: First(nn.LSTM(6, 4, batch_first=True)),
        lambda: fnn.RNN(fnn.LSTMCell(4)),
        SEQUENCE,
        None,
    ),
    (
        "GRU and RNN(GRUCell)",
        SAME_ARGUMENTS,
        lambda: First(nn.GRU(6, 4, batch_first=True)),
        lambda: fnn.RNN(fnn.GRUCell(4)),
        SEQUENCE,
        None,
    ),
    (
        "MultiheadAttention",
        SAME_ARGUMENTS,
        lambda: Itself(nn.MultiheadAttention(6, 2, batch_first=True)),
        lambda: fnn.MultiHeadDotProductAttention(2),
        SEQUENCE,
        None,
    ),
    (
        "Bilinear and none",
        "no counterpart",
        lambda: Twice(nn.Bilinear(6, 6, 3)),
        lambda: LinenBilinear(3),
        ROWS,
        None,
    ),
    (
        "PReLU",
        SAME_ARGUMENTS,
        lambda: nn.PReLU(),
        lambda: fnn.PReLU(negative_slope_init=0.25),
        ROWS,
        None,
    ),
)


class LinenNorm(fnn.Module):
    """Linen's batch normalization with its mode as an argument of the call."""

    momentum: float
    epsilon: float

    @fnn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        norm = fnn.BatchNorm(
            use_running_average=not train, momentum=self.momentum, epsilon=self.epsilon
        )
        return norm(x)


class LinenBilinear(fnn.Module):
    """What a person writes where Linen has no bilinear layer."""

    features: int

    @fnn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size = x.shape[-1]
        normal = fnn.initializers.normal(0.1)
        weight = self.param("weight", normal, (self.features, size, size))
        bias = self.param("bias", normal, (self.features,))
        return jnp.einsum("bi,oij,bj->bo", x, weight, x) + bias


def cases() -> Iterator[Case]:
    """Every row of the table."""
    for row in LINEN:
        yield layer("Linen", row, _initialized)


def _initialized(build: Callable[[], Any], x: Any) -> port.Linen:
    module = build()
    variables = module.init(
        jax.random.key(0), jnp.asarray(x, jnp.int32 if x.dtype.kind == "i" else jnp.float32)
    )
    return port.Linen(module, variables)
