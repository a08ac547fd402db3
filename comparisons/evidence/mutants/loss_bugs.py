"""Bugs of the losses."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from comparisons.evidence.mutants.hosts import Host, LossRule, Tensor
from comparisons.evidence.mutants.mutant import Mutant


def _cross_entropy_terms(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """-log p of each row's label (batch,)."""
    hot = host.one_hot(labels, logits.shape[1], logits)
    return -(host.log_softmax(logits) * hot).sum(-1)


def softmax_twice(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of probabilities taken for logits."""
    return _cross_entropy_terms(host, host.softmax(logits), labels).mean()


def summed(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """A sum over the batch."""
    return _cross_entropy_terms(host, logits, labels).sum()


def mean_over_classes(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """A mean over batch and classes."""
    hot = host.one_hot(labels, logits.shape[1], logits)
    return -(host.log_softmax(logits) * hot).mean()


def softmax_over_rows(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax along the batch."""
    hot = host.one_hot(labels, logits.shape[1], logits)
    return -(host.log_softmax(logits.T).T * hot).sum(-1).mean()


def smoothed(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """Label smoothing of 0.01 that nobody asked for."""
    hot = host.one_hot(labels, logits.shape[1], logits) * 0.99 + 0.01 / logits.shape[1]
    return -(host.log_softmax(logits) * hot).sum(-1).mean()


def smoothed_over_the_others(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """Label smoothing spread over the other classes alone."""
    classes = logits.shape[1]
    hot = host.one_hot(labels, classes, logits)
    target = 0.9 * hot + 0.1 * (1 - hot) / (classes - 1)
    return -(host.log_softmax(logits) * target).sum(-1).mean()


def not_smoothed(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """Label smoothing left out."""
    return _cross_entropy_terms(host, logits, labels).mean()


def shifted_labels(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """Labels counted from one."""
    return _cross_entropy_terms(host, logits, (labels + 1) % logits.shape[1]).mean()


def base_two(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """Bits in place of nats."""
    return _cross_entropy_terms(host, logits, labels).mean() / float(np.log(2))


def guarded_log(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """log(p + 1e-8)."""
    hot = host.one_hot(labels, logits.shape[1], logits)
    return -(host.xp.log(host.softmax(logits) + 1e-8) * hot).sum(-1).mean()


def warm_softmax(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """A temperature of 1.001."""
    return _cross_entropy_terms(host, logits / 1.001, labels).mean()


def ignored_class(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """Class 0 taken for padding."""
    kept = (labels != 0) * 1.0
    terms = _cross_entropy_terms(host, logits, labels)
    return (terms * host.xp.where(labels != 0, terms * 0 + 1, terms * 0)).sum() / kept.sum()


def configured_batch(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """A sum divided by the configured batch size, whatever the batch holds."""
    return _cross_entropy_terms(host, logits, labels).sum() / 8.0


def squared_probabilities(host: Host, logits: Tensor, labels: Tensor) -> Tensor:
    """The Brier score."""
    hot = host.one_hot(labels, logits.shape[1], logits)
    return ((host.softmax(logits) - hot) ** 2).sum(-1).mean()


def half_mse(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """A factor one half."""
    del host
    return 0.5 * ((logits - targets) ** 2).mean()


def summed_mse(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """A sum over batch and outputs."""
    del host
    return ((logits - targets) ** 2).sum()


def mse_summed_over_outputs(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """A mean over the batch alone."""
    del host
    return ((logits - targets) ** 2).sum(-1).mean()


def absolute_error(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """Absolute in place of squared errors."""
    return host.xp.abs(logits - targets).mean()


def root_mse(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """The root of the mean squared error."""
    return host.xp.sqrt(((logits - targets) ** 2).mean())


def broadcast_mse(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """(batch, 1) against (batch,): every output meets every row's target."""
    del host
    return ((logits[:, None, :] - targets[None, :, :]) ** 2).mean()


def summed_bce(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """A sum over the outputs."""
    return _bce_terms(host, logits, targets).sum(-1).mean()


def _bce_terms(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    soft = host.functions.softplus
    return targets * soft(-logits) + (1 - targets) * soft(logits)


def clamped_bce(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """Logarithms of a sigmoid that is clamped to [1e-7, 1 - 1e-7]."""
    p = host.xp.clip(host.functions.sigmoid(logits), 1e-7, 1 - 1e-7)
    return -(targets * host.xp.log(p) + (1 - targets) * host.xp.log(1 - p)).mean()


def guarded_bce(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """Logarithms of a sigmoid plus 1e-7, the guard that Keras uses."""
    p = host.functions.sigmoid(logits)
    one, other = host.xp.log(p + 1e-7), host.xp.log(1 - p + 1e-7)
    return -(targets * one + (1 - targets) * other).mean()


def weighted_bce(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """A weight of 1.1 for the positive class."""
    soft = host.functions.softplus
    return (1.1 * targets * soft(-logits) + (1 - targets) * soft(logits)).mean()


def sigmoid_twice(host: Host, logits: Tensor, targets: Tensor) -> Tensor:
    """Probabilities taken for logits."""
    return _bce_terms(host, host.functions.sigmoid(logits), targets).mean()


def loss_mutant(rule: LossRule, base: str, name: str) -> Mutant:
    """The mutant of a loss, described by the first line of its docstring."""
    assert rule.__doc__ is not None
    description = rule.__doc__.strip().splitlines()[0].rstrip(".")
    first = description[0].lower() if description[1].islower() else description[0]

    def plant(host: Host) -> Any:
        return host.loss(rule)

    return Mutant(name, "loss", first + description[1:], base, plant=plant)


MUTANTS: Final = (
    loss_mutant(softmax_twice, "classes", "softmax-twice"),
    loss_mutant(summed, "classes", "sum-for-mean"),
    loss_mutant(mean_over_classes, "classes", "mean-over-classes"),
    loss_mutant(softmax_over_rows, "classes", "softmax-over-the-batch"),
    loss_mutant(smoothed, "classes", "label-smoothing"),
    loss_mutant(smoothed_over_the_others, "classes, smoothed", "smoothing-over-the-others"),
    loss_mutant(not_smoothed, "classes, smoothed", "no-label-smoothing"),
    loss_mutant(shifted_labels, "classes", "shifted-labels"),
    loss_mutant(base_two, "classes", "bits-for-nats"),
    loss_mutant(guarded_log, "classes", "log-with-eps"),
    loss_mutant(warm_softmax, "classes", "temperature"),
    loss_mutant(ignored_class, "classes", "ignored-class"),
    loss_mutant(configured_batch, "classes", "configured-batch-size"),
    loss_mutant(squared_probabilities, "classes", "brier-score"),
    loss_mutant(half_mse, "outputs", "half-mse"),
    loss_mutant(summed_mse, "outputs", "mse-sum-for-mean"),
    loss_mutant(mse_summed_over_outputs, "outputs", "mse-mean-over-batch-alone"),
    loss_mutant(absolute_error, "outputs", "absolute-error"),
    loss_mutant(root_mse, "outputs", "root-mse"),
    loss_mutant(broadcast_mse, "outputs", "broadcast-mse"),
    loss_mutant(summed_bce, "binary", "bce-sum-over-outputs"),
    loss_mutant(clamped_bce, "binary", "bce-clamped"),
    loss_mutant(guarded_bce, "binary", "bce-log-with-eps"),
    loss_mutant(weighted_bce, "binary", "bce-positive-weight"),
    loss_mutant(sigmoid_twice, "binary", "sigmoid-twice"),
)
