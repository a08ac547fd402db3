"""Layers of Flax NNX against PyTorch's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flax import nnx
from torch import nn

from comparisons.ports.case import DEFAULTS, SAME_ARGUMENTS, Case
from comparisons.ports.rows import (
    IMAGE,
    LINE,
    PICTURE,
    ROWS,
    SEQUENCE,
    SIGNAL,
    SOLID,
    VOLUME,
    WORDS,
    First,
    Itself,
    Row,
    layer,
)
from twofold import port

R: Final = nnx.Rngs
P1: Final = ((1, 1), (1, 1))
NNX: Final[tuple[Row, ...]] = (
    (
        "Linear",
        SAME_ARGUMENTS,
        lambda: nn.Linear(6, 4),
        lambda: nnx.Linear(6, 4, rngs=R(0)),
        ROWS,
        None,
    ),
    (
        "Linear without bias",
        SAME_ARGUMENTS,
        lambda: nn.Linear(6, 4, bias=False),
        lambda: nnx.Linear(6, 4, use_bias=False, rngs=R(0)),
        ROWS,
        None,
    ),
    (
        "Linear, square",
        SAME_ARGUMENTS,
        lambda: nn.Linear(6, 6),
        lambda: nnx.Linear(6, 6, rngs=R(0)),
        ROWS,
        None,
    ),
    (
        "Conv1d",
        SAME_ARGUMENTS,
        lambda: nn.Conv1d(4, 6, 3, padding=1),
        lambda: nnx.Conv(4, 6, (3,), padding=((1, 1),), rngs=R(0)),
        SIGNAL,
        LINE,
    ),
    (
        "Conv2d",
        SAME_ARGUMENTS,
        lambda: nn.Conv2d(4, 6, 3),
        lambda: nnx.Conv(4, 6, (3, 3), padding="VALID", rngs=R(0)),
        PICTURE,
        IMAGE,
    ),
    (
        "Conv2d",
        DEFAULTS,
        lambda: nn.Conv2d(4, 6, 3),
        lambda: nnx.Conv(4, 6, (3, 3), rngs=R(0)),
        PICTURE,
        IMAGE,
    ),
    (
        "Conv2d, stride 2, padding 1",
        SAME_ARGUMENTS,
        lambda: nn.Conv2d(4, 6, 3, 2, 1),
        lambda: nnx.Conv(4, 6, (3, 3), 2, padding=P1, rngs=R(0)),
        PICTURE,
        IMAGE,
    ),
    (
        "Conv2d, stride 2, padding 1 and SAME, 9 x 9",
        "almost",
        lambda: nn.Conv2d(4, 6, 3, 2, 1),
        lambda: nnx.Conv(4, 6, (3, 3), 2, rngs=R(0)),
        PICTURE,
        IMAGE,
    ),
    (
        "Conv2d, stride 2, padding 1 and SAME, 8 x 8",
        "almost",
        lambda: nn.Conv2d(4, 6, 3, 2, 1),
        lambda: nnx.Conv(4, 6, (3, 3), 2, rngs=R(0)),
        PICTURE[..., :8, :8],
        IMAGE,
    ),
    (
        "Conv2d, two groups",
        SAME_ARGUMENTS,
        lambda: nn.Conv2d(4, 6, 3, groups=2),
        lambda: nnx.Conv(4, 6, (3, 3), padding="VALID", feature_group_count=2, rngs=R(0)),
        PICTURE,
        IMAGE,
    ),
    (
        "Conv2d, depthwise",
        SAME_ARGUMENTS,
        lambda: nn.Conv2d(4, 4, 3, groups=4),
        lambda: nnx.Conv(4, 4, (3, 3), padding="VALID", feature_group_count=4, rngs=R(0)),
        PICTURE,
        IMAGE,
    ),
    (
        "Conv2d, dilation 2",
        SAME_ARGUMENTS,
        lambda: nn.Conv2d(4, 6, 3, dilation=2),
        lambda: nnx.Conv(4, 6, (3, 3), padding="VALID", kernel_dilation=2, rngs=R(0)),
        PICTURE,
        IMAGE,
    ),
    (
        "Conv3d",
        SAME_ARGUMENTS,
        lambda: nn.Conv3d(2, 3, 3),
        lambda: nnx.Conv(2, 3, (3, 3, 3), padding="VALID", rngs=R(0)),
        SOLID,
        VOLUME,
    ),
    (
        "ConvTranspose2d, stride 2",
        SAME_ARGUMENTS,
        lambda: nn.ConvTranspose2d(4, 6, 3, 2),
        lambda: nnx.ConvTranspose(
            4, 6, (3, 3), 2, padding="VALID", transpose_kernel=True, rngs=R(0)
        ),
        PICTURE,
        IMAGE,
    ),
    (
        "ConvTranspose2d, kernel not turned",
        SAME_ARGUMENTS,
        lambda: nn.ConvTranspose2d(4, 6, 3, 2),
        lambda: nnx.ConvTranspose(4, 6, (3, 3), 2, padding="VALID", rngs=R(0)),
        PICTURE,
        IMAGE,
    ),
    (
        "LayerNorm",
        SAME_ARGUMENTS,
        lambda: nn.LayerNorm(6),
        lambda: nnx.LayerNorm(6, epsilon=1e-5, rngs=R(0)),
        ROWS,
        None,
    ),
    (
        "LayerNorm",
        DEFAULTS,
        lambda: nn.LayerNorm(6),
        lambda: nnx.LayerNorm(6, rngs=R(0)),
        ROWS,
        None,
    ),
    (
        "RMSNorm",
        SAME_ARGUMENTS,
        lambda: nn.RMSNorm(6, eps=1e-6),
        lambda: nnx.RMSNorm(6, epsilon=1e-6, rngs=R(0)),
        ROWS,
        None,
    ),
    ("RMSNorm", DEFAULTS, lambda: nn.RMSNorm(6), lambda: nnx.RMSNorm(6, rngs=R(0)), ROWS, None),
    (
        "BatchNorm1d",
        SAME_ARGUMENTS,
        lambda: nn.BatchNorm1d(6),
        lambda: nnx.BatchNorm(6, momentum=0.9, epsilon=1e-5, rngs=R(0)),
        ROWS,
        None,
    ),
    (
        "BatchNorm1d",
        DEFAULTS,
        lambda: nn.BatchNorm1d(6),
        lambda: nnx.BatchNorm(6, rngs=R(0)),
        ROWS,
        None,
    ),
    (
        "BatchNorm2d",
        SAME_ARGUMENTS,
        lambda: nn.BatchNorm2d(4),
        lambda: nnx.BatchNorm(4, momentum=0.9, epsilon=1e-5, rngs=R(0)),
        PICTURE,
        IMAGE,
    ),
    (
        "GroupNorm",
        SAME_ARGUMENTS,
        lambda: nn.GroupNorm(2, 4),
        lambda: nnx.GroupNorm(4, 2, epsilon=1e-5, rngs=R(0)),
        PICTURE,
        IMAGE,
    ),
    (
        "GroupNorm",
        DEFAULTS,
        lambda: nn.GroupNorm(2, 4),
        lambda: nnx.GroupNorm(4, 2, rngs=R(0)),
        PICTURE,
        IMAGE,
    ),
    (
        "InstanceNorm2d",
        SAME_ARGUMENTS,
        lambda: nn.InstanceNorm2d(4, affine=True),
        lambda: nnx.InstanceNorm(4, epsilon=1e-5, rngs=R(0)),
        PICTURE,
        IMAGE,
    ),
    (
        "Embedding",
        SAME_ARGUMENTS,
        lambda: nn.Embedding(7, 4),
        lambda: nnx.Embed(7, 4, rngs=R(0)),
        WORDS,
        None,
    ),
    (
        "Embedding with a padding index",
        "padding_idx=0 in PyTorch",
        lambda: nn.Embedding(7, 4, padding_idx=0),
        lambda: nnx.Embed(7, 4, rngs=R(0)),
        WORDS,
        None,
    ),
    (
        "LSTM and RNN(OptimizedLSTMCell)",
        SAME_ARGUMENTS,
        lambda: First(nn.LSTM(6, 4, batch_first=True)),
        lambda: nnx.RNN(nnx.OptimizedLSTMCell(6, 4, rngs=R(0))),
        SEQUENCE,
        None,
    ),
    (
        "LSTM and RNN(LSTMCell)",
        SAME_ARGUMENTS,
        lambda: First(nn.LSTM(6, 4, batch_first=True)),
        lambda: nnx.RNN(nnx.LSTMCell(6, 4, rngs=R(0))),
        SEQUENCE,
        None,
    ),
    (
        "GRU and RNN(GRUCell)",
        SAME_ARGUMENTS,
        lambda: First(nn.GRU(6, 4, batch_first=True)),
        lambda: nnx.RNN(nnx.GRUCell(6, 4, rngs=R(0))),
        SEQUENCE,
        None,
    ),
    (
        "RNN and RNN(SimpleCell)",
        SAME_ARGUMENTS,
        lambda: First(nn.RNN(6, 4, batch_first=True)),
        lambda: nnx.RNN(nnx.SimpleCell(6, 4, rngs=R(0))),
        SEQUENCE,
        None,
    ),
    (
        "MultiheadAttention",
        SAME_ARGUMENTS,
        lambda: Itself(nn.MultiheadAttention(6, 2, batch_first=True)),
        lambda: nnx.MultiHeadAttention(2, 6, decode=False, rngs=R(0)),
        SEQUENCE,
        None,
    ),
    ("PReLU", SAME_ARGUMENTS, lambda: nn.PReLU(), lambda: nnx.PReLU(0.25), ROWS, None),
)


def cases() -> Iterator[Case]:
    """Every row of the table."""
    for row in NNX:
        yield layer("NNX", row, lambda build, _: port.Nnx(build()))
