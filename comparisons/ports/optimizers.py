"""Rules and schedules of Optax against those of torch.optim, one by one, three steps each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from torch import nn, optim

from comparisons.ports.case import DEFAULTS, SAME_ARGUMENTS, Case
from twofold import port

T = optim
LR: Final = 1e-2
ROWS: Final = (
    ("SGD and sgd", SAME_ARGUMENTS, lambda p: T.SGD(p, LR), lambda: optax.sgd(LR)),
    (
        "SGD and sgd, momentum",
        SAME_ARGUMENTS,
        lambda p: T.SGD(p, LR, 0.9),
        lambda: optax.sgd(LR, 0.9),
    ),
    (
        "SGD and sgd, Nesterov",
        SAME_ARGUMENTS,
        lambda p: T.SGD(p, LR, 0.9, nesterov=True),
        lambda: optax.sgd(LR, 0.9, nesterov=True),
    ),
    ("Adam and adam", DEFAULTS, lambda p: T.Adam(p, LR), lambda: optax.adam(LR)),
    (
        "AdamW and adamw",
        SAME_ARGUMENTS,
        lambda p: T.AdamW(p, LR),
        lambda: optax.adamw(LR, weight_decay=1e-2),
    ),
    ("AdamW and adamw", DEFAULTS, lambda p: T.AdamW(p, LR), lambda: optax.adamw(LR)),
    (
        "Adam with amsgrad and amsgrad",
        SAME_ARGUMENTS,
        lambda p: T.Adam(p, LR, amsgrad=True),
        lambda: optax.amsgrad(LR),
    ),
    ("NAdam and nadam", DEFAULTS, lambda p: T.NAdam(p, LR), lambda: optax.nadam(LR)),
    ("RAdam and radam", DEFAULTS, lambda p: T.RAdam(p, LR), lambda: optax.radam(LR)),
    ("Adamax and adamax", DEFAULTS, lambda p: T.Adamax(p, LR), lambda: optax.adamax(LR)),
    (
        "RMSprop and rmsprop",
        SAME_ARGUMENTS,
        lambda p: T.RMSprop(p, LR),
        lambda: optax.rmsprop(LR, 0.99, 1e-8, eps_in_sqrt=False),
    ),
    (
        "RMSprop and rmsprop, eps inside the root",
        "almost",
        lambda p: T.RMSprop(p, LR),
        lambda: optax.rmsprop(LR, 0.99, 1e-8),
    ),
    ("RMSprop and rmsprop", DEFAULTS, lambda p: T.RMSprop(p, LR), lambda: optax.rmsprop(LR)),
    (
        "RMSprop and rmsprop, centred",
        SAME_ARGUMENTS,
        lambda p: T.RMSprop(p, LR, centered=True),
        lambda: optax.rmsprop(LR, 0.99, 1e-8, centered=True, eps_in_sqrt=False),
    ),
    (
        "Adagrad and adagrad",
        "the same, but where eps stands",
        lambda p: T.Adagrad(p, LR, initial_accumulator_value=0.1),
        lambda: optax.adagrad(LR, 0.1, 1e-10),
    ),
    ("Adagrad and adagrad", DEFAULTS, lambda p: T.Adagrad(p, LR), lambda: optax.adagrad(LR)),
    (
        "Adadelta and adadelta",
        SAME_ARGUMENTS,
        lambda p: T.Adadelta(p, 1.0, 0.9, 1e-6),
        lambda: optax.adadelta(1.0, 0.9, 1e-6),
    ),
    ("Rprop and rprop", DEFAULTS, lambda p: T.Rprop(p, LR), lambda: optax.rprop(LR)),
    (
        "CosineAnnealingLR and cosine_decay_schedule",
        SAME_ARGUMENTS,
        lambda p: _with(T.SGD(p, LR), T.lr_scheduler.CosineAnnealingLR, 5),
        lambda: optax.sgd(optax.cosine_decay_schedule(LR, 5)),
    ),
    (
        "ExponentialLR and exponential_decay",
        SAME_ARGUMENTS,
        lambda p: _with(T.SGD(p, LR), T.lr_scheduler.ExponentialLR, 0.9),
        lambda: optax.sgd(optax.exponential_decay(LR, 1, 0.9)),
    ),
    (
        "StepLR and exponential_decay with a staircase",
        SAME_ARGUMENTS,
        lambda p: _with(T.SGD(p, LR), T.lr_scheduler.StepLR, 2, 0.5),
        lambda: optax.sgd(optax.exponential_decay(LR, 2, 0.5, staircase=True)),
    ),
    (
        "LinearLR and linear_schedule",
        SAME_ARGUMENTS,
        lambda p: _with(T.SGD(p, LR), T.lr_scheduler.LinearLR, 0.5, 1.0, 4),
        lambda: optax.sgd(optax.linear_schedule(LR / 2, LR, 4)),
    ),
    (
        "PolynomialLR and polynomial_schedule",
        SAME_ARGUMENTS,
        lambda p: _with(T.SGD(p, LR), T.lr_scheduler.PolynomialLR, 5, 2.0),
        lambda: optax.sgd(optax.polynomial_schedule(LR, 0.0, 2.0, 5)),
    ),
)

CLIPS: Final = (
    (
        "clip_grad_norm_ and clip_by_global_norm",
        "PyTorch adds 1e-6 to the norm",
        lambda p: nn.utils.clip_grad_norm_(p, 0.1),
        lambda: optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(LR)),
    ),
    (
        "clip_grad_value_ and clip",
        SAME_ARGUMENTS,
        lambda p: nn.utils.clip_grad_value_(p, 0.01),
        lambda: optax.chain(optax.clip(0.01), optax.sgd(LR)),
    ),
)


def _with(rule: optim.Optimizer, schedule: Any, *arguments: Any) -> Any:
    return rule, schedule(rule, *arguments)


def cases() -> Iterator[Case]:
    """Every row of the tables."""
    for name, arguments, ours, theirs in ROWS:
        yield Case("optimizers", name, arguments, _pair(ours, theirs, None), {"precisions": ()})
    for name, arguments, clip, theirs in CLIPS:
        ours = lambda p: T.SGD(p, LR)  # noqa: E731
        yield Case("optimizers", name, arguments, _pair(ours, theirs, clip), {"precisions": ()})


def _pair(ours: Any, theirs: Any, clip: Any) -> Callable[[], port.Pair]:
    """Two small layers and a squared error, with an optimizer on both sides."""

    def pair() -> port.Pair:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
        numbers = np.random.default_rng(0)
        batches = [(numbers.normal(size=(5, 4)), numbers.normal(size=(5, 2))) for _ in range(2)]

        def network(p: Any, x: jax.Array) -> jax.Array:
            return jnp.tanh(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]

        shapes = {"w1": (4, 3), "b1": (3,), "w2": (3, 2), "b2": (2,)}
        return port.Pair(
            port.Torch(
                model, loss=lambda out, b: ((out - b[1]) ** 2).mean(), optimizer=ours, clip=clip
            ),
            port.Function(
                network,
                {name: jnp.full(shape, 0.1) for name, shape in shapes.items()},
                loss=lambda out, b: ((out - b[1]) ** 2).mean(),
                optimizer=theirs(),
            ),
            batches=batches,
        )

    return pair
