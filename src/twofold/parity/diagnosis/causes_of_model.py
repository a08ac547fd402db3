"""Known differences of the network and its arithmetic: activations, layouts, dropout, precision."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from twofold.parity.diagnosis.cause import (
    Cause,
    ChangeMoment,
    at,
    every_moment,
    moments,
    seen,
    settings,
    with_values,
)
from twofold.parity.ladder.reference import Moment, Reference
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.network import loss_and_gradients
from twofold.problem.problem import Problem, dropout_masks
from twofold.problem.state import bias_name, weight_name
from twofold.spec.experiment import Experiment


def of_model(experiment: Experiment) -> Iterator[Cause]:
    """Differences of the layers, their activation and dropout."""
    model = experiment.model
    others = {"gelu": ("gelu_tanh",), "gelu_tanh": ("gelu",), "relu": ("gelu", "silu", "identity")}
    for activation in others.get(model.activation, ("identity",)):
        words = f"activation {activation} in place of {model.activation}"
        yield settings(words, model__activation=activation)
    sizes = (model.in_features, *model.hidden, model.out_features)
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        if fan_in == fan_out:
            words = f"the square weight of layer {layer} is used without transposing it"
            yield moments(words, _transposed(layer))
    if model.bias:
        for layer in range(len(model.hidden) + 1):
            yield moments(f"layer {layer} has no bias", _without_bias(layer))
    if model.dropout > 0:
        yield settings("training runs in evaluation mode (no dropout)", model__dropout=0.0)
        yield moments("evaluation runs in training mode (with dropout)", _always_training)
        yield moments("kept units are not divided by the probability of keeping", _unscaled)


def _transposed(layer: int) -> ChangeMoment:
    """A square weight acts as its transpose."""

    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        turned = weight_name(layer)
        parameters = {n: a.T if n == turned else a for n, a in given.state.parameters.items()}
        return replace(seen(at(given, parameters), problem, arithmetic), state=given.state)

    return change


def _without_bias(layer: int) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        absent = bias_name(layer)
        parameters = {n: a * (n != absent) for n, a in given.state.parameters.items()}
        return replace(seen(at(given, parameters), problem, arithmetic), state=given.state)

    return change


def _always_training(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    del problem, arithmetic
    return replace(
        given, evaluation_logits=given.training.logits, evaluation_loss=given.training.loss
    )


def _unscaled(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    """Masks alone: what dropout at a rate near zero would divide by."""
    masks = dropout_masks(problem, given.state.step, given.batch.rows)
    plain = with_values(problem.experiment, {"model__dropout": 0.0})
    training = loss_and_gradients(plain, given.state.parameters, given.batch, masks, arithmetic)
    return replace(given, training=training)


MANTISSAS: Final = {
    "float32": {"TF32 (11 bits)": 11, "bfloat16 (8 bits)": 8},
    "mixed_bfloat16": {},
    "float64": {"float32 (24 bits)": 24, "TF32 (11 bits)": 11, "bfloat16 (8 bits)": 8},
}


# Rounding errors seldom use more of a worst-case bound; another formula usually does.


ROUNDING_SHARE: Final = 0.03


def of_precision(experiment: Experiment) -> Iterator[Cause]:
    """Coarser arithmetic than was asked for."""
    for words, bits in MANTISSAS[experiment.precision].items():
        yield Cause(f"arithmetic in {words}", _in_precision(bits), ROUNDING_SHARE)


def _in_precision(bits: int) -> Callable[[Reference], Reference]:
    def change(reference: Reference) -> Reference:
        coarse = replace(reference.arithmetic, unit_roundoff=2.0**-bits)
        widened = replace(reference, arithmetic=coarse)
        return every_moment(widened, lambda m, problem, arithmetic: seen(m, problem, arithmetic))

    return change
