"""Known differences of the layers, kind by kind: another function, epsilon, momentum, rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from twofold.parity.diagnosis.cause import Cause, at, changed_model, each_moment, seen, settings
from twofold.parity.ladder.reference import Moment
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import exact
from twofold.problem.problem import Problem
from twofold.problem.state import Array
from twofold.spec.experiment import Experiment
from twofold.spec.layers.activation import Activation
from twofold.spec.layers.batch_norm import BatchNorm
from twofold.spec.layers.dropout import Dropout
from twofold.spec.layers.kind import LayerKind
from twofold.spec.layers.normalization import Normalization
from twofold.spec.layers.residual import Residual
from twofold.spec.layers.sequence import kinds_in
from twofold.spec.model import Sequential, dropouts, has, numbered

ChangeLayer = Callable[[LayerKind], LayerKind]
OTHER_FUNCTIONS: Final = {
    "gelu": ("gelu_tanh",),
    "gelu_tanh": ("gelu",),
    "relu": ("leaky_relu", "gelu", "silu", "identity"),
    "leaky_relu": ("relu", "identity"),
    "elu": ("relu", "identity"),
}
OTHER_EPS: Final = (1e-6, 1e-5, 1e-3, 1e-12)


def of_layers(experiment: Experiment) -> Iterator[Cause]:
    """What a layer of each kind in the model may be in its place, but for dropout."""
    layers = list(kinds_in(experiment.model.layers))
    for function in dict.fromkeys(x.function for x in layers if isinstance(x, Activation)):
        for other in OTHER_FUNCTIONS.get(function, ("identity",)):
            words = f"activation {other} in place of {function}"
            yield with_layers(experiment, words, Activation, function=other)
    norms = [x for x in layers if isinstance(x, Normalization)]
    for kind, name in dict.fromkeys((type(x), x.words()) for x in norms):
        used = {x.eps for x in norms if isinstance(x, kind)}
        for eps in (eps for eps in OTHER_EPS if eps not in used):
            yield with_layers(experiment, f"eps {eps:g} in every {name}", kind, eps=eps)
    if norms:
        yield each_moment("the norms do not scale", _unscaled_norms)
    if any(isinstance(x, Residual) for x in layers):
        yield settings(
            "the residual blocks leave out what is added to them",
            model=without_residuals(experiment),
        )


def of_buffers(experiment: Experiment) -> Iterator[Cause]:
    """What the running statistics of batch norm may become."""
    if not has(experiment.model, BatchNorm):
        return
    layers = kinds_in(experiment.model.layers)
    used = {x.momentum for x in layers if isinstance(x, BatchNorm)}
    others = dict.fromkeys((*(round(1 - momentum, 12) for momentum in used), 0.01, 0.1))
    for momentum in (each for each in others if each not in used):
        words = f"momentum {momentum:g} in every batch_norm"
        yield with_layers(experiment, words, BatchNorm, momentum=momentum)
    yield each_moment("the running statistics stay as they were", _buffers_stay)


def without_dropout(experiment: Experiment) -> Cause:
    """Training without its masks."""
    return settings(
        "training runs in evaluation mode (no dropout)",
        model=changed_model(experiment.model, _no_dropout),
    )


def with_rate(experiment: Experiment, rate_of: Callable[[float], float]) -> Experiment:
    """The experiment with another rate in each dropout layer."""

    def change(layer: LayerKind) -> LayerKind:
        if not isinstance(layer, Dropout):
            return layer
        return layer.model_copy(update={"rate": rate_of(layer.rate)})

    return experiment.model_copy(update={"model": changed_model(experiment.model, change)})


def in_training_mode(experiment: Experiment) -> str | None:
    """How evaluation in training mode differs, in words; None where it does not."""
    if dropouts(experiment.model):
        return "with dropout"
    return "with the batch's statistics" if has(experiment.model, BatchNorm) else None


def with_layers(
    experiment: Experiment, words: str, kind: type[LayerKind], **values: object
) -> Cause:
    """Other values in every layer of a kind; the layers keep their names."""
    return settings(words, model=model_with(experiment, kind, **values))


def model_with(experiment: Experiment, kind: type[LayerKind], **values: object) -> Sequential:
    """The model with other values in every layer of a kind."""

    def change(layer: LayerKind) -> LayerKind:
        return layer.model_copy(update=values) if isinstance(layer, kind) else layer

    return changed_model(experiment.model, change)


def _no_dropout(layer: LayerKind) -> LayerKind:
    return Activation(function="identity") if isinstance(layer, Dropout) else layer


def without_residuals(experiment: Experiment) -> Sequential:
    """The model whose blocks stand in line, nothing added to what they give."""
    model = changed_model(experiment.model, lambda layer: layer)
    flat: list[LayerKind] = []
    for layer in model.layers:
        flat += layer.layers if isinstance(layer, Residual) else [layer]
    return model.model_copy(update={"layers": tuple(flat)})


def _unscaled_norms(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    """Every norm's weight acts as one."""
    placed = numbered(problem.experiment.model)
    norms = [each for each in placed if isinstance(each.layer, Normalization)]
    scales = {each.named("weight") for each in norms}
    parameters: dict[str, Array] = {
        name: np.ones_like(array) if name in scales else array
        for name, array in given.state.parameters.items()
    }
    return replace(seen(at(given, parameters), problem, arithmetic), state=given.state)


def _buffers_stay(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    del problem
    before = {name: exact(array, arithmetic) for name, array in given.state.buffers.items()}
    return replace(given, training=replace(given.training, buffers=before))
