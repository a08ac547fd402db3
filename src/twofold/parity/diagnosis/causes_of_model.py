"""Known differences of the network and its arithmetic: activations, layouts, dropout, precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from twofold.parity.diagnosis.cause import (
    Cause,
    ChangeMoment,
    at,
    each_moment,
    every_moment,
    seen,
)
from twofold.parity.diagnosis.causes_of_layers import (
    in_training_mode,
    of_layers,
    with_rate,
    without_dropout,
)
from twofold.parity.ladder.reference import Moment, Reference
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.network import loss_and_gradients
from twofold.problem.problem import Problem, dropout_masks
from twofold.spec.experiment import Experiment
from twofold.spec.layers.sequence import Placed
from twofold.spec.model import dropouts, numbered


def of_model(experiment: Experiment) -> Iterator[Cause]:
    """Differences of the layers, their activation and dropout."""
    yield from of_layers(experiment)
    with_parameters = numbered(experiment.model)
    for each in with_parameters:
        if is_square(each):
            words = f"the square weight of layer {each.number} is used without transposing it"
            yield each_moment(words, _transposed(each.named("weight")))
    for each in with_parameters:
        if each.named("bias") in each.parameter_shapes:
            yield each_moment(f"layer {each.number} has no bias", _without_bias(each.named("bias")))
    if dropouts(experiment.model):
        yield without_dropout(experiment)
    mode = in_training_mode(experiment)
    if mode is not None:
        yield each_moment(f"evaluation runs in training mode ({mode})", _always_training)
    if dropouts(experiment.model):
        yield each_moment("kept units are not divided by the probability of keeping", _unscaled)


def is_square(each: Placed) -> bool:
    """Whether a layer has a weight that can be transposed unseen."""
    shape = each.parameter_shapes[each.named("weight")]
    return len(shape) == 2 and shape[0] == shape[1]


def _transposed(turned: str) -> ChangeMoment:
    """A square weight acts as its transpose."""

    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        parameters = {n: a.T if n == turned else a for n, a in given.state.parameters.items()}
        return replace(seen(at(given, parameters), problem, arithmetic), state=given.state)

    return change


def _without_bias(absent: str) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
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
    plain = with_rate(problem.experiment, lambda _: 0.0)
    training = loss_and_gradients(plain, given.state, given.batch, masks, arithmetic)
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
