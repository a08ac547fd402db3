"""Bugs of class weights, of the weight of positives, and of Huber's loss."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

from comparisons.evidence.mutants.bases import CLASS_WEIGHTS, POS_WEIGHT
from comparisons.evidence.mutants.hosts import Host, Tensor
from comparisons.evidence.mutants.loss_bugs import loss_mutant
from comparisons.evidence.mutants.mutant import Change, Mutant
from twofold.problem.problem import Problem

SMOOTHING: Final = 0.1
DELTA: Final = 0.5


def _like(host: Host, values: tuple[float, ...], like: Tensor) -> Tensor:
    """Numbers as a tensor of the dtype of `like`."""
    return host.xp.asarray(values, dtype=like.dtype)


def _weighted_terms(host: Host, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """w -log p of each row's label, and w (batch,)."""
    hot = host.one_hot(labels, logits.shape[1], logits)
    weights = (_like(host, CLASS_WEIGHTS, logits) * hot).sum(-1)
    return -weights * (host.log_softmax(logits) * hot).sum(-1), weights


def weighted_mean_over_rows(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """Weighted losses divided by the number of rows."""
    return _weighted_terms(host, logits, labels)[0].mean()


def normalised_weights(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """Class weights scaled to a mean of one, then a mean over the rows."""
    terms, _ = _weighted_terms(host, logits, labels)
    return terms.mean() / (sum(CLASS_WEIGHTS) / len(CLASS_WEIGHTS))


def no_class_weights(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """Class weights left out."""
    hot = host.one_hot(labels, logits.shape[1], logits)
    return -(host.log_softmax(logits) * hot).sum(-1).mean()


def inverse_class_weights(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """Divided by the class weights, as if they were frequencies."""
    hot = host.one_hot(labels, logits.shape[1], logits)
    weights = (hot / _like(host, CLASS_WEIGHTS, logits)).sum(-1)
    return -(weights * (host.log_softmax(logits) * hot).sum(-1)).sum() / weights.sum()


def _smoothed(host: Host, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Smoothed targets (batch, classes), class weights and the weights of labels (batch,)."""
    classes = logits.shape[1]
    hot = host.one_hot(labels, classes, logits)
    weights = _like(host, CLASS_WEIGHTS, logits)
    return (1 - SMOOTHING) * hot + SMOOTHING / classes, weights, (weights * hot).sum(-1)


def row_weights_on_smoothed(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """The whole smoothed row times the weight of its label."""
    target, _, own = _smoothed(host, logits, labels)
    return -(own * (target * host.log_softmax(logits)).sum(-1)).sum() / own.sum()


def divided_by_smoothed_weights(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """Divided by the smoothed weights, not by those of the labels."""
    target, weights, _ = _smoothed(host, logits, labels)
    spread = weights * target
    return -(spread * host.log_softmax(logits)).sum() / spread.sum()


def smoothing_without_weights(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """What smoothing spreads over the classes is not weighted."""
    target, weights, own = _smoothed(host, logits, labels)
    hot = host.one_hot(labels, logits.shape[1], logits)
    spread = (1 - SMOOTHING) * weights * hot + (target - (1 - SMOOTHING) * hot)
    return -(spread * host.log_softmax(logits)).sum() / own.sum()


def _bce(host: Host, logits: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    soft = host.functions.softplus
    return positive * soft(-logits) + negative * soft(logits)


def weight_on_negatives(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """The weight of positives on the negatives."""
    return _bce(host, logits, targets, _like(host, POS_WEIGHT, logits) * (1 - targets)).mean()


def weight_on_both(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """The weight of positives on both terms."""
    weights = _like(host, POS_WEIGHT, logits)
    return _bce(host, logits, weights * targets, weights * (1 - targets)).mean()


def positives_divided_by_weights(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """A weighted mean in place of the mean over elements."""
    positive = _like(host, POS_WEIGHT, logits) * targets
    terms = _bce(host, logits, positive, 1 - targets)
    return terms.sum() / (positive + 1 - targets).sum()


def no_pos_weight(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """The weight of positives left out."""
    return _bce(host, logits, targets, 1 - targets).mean()


def pos_weights_exchanged(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """Each output has the weight of the other."""
    weights = _like(host, POS_WEIGHT[::-1], logits)
    return _bce(host, logits, weights * targets, 1 - targets).mean()


def _huber(host: Host, logits: Tensor, targets: Tensor, delta: float) -> Tensor:
    error = host.xp.abs(logits - targets)
    return host.xp.where(error < delta, error * error / 2, delta * (error - delta / 2))


def huber_delta_one(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """The default delta of 1."""
    return _huber(host, logits, targets, 1.0).mean()


def smooth_l1(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """Smooth L1: Huber's loss divided by delta."""
    return _huber(host, logits, targets, DELTA).mean() / DELTA


def huber_without_half(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """No factor one half in Huber's loss."""
    return 2 * _huber(host, logits, targets, DELTA).mean()


def huber_unscaled_tail(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """Huber's tail without the factor delta."""
    error = host.xp.abs(logits - targets)
    return host.xp.where(error < DELTA, error * error / 2, error - DELTA / 2).mean()


def huber_near_delta(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """Huber's loss with a delta 1 % off."""
    return _huber(host, logits, targets, 1.01 * DELTA).mean()


def _shares_of_rows(host: Host) -> AbstractContextManager[Any]:
    """Parts weighted by their rows."""
    return patch.object(host.module("program"), "build_row_weights", lambda *_: None)


def _loss_settings(**values: object) -> Change:
    def change(problem: Problem) -> Problem:
        loss = problem.experiment.loss.model_copy(update=values)
        return replace(problem, experiment=problem.experiment.model_copy(update={"loss": loss}))

    return change


WEIGHTED: Final = "classes, weighted"
BOTH: Final = "classes, weighted and smoothed"
POSITIVES: Final = "binary, weighted"
HUBER: Final = "outputs, huber"

MUTANTS: Final = (
    loss_mutant(weighted_mean_over_rows, WEIGHTED, "weighted-mean-over-rows"),
    loss_mutant(normalised_weights, WEIGHTED, "weights-scaled-to-mean-one"),
    loss_mutant(no_class_weights, WEIGHTED, "no-class-weights"),
    loss_mutant(inverse_class_weights, WEIGHTED, "class-weights-inverted"),
    loss_mutant(row_weights_on_smoothed, BOTH, "smoothed-row-weighted-by-label"),
    loss_mutant(divided_by_smoothed_weights, BOTH, "divided-by-smoothed-weights"),
    loss_mutant(smoothing_without_weights, BOTH, "smoothing-not-weighted"),
    Mutant(
        "class-weight-off",
        "loss",
        "a class weight 0.1 % off",
        WEIGHTED,
        change=_loss_settings(class_weights=(0.25, 1.001, 3.0)),
    ),
    Mutant(
        "parts-weighted-by-rows",
        "micro-batches",
        "with class weights, parts are weighted by their rows",
        "classes, weighted, in parts",
        plant=_shares_of_rows,
    ),
    loss_mutant(weight_on_negatives, POSITIVES, "pos-weight-on-negatives"),
    loss_mutant(weight_on_both, POSITIVES, "pos-weight-on-both"),
    loss_mutant(positives_divided_by_weights, POSITIVES, "pos-weight-divided-by-weights"),
    loss_mutant(no_pos_weight, POSITIVES, "no-pos-weight"),
    loss_mutant(pos_weights_exchanged, POSITIVES, "pos-weights-exchanged"),
    loss_mutant(huber_delta_one, HUBER, "huber-delta-one"),
    loss_mutant(huber_near_delta, HUBER, "huber-delta-off"),
    loss_mutant(smooth_l1, HUBER, "smooth-l1"),
    loss_mutant(huber_without_half, HUBER, "huber-without-half"),
    loss_mutant(huber_unscaled_tail, HUBER, "huber-tail-unscaled"),
)
