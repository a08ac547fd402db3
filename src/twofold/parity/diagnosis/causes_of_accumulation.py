"""Known differences of micro-batches: the parts' weights, what is lost between them, their masks.

The right oracle takes the whole batch at once; here each part's mean loss and its gradients are
evaluated by themselves, with their own bounds, and added up the wrong way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from twofold.parity.diagnosis.cause import Cause, ChangeMoment, each_moment, with_values
from twofold.parity.ladder.reference import Moment
from twofold.parity.oracle.accumulation import SHARE_ROUNDINGS
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded, scale, total
from twofold.parity.oracle.layers.applied import Masks
from twofold.parity.oracle.network import LossAndGradients, loss_and_gradients
from twofold.parity.oracle.optimizers import update
from twofold.problem.micro_batches import Part, parts_of
from twofold.problem.problem import Batch, Problem, dropout_masks
from twofold.spec.experiment import Experiment
from twofold.spec.losses import row_weights
from twofold.spec.model import dropouts

Parts = tuple[Part, ...]
Weigh = Callable[[Parts], Sequence[float]]
MasksOf = Callable[[Problem, Moment, Parts], Sequence[Masks]]


def _only(kept: int) -> Weigh:
    """One part's share, nothing of the others."""
    return lambda parts: [part.share * (part is parts[kept]) for part in parts]


def _without(lost: int) -> Weigh:
    """The shares of all parts but one."""
    return lambda parts: [part.share * (part is not parts[lost]) for part in parts]


def _mean_without_last(parts: Parts) -> Sequence[float]:
    kept = parts[-1].start
    return [(part.stop - part.start) / kept * (part is not parts[-1]) for part in parts]


WEIGHTS: Final[dict[str, Weigh]] = {
    "the parts' means are added without their shares": lambda parts: [1.0] * len(parts),
    "only the last part is left": _only(-1),
    "only the last part is left, as if it were the whole batch": lambda parts: [
        float(part is parts[-1]) for part in parts
    ],
    "the last part is left out": _without(-1),
    "the last part is left out, the mean is over the others": _mean_without_last,
    "the first part is left out": _without(0),
}
UNEQUAL: Final[dict[str, Weigh]] = {
    "each part counts as much as any other, though they are unequal": lambda parts: [
        1.0 / len(parts) for _ in parts
    ],
    "every part is taken for one as large as the first": lambda parts: [
        parts[0].share for _ in parts
    ],
}


def of_accumulation(experiment: Experiment) -> Iterator[Cause]:
    """What adding up micro-batches may make of the loss and the gradients alike."""
    if experiment.training.micro_batches == 1:
        return
    for words, weigh in _weights(experiment).items():
        yield each_moment(words, partial(_weighted, weigh=weigh))
    if _may_be_unequal(experiment):
        yield each_moment("the rows that equal parts leave over are dropped", _equal_parts_alone)
    if dropouts(experiment.model):
        words = "every part has the masks of the first rows"
        yield each_moment(words, _with_masks(_of_first_rows))
        words = "each part has the masks of a step of its own (the parts count as steps)"
        yield each_moment(words, _with_masks(_of_own_steps))


def of_accumulated_gradients(experiment: Experiment) -> Iterator[Cause]:
    """What adding up micro-batches may make of the gradients, where the loss is right."""
    if experiment.training.micro_batches == 1:
        return
    for words, weigh in _weights(experiment).items():
        change = partial(_weighted, weigh=weigh, with_loss=False)
        yield each_moment(f"{words} (in the gradients alone)", change)


def of_told_loss(experiment: Experiment) -> Iterator[Cause]:
    """The loss that a step tells, where the gradients are right."""
    if experiment.training.micro_batches == 1:
        return
    for words in ("only the last part is left", "the parts' means are added without their shares"):
        change = partial(_weighted, weigh=WEIGHTS[words], with_gradients=False)
        yield each_moment(f"{words} (in the loss that is told alone)", change)
    words = "only the last part is left, as if it were the whole batch"
    change = partial(_weighted, weigh=WEIGHTS[words], with_gradients=False)
    yield each_moment("the loss that is told is the last part's own", change)


OF_ROWS: Final[dict[str, Weigh]] = {
    "each part counts by its rows, not by their weights": lambda parts: [
        (part.stop - part.start) / parts[-1].stop for part in parts
    ],
}


def _weights(experiment: Experiment) -> dict[str, Weigh]:
    loss = experiment.loss
    if loss.kind == "cross_entropy" and loss.class_weights is not None:
        return {**OF_ROWS, **_weights_of_rows(experiment)}
    return _weights_of_rows(experiment)


def _weights_of_rows(experiment: Experiment) -> dict[str, Weigh]:
    if not _may_be_unequal(experiment):
        return WEIGHTS
    size = experiment.data.batch_size
    configured = {
        "each part's share is one of the configured batch size": lambda parts: [
            (part.stop - part.start) / size for part in parts
        ]
    }
    return {**WEIGHTS, **UNEQUAL, **({} if experiment.data.drop_last else configured)}


def _may_be_unequal(experiment: Experiment) -> bool:
    """Whether some batch may fall into parts of more than one size."""
    data = experiment.data
    return not data.drop_last or data.batch_size % experiment.training.micro_batches > 0


def _weighted(
    given: Moment,
    problem: Problem,
    arithmetic: Arithmetic,
    *,
    weigh: Weigh,
    with_loss: bool = True,
    with_gradients: bool = True,
) -> Moment:
    """The parts added up with other weights; one alone is the batch and has no share."""
    parts = _parts(given, problem)
    if len(parts) == 1:
        return given
    each = _evaluated(given, problem, parts, _of_own_rows(problem, given, parts), arithmetic)
    summed = _added(each, weigh(parts), arithmetic)
    right = given.training
    changed = LossAndGradients(
        right.logits,
        summed.loss if with_loss else right.loss,
        summed.gradients if with_gradients else right.gradients,
    )
    return _with_training(given, problem, changed, arithmetic)


def _with_masks(masks_of: MasksOf) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        parts = _parts(given, problem)
        masks = masks_of(problem, given, parts)
        each = _evaluated(given, problem, parts, masks, arithmetic)
        summed = _added(each, [part.share for part in parts], arithmetic)
        changed = replace(summed, logits=given.training.logits)
        return _with_training(given, problem, changed, arithmetic)

    return change


def _of_own_rows(problem: Problem, given: Moment, parts: Parts) -> list[Masks]:
    masks = dropout_masks(problem, given.state.step, given.batch.rows)
    return [tuple(mask[part.rows] for mask in masks) for part in parts]


def _of_first_rows(problem: Problem, given: Moment, parts: Parts) -> list[Masks]:
    masks = dropout_masks(problem, given.state.step, given.batch.rows)
    return [tuple(mask[: part.stop - part.start] for mask in masks) for part in parts]


def _of_own_steps(problem: Problem, given: Moment, parts: Parts) -> list[Masks]:
    first = given.state.step * problem.experiment.training.micro_batches
    return [
        dropout_masks(problem, first + place, part.stop - part.start)
        for place, part in enumerate(parts)
    ]


def _equal_parts_alone(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    """As many rows as equal parts take (`reshape(parts, rows // parts, ...)`), their mean."""
    parts = len(_parts(given, problem))
    kept = slice(0, given.batch.rows // parts * parts)
    masks = dropout_masks(problem, given.state.step, given.batch.rows)
    training = loss_and_gradients(
        problem.experiment,
        given.state,
        _rows(given.batch, kept),
        tuple(mask[kept] for mask in masks),
        arithmetic,
    )
    changed = replace(training, logits=given.training.logits)
    return _with_training(given, problem, changed, arithmetic)


def _parts(given: Moment, problem: Problem) -> Parts:
    weights = row_weights(problem.experiment.loss, given.batch.targets)
    return parts_of(given.batch.rows, problem.experiment.training.micro_batches, weights)


def _rows(batch: Batch, rows: slice) -> Batch:
    return Batch(batch.inputs[rows], batch.targets[rows])


def _evaluated(
    given: Moment,
    problem: Problem,
    parts: Parts,
    masks: Sequence[Masks],
    arithmetic: Arithmetic,
) -> list[LossAndGradients]:
    """Each part by itself: the mean loss over its rows, and the gradients of that."""
    whole = with_values(problem.experiment, {"training__micro_batches": 1})
    return [
        loss_and_gradients(whole, given.state, _rows(given.batch, part.rows), own, arithmetic)
        for part, own in zip(parts, masks, strict=True)
    ]


def _added(
    each: Sequence[LossAndGradients], weights: Sequence[float], arithmetic: Arithmetic
) -> LossAndGradients:
    """The weighted sums; the logits stay the first part's, for the caller to replace."""
    gradients = {
        name: _sum([one.gradients[name] for one in each], weights, arithmetic)
        for name in each[0].gradients
    }
    loss = _sum([one.loss for one in each], weights, arithmetic)
    return LossAndGradients(each[0].logits, loss, gradients)


def _sum(terms: Sequence[Bounded], weights: Sequence[float], arithmetic: Arithmetic) -> Bounded:
    """A weighted sum in any order; a term of weight zero is left out, some are not."""
    kept = [
        scale(term, weight, SHARE_ROUNDINGS, arithmetic)
        for term, weight in zip(terms, weights, strict=True)
        if weight
    ]
    stacked = Bounded(np.stack([a.value for a in kept]), np.stack([a.bound for a in kept]))
    return total(stacked, 0, arithmetic)


def _with_training(
    given: Moment, problem: Problem, training: LossAndGradients, arithmetic: Arithmetic
) -> Moment:
    """The moment with another loss and gradients, and the step that follows from them."""
    after = update(problem.experiment, given.state, training.gradients, arithmetic)
    return replace(given, training=training, after=after)
