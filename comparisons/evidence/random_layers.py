"""The models of the draws of layers: random sequences of every kind of layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, get_args

import numpy as np

from comparisons.evidence.random_numbers import count, real
from twofold.problem.problem import Problem
from twofold.spec.layers.activation import Activation, ActivationName
from twofold.spec.layers.batch_norm import BatchNorm
from twofold.spec.layers.dropout import Dropout
from twofold.spec.layers.kind import LayerKind
from twofold.spec.layers.layer_norm import LayerNorm
from twofold.spec.layers.linear import Linear
from twofold.spec.layers.residual import Residual
from twofold.spec.model import Sequential, has

MAX_BLOCKS: Final = 4
EPS: Final = (1e-8, 1e-1)
DEFAULT_EPS: Final = 0.6  # share of the norms that have 1e-5


def with_layers(random: np.random.Generator, problem: Problem, max_width: int) -> Problem:
    """The problem with a random sequence of layers in the place of its MLP, in float32 or float64.

    Batch norm is drawn where every batch has two rows or more; a last batch of one row is dropped.
    """
    experiment = problem.experiment
    model = experiment.model
    rows, size = problem.train.rows, experiment.data.batch_size
    norms: tuple[type[LayerKind], ...] = (LayerNorm, BatchNorm) if size > 1 else (LayerNorm,)
    layers: list[LayerKind] = []
    if random.random() < 0.2:
        layers.append(_norm(random, norms))
    for _ in range(int(random.integers(1, MAX_BLOCKS + 1))):
        layers += _block(random, norms, max_width)
    sequential = Sequential.model_construct(
        in_features=model.in_features,
        out_features=model.out_features,
        layers=(*layers, Linear(bias=bool(random.random() < 0.85))),
    )
    changes: dict[str, Any] = {"model": sequential}
    if has(sequential, BatchNorm) and rows % size == 1:
        changes["data"] = experiment.data.model_copy(update={"drop_last": True})
    return replace(problem, experiment=experiment.model_copy(update=changes))


def _block(
    random: np.random.Generator, norms: tuple[type[LayerKind], ...], max_width: int
) -> list[LayerKind]:
    """A linear layer with what may follow it, then perhaps a residual block."""
    width = count(random, 1, max_width)
    block = [*_hidden(random, width, norms)]
    if random.random() < 0.4:
        inner = [*_hidden(random, count(random, 1, max_width), norms)]
        if random.random() < 0.5:
            inner.insert(0, _norm(random, norms))
        inner.append(Linear(out_features=width))
        block.append(Residual(layers=tuple(inner)))  # type: ignore[arg-type]
    return block


def _hidden(
    random: np.random.Generator, width: int, norms: tuple[type[LayerKind], ...]
) -> list[LayerKind]:
    layers: list[LayerKind] = [Linear(out_features=width, bias=bool(random.random() < 0.85))]
    if random.random() < 0.6:
        layers.append(_norm(random, norms))
    layers.append(Activation(function=random.choice(get_args(ActivationName))))
    if random.random() < 0.3:
        layers.append(Dropout(rate=float(random.uniform(0.02, 0.9))))
    return layers


def _norm(random: np.random.Generator, norms: tuple[type[LayerKind], ...]) -> LayerKind:
    kind = norms[int(random.integers(len(norms)))]
    eps = 1e-5 if random.random() < DEFAULT_EPS else real(random, *EPS)
    if kind is LayerNorm:
        return LayerNorm(eps=eps)
    momentum = 0.1 if random.random() < 0.5 else float(random.uniform(0, 0.99))
    return BatchNorm(eps=eps, momentum=momentum)
