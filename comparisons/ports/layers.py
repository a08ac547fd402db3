"""Layers of Flax NNX and Linen, activations and losses, against PyTorch's one by one.

A row with each library's defaults passes shapes only. What a port is judged by is what a person
would write who trusts that two layers of one name are the same layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import flax.linen as fnn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax import nnx
from torch import nn
from torch.nn import functional

from comparisons.ports.case import DEFAULTS, SAME_ARGUMENTS, Case
from twofold import port

IMAGE: Final = {0: "NCHW->NHWC", "output": "NCHW->NHWC"}
LINE: Final = {0: "NCW->NWC", "output": "NCW->NWC"}
VOLUME: Final = {0: "NCDHW->NDHWC", "output": "NCDHW->NDHWC"}
NUMBERS: Final = np.random.default_rng(0)

ROWS: Final = NUMBERS.normal(size=(3, 6))
SEQUENCE: Final = NUMBERS.normal(size=(2, 5, 6))
PICTURE: Final = NUMBERS.normal(size=(2, 4, 9, 9))
SIGNAL: Final = NUMBERS.normal(size=(2, 4, 9))
SOLID: Final = NUMBERS.normal(size=(1, 2, 5, 5, 5))
WORDS: Final = NUMBERS.integers(0, 7, (2, 5))

R: Final = nnx.Rngs
Row = tuple[str, str, Callable[[], nn.Module], Callable[[], Any], Any, Any]

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
    ("PReLU", SAME_ARGUMENTS, lambda: nn.PReLU(), lambda: fnn.PReLU(negative_slope_init=0.25), ROWS, None),
)


class First(nn.Module):
    """The first of what a module returns."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)[0]


class Itself(First):
    """Attention of a sequence on itself."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x, x, x, need_weights=False)[0]


class Twice(First):
    """A module of two inputs with the same one twice."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x, x)


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


ACTIVATIONS: Final = (
    ("gelu", SAME_ARGUMENTS, functional.gelu, lambda x: jax.nn.gelu(x, approximate=False)),
    ("gelu", DEFAULTS, functional.gelu, jax.nn.gelu),
    ("gelu, tanh", SAME_ARGUMENTS, lambda x: functional.gelu(x, approximate="tanh"), jax.nn.gelu),
    ("relu", SAME_ARGUMENTS, functional.relu, jax.nn.relu),
    ("relu6", SAME_ARGUMENTS, functional.relu6, jax.nn.relu6),
    ("leaky_relu", DEFAULTS, functional.leaky_relu, jax.nn.leaky_relu),
    ("elu", DEFAULTS, functional.elu, jax.nn.elu),
    ("selu", DEFAULTS, functional.selu, jax.nn.selu),
    ("celu", DEFAULTS, functional.celu, jax.nn.celu),
    ("silu", SAME_ARGUMENTS, functional.silu, jax.nn.silu),
    ("mish", SAME_ARGUMENTS, functional.mish, jax.nn.mish),
    ("softplus", DEFAULTS, functional.softplus, jax.nn.softplus),
    ("softsign", SAME_ARGUMENTS, functional.softsign, jax.nn.soft_sign),
    ("hardtanh", DEFAULTS, functional.hardtanh, jax.nn.hard_tanh),
    ("hardsigmoid", DEFAULTS, functional.hardsigmoid, jax.nn.hard_sigmoid),
    ("hardswish", DEFAULTS, functional.hardswish, jax.nn.hard_swish),
    ("logsigmoid", SAME_ARGUMENTS, functional.logsigmoid, jax.nn.log_sigmoid),
    ("tanh", SAME_ARGUMENTS, torch.tanh, jnp.tanh),
    ("softmax", SAME_ARGUMENTS, lambda x: x.softmax(-1), jax.nn.softmax),
    ("log_softmax", SAME_ARGUMENTS, lambda x: x.log_softmax(-1), jax.nn.log_softmax),
    ("glu", SAME_ARGUMENTS, functional.glu, jax.nn.glu),
    (
        "normalize and optax.safe_normalize",
        SAME_ARGUMENTS,
        lambda x: functional.normalize(x, dim=-1),
        lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True),
    ),
    ("std", DEFAULTS, lambda x: torch.std(x, -1), lambda x: jnp.std(x, -1)),
    (
        "var, one degree of freedom less",
        SAME_ARGUMENTS,
        lambda x: torch.var(x, -1),
        lambda x: jnp.var(x, -1, ddof=1),
    ),
)

LABELS: Final = NUMBERS.integers(0, 6, 3)
TARGETS: Final = NUMBERS.normal(size=(3, 6))
SHARES: Final = NUMBERS.dirichlet(np.ones(6), 3)
SIGNS: Final = (NUMBERS.random((3, 6)) < 0.5).astype(float)

LOSSES: Final = (
    (
        "cross_entropy",
        SAME_ARGUMENTS,
        functional.cross_entropy,
        lambda x, y: optax.softmax_cross_entropy_with_integer_labels(x, y).mean(),
        LABELS,
    ),
    (
        "cross_entropy",
        DEFAULTS,
        functional.cross_entropy,
        lambda x, y: optax.softmax_cross_entropy_with_integer_labels(x, y).sum(),
        LABELS,
    ),
    (
        "cross_entropy, label smoothing",
        SAME_ARGUMENTS,
        lambda x, y: functional.cross_entropy(x, y, label_smoothing=0.1),
        lambda x, y: optax.softmax_cross_entropy(
            x, optax.smooth_labels(jax.nn.one_hot(y, 6), 0.1)
        ).mean(),
        LABELS,
    ),
    (
        "mse_loss and l2_loss",
        DEFAULTS,
        functional.mse_loss,
        lambda x, y: optax.l2_loss(x, y).mean(),
        TARGETS,
    ),
    (
        "mse_loss and squared_error",
        SAME_ARGUMENTS,
        functional.mse_loss,
        lambda x, y: optax.squared_error(x, y).mean(),
        TARGETS,
    ),
    (
        "huber_loss",
        DEFAULTS,
        functional.huber_loss,
        lambda x, y: optax.huber_loss(x, y).mean(),
        TARGETS,
    ),
    (
        "smooth_l1_loss and huber_loss, 0.5",
        "beta and delta 0.5",
        lambda x, y: functional.smooth_l1_loss(x, y, beta=0.5),
        lambda x, y: optax.huber_loss(x, y, 0.5).mean(),
        TARGETS,
    ),
    ("l1_loss", SAME_ARGUMENTS, functional.l1_loss, lambda x, y: jnp.abs(x - y).mean(), TARGETS),
    (
        "binary_cross_entropy_with_logits",
        SAME_ARGUMENTS,
        functional.binary_cross_entropy_with_logits,
        lambda x, y: optax.sigmoid_binary_cross_entropy(x, y).mean(),
        SIGNS,
    ),
    (
        "kl_div, batchmean",
        SAME_ARGUMENTS,
        lambda x, y: functional.kl_div(x.log_softmax(-1), y, reduction="batchmean"),
        lambda x, y: optax.kl_divergence(jax.nn.log_softmax(x), y).mean(),
        SHARES,
    ),
    (
        "kl_div",
        DEFAULTS,
        lambda x, y: functional.kl_div(x.log_softmax(-1), y),
        lambda x, y: optax.kl_divergence(jax.nn.log_softmax(x), y).mean(),
        SHARES,
    ),
    (
        "cosine_similarity",
        DEFAULTS,
        lambda x, y: functional.cosine_similarity(x, y).mean(),
        lambda x, y: optax.cosine_similarity(x, y).mean(),
        TARGETS,
    ),
    (
        "hinge_embedding and hinge_loss",
        "no counterpart",
        lambda x, y: functional.hinge_embedding_loss(x, 2 * y - 1),
        lambda x, y: optax.hinge_loss(x, 2 * y - 1).mean(),
        SIGNS,
    ),
    (
        "poisson_nll_loss",
        SAME_ARGUMENTS,
        lambda x, y: functional.poisson_nll_loss(x, y),
        lambda x, y: optax.losses.poisson_nll_loss(x, y).mean(),
        SIGNS,
    )
    if hasattr(optax.losses, "poisson_nll_loss")
    else (
        "log_cosh",
        SAME_ARGUMENTS,
        lambda x, y: torch.log(torch.cosh(x - y)).mean(),
        lambda x, y: optax.log_cosh(x, y).mean(),
        TARGETS,
    ),
)


class Scaled(nn.Module):
    """A function of numbers that a parameter scales, so that there are gradients."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(6))
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x * self.w)


def cases() -> Iterator[Case]:
    """Every row of the tables."""
    for row in NNX:
        yield _layer("NNX", row, lambda build, _: build())
    for row in LINEN:
        yield _layer("Linen", row, _initialized)
    for name, arguments, ours, theirs in ACTIVATIONS:
        yield Case("functions", name, arguments, _function_pair(ours, theirs), {"steps": 0})
    for name, arguments, ours, theirs, labels in LOSSES:
        yield Case("losses", name, arguments, _loss_pair(ours, theirs, labels), {"steps": 0})


def _initialized(build: Callable[[], Any], x: Any) -> Any:
    module = build()
    return module, module.init(
        jax.random.key(0), jnp.asarray(x, jnp.int32 if x.dtype.kind == "i" else jnp.float32)
    )


def _layer(group: str, row: Row, make: Callable[[Callable[[], Any], Any], Any]) -> Case:
    name, arguments, ours, theirs, x, layouts = row

    def pair() -> port.Pair:
        axes = None
        if layouts is not None:
            axes = np.moveaxis(np.asarray(x), 1, -1)
        torch.manual_seed(0)
        return port.Pair(
            port.Torch(ours()),
            _side(make(theirs, x if axes is None else axes)),
            batches=[(x,)],
            layouts=layouts,
        )

    return Case(group, name, arguments, pair, {"steps": 0})


def _side(value: Any) -> Any:
    return port.Linen(*value) if isinstance(value, tuple) else port.Nnx(value)


def _function_pair(ours: Any, theirs: Any) -> Callable[[], port.Pair]:
    def scaled(p: Any, x: jax.Array) -> jax.Array:
        return theirs(x * p["w"])

    return lambda: port.Pair(
        port.Torch(Scaled(ours)),
        port.Function(scaled, {"w": jnp.ones(6)}),
        batches=[(3 * ROWS,)],
    )


def _loss_pair(ours: Any, theirs: Any, labels: Any) -> Callable[[], port.Pair]:
    def scaled(p: Any, x: jax.Array) -> jax.Array:
        return x * p["w"]

    return lambda: port.Pair(
        port.Torch(Scaled(lambda x: x), loss=lambda out, batch: ours(out, batch[1])),
        port.Function(scaled, {"w": jnp.ones(6)}, loss=lambda out, batch: theirs(out, batch[1])),
        batches=[(3 * ROWS, labels)],
    )
