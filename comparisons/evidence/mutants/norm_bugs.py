"""Bugs of norms and residual blocks: epsilons, momenta, axes, statistics, what is added."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any, Final
from unittest.mock import patch

from comparisons.evidence.mutants.hosts import Host, Tensor
from comparisons.evidence.mutants.mutant import Change, Mutant, Plant
from twofold.parity.diagnosis.cause import changed_model
from twofold.problem.problem import Problem
from twofold.spec.layers.batch_norm import BatchNorm
from twofold.spec.layers.kind import LayerKind
from twofold.spec.layers.layer_norm import LayerNorm
from twofold.spec.layers.residual import Residual

ROWS: Final = "classes, layer_norm"
BATCHES: Final = "classes, batch_norm"
FAR: Final = "classes, far from zero"
BLOCKS: Final = "classes, residual"


def norm(
    host: Host,
    layer: Any,
    x: Tensor,
    training: bool,
    *,
    mode: bool | None = None,
    other_axis: bool = False,
    in_mean: Callable[[float], float] = lambda _: 1.0,
    in_running: Callable[[float], float] = lambda rows: rows / (rows - 1),
    eps_outside: bool = False,
    scale: bool = True,
    shift: bool = True,
    through: bool = True,
    fast: bool = False,
    moves: bool = True,
) -> Tensor:
    """The correct norm, with a place for every bug.

    `in_mean` and `in_running` say by what a biased variance is multiplied, where it normalizes and
    where it moves the running one.
    """
    of_batches = host.is_batch_norm(layer)
    weight, bias = host.scale_and_shift(layer)
    eps = host.eps(layer)
    if of_batches and not (training if mode is None else mode):
        mean, variance = host.running(layer)
    else:
        axis = 0 if of_batches != other_axis else 1
        mean = x.mean(axis=axis, keepdims=True)
        if fast:
            variance = host.xp.clip((x * x).mean(axis=axis, keepdims=True) - mean * mean, 0.0)
        else:
            variance = ((x - mean) * (x - mean)).mean(axis=axis, keepdims=True)
        if of_batches and not other_axis and training and moves:
            rows = x.shape[0]
            host.move(layer, mean[0], variance[0] * in_running(rows))
        variance = variance * in_mean(x.shape[axis])
        if not through:
            mean, variance = host.detach(mean), host.detach(variance)
    root = host.xp.sqrt(variance) + eps if eps_outside else host.xp.sqrt(variance + eps)
    y = (x - mean) / root
    y = y * weight if scale else y + 0.0 * weight
    return y + bias if shift else y + 0.0 * bias


def planted(**places: Any) -> Plant:
    """Plant a norm with a bug in one of its places."""
    return lambda host: host.norm(partial(norm, **places))


def with_values(kind: type[LayerKind], **values: object) -> Change:
    """The session's layers of a kind have other values."""

    def change(layer: LayerKind) -> LayerKind:
        return layer.model_copy(update=values) if isinstance(layer, kind) else layer

    return lambda problem: _with_model(problem, changed_model(problem.experiment.model, change))


def with_block(change: Callable[[tuple[LayerKind, ...]], tuple[LayerKind, ...]]) -> Change:
    """The session has other layers in the place of each residual block, with the same names."""

    def changed(problem: Problem) -> Problem:
        model = changed_model(problem.experiment.model, lambda layer: layer)
        layers: list[LayerKind] = []
        for layer in model.layers:
            layers += change(layer.layers) if isinstance(layer, Residual) else (layer,)
        return _with_model(problem, model.model_copy(update={"layers": tuple(layers)}))

    return changed


def _with_model(problem: Problem, model: object) -> Problem:
    return replace(problem, experiment=problem.experiment.model_copy(update={"model": model}))


def _after_norm(block: tuple[LayerKind, ...]) -> tuple[LayerKind, ...]:
    """The normalized inputs are added, not the inputs themselves."""
    return (block[0], Residual.model_construct(layers=block[1:]))


def _before_last(block: tuple[LayerKind, ...]) -> tuple[LayerKind, ...]:
    """The sum is made before the block's last layer."""
    return (Residual.model_construct(layers=block[:-1]), block[-1])


def _norm_last(problem: Problem) -> Problem:
    """linear, activation, norm in place of linear, norm, activation."""
    model = changed_model(problem.experiment.model, lambda layer: layer)
    first, norm_layer, activation, *rest = model.layers
    swapped = (first, activation, norm_layer, *rest)
    return _with_model(problem, model.model_copy(update={"layers": swapped}))


def _zero_variance_at_first(host: Host) -> AbstractContextManager[Any]:
    executor = host.module("executor")
    original = executor.initial_buffers
    return patch.object(
        executor,
        "initial_buffers",
        lambda problem: {
            name: 0.0 * array if name.endswith("var") else array
            for name, array in original(problem).items()
        },
    )


def _buffers_not_restored(host: Host) -> AbstractContextManager[Any]:
    def load_state(original: Any, self: Any, state: Any) -> None:
        known = getattr(self, "_state", None) is not None or getattr(self, "_step", 0) > 0
        original(self, replace(state, buffers=self.state().buffers) if known else state)

    return host.executor("load_state", load_state)


def _mutant(name: str, description: str, plant: Plant, base: str = BATCHES) -> Mutant:
    return Mutant(name, "norms", description, base, plant=plant)


def _setting(
    name: str, description: str, change: Change, base: str, theme: str = "norms"
) -> Mutant:
    return Mutant(name, theme, description, base, change=change)


BY_ROWS: Final = (
    _setting(
        "layer-norm-eps-1e-6",
        "layer norm adds 1e-6 to the variance, Flax's default, not 1e-5",
        with_values(LayerNorm, eps=1e-6),
        ROWS,
    ),
    _mutant("layer-norm-unscaled", "layer norm leaves out its scale", planted(scale=False), ROWS),
    _mutant("layer-norm-unshifted", "layer norm leaves out its shift", planted(shift=False), ROWS),
    _mutant(
        "layer-norm-over-the-batch",
        "layer norm takes the statistics of each feature, not of each row",
        planted(other_axis=True),
        ROWS,
    ),
    _mutant(
        "layer-norm-unbiased",
        "layer norm divides by the unbiased deviation",
        planted(in_mean=lambda count: count / (count - 1)),
        ROWS,
    ),
    _mutant(
        "layer-norm-eps-outside",
        "eps is added to the deviation, not to the variance",
        planted(eps_outside=True),
        ROWS,
    ),
    _mutant(
        "layer-norm-statistics-detached",
        "no gradient flows through mean and variance of layer norm",
        planted(through=False),
        ROWS,
    ),
    _setting("norm-after-activation", "the norm stands after the activation", _norm_last, ROWS),
)
BY_BATCHES: Final = (
    _setting(
        "batch-norm-eps-1e-3",
        "batch norm adds 1e-3 to the variance, Keras' default, not 1e-5",
        with_values(BatchNorm, eps=1e-3),
        BATCHES,
    ),
    _setting(
        "batch-norm-momentum-swapped",
        "momentum 0.1 is taken for the weight of the old average",
        with_values(BatchNorm, momentum=0.9),
        BATCHES,
    ),
    _setting(
        "batch-norm-momentum-0.01",
        "Flax's default momentum, 0.99, where 0.9 is asked for",
        with_values(BatchNorm, momentum=0.01),
        BATCHES,
    ),
    _mutant("batch-norm-unscaled", "batch norm leaves out its scale", planted(scale=False)),
    _mutant("batch-norm-unshifted", "batch norm leaves out its shift", planted(shift=False)),
    _mutant(
        "batch-norm-over-features",
        "batch norm takes the statistics of each row, not of each feature",
        planted(other_axis=True),
    ),
    _mutant(
        "batch-norm-unbiased",
        "batch norm divides by the unbiased deviation",
        planted(in_mean=lambda rows: rows / (rows - 1)),
    ),
    _mutant(
        "batch-statistics-in-evaluation",
        "evaluation uses the statistics of its own batch",
        planted(mode=True),
    ),
    _mutant(
        "running-statistics-in-training",
        "training normalizes by the running statistics",
        planted(mode=False),
    ),
    _mutant("running-statistics-stand", "training leaves them as they are", planted(moves=False)),
    _mutant(
        "bessel-off-by-one",
        "the running variance averages sum / (n + 1)",
        planted(in_running=lambda rows: rows / (rows + 1)),
    ),
    _mutant(
        "bessel-of-the-configured-batch",
        "the running variance corrects each batch by the configured size",
        planted(in_running=lambda _: 8 / 7),
    ),
    _mutant(
        "batch-norm-eps-outside",
        "eps is added to the deviation, not to the variance",
        planted(eps_outside=True),
    ),
    _mutant(
        "batch-norm-statistics-detached",
        "no gradient flows through mean and variance of batch norm",
        planted(through=False),
    ),
    _mutant(
        "fast-variance",
        "mean(x^2) - mean(x)^2, where the mean is a thousand deviations",
        planted(fast=True),
        FAR,
    ),
    _mutant(
        "running-variance-starts-at-zero",
        "the running variance starts at zero, not one",
        _zero_variance_at_first,
    ),
    _mutant(
        "buffers-not-restored",
        "loading a state leaves the running statistics as they are",
        _buffers_not_restored,
    ),
)
RESIDUALS: Final = (
    _setting(
        "residual-left-out",
        "what enters the block is not added",
        with_block(lambda block: block),
        BLOCKS,
        "residuals",
    ),
    _setting(
        "residual-after-norm",
        "the normalized inputs are added, not the inputs",
        with_block(_after_norm),
        BLOCKS,
        "residuals",
    ),
    _setting(
        "residual-before-last-layer",
        "the inputs are added before the last layer of the block",
        with_block(_before_last),
        BLOCKS,
        "residuals",
    ),
)
MUTANTS: Final = (*BY_ROWS, *BY_BATCHES, *RESIDUALS)
CONTROLS: Final = (
    Mutant("control-layer-norm", "control", "layer norm written out", ROWS, plant=planted()),
    Mutant("control-batch-norm", "control", "batch norm written out", BATCHES, plant=planted()),
    Mutant("control-residual", "control", "no bug at all, residual blocks", BLOCKS),
    Mutant("control-far", "control", "no bug at all, inputs far from zero", FAR),
)
BIASED: Final = _mutant(
    "biased-running-variance",
    "the running variance averages the biased one, as Flax does: a known difference there",
    planted(in_running=lambda _: 1.0),
)
"""A bug in PyTorch alone, so that it is not in the catalogue."""
