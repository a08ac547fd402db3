"""The evaluation metric: test logits within their bounds, and the metric that these allow.

A prediction may differ between correct engines only where the oracle's bounds leave it undecided;
the metric's interval is what all decisions within the bounds give.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from twofold.engines.session import Session
from twofold.parity.judging.comparison import compare, not_finite
from twofold.parity.judging.subject import Subject
from twofold.parity.judging.verdict import Rung
from twofold.parity.ladder.steplocked import worse_of
from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.parity.oracle.bounded import Bounded
from twofold.parity.oracle.network import forward
from twofold.problem import metrics
from twofold.problem.problem import Batch, Problem
from twofold.problem.state import Array
from twofold.spec.experiment import Experiment

NAME: Final = "evaluation metric"
MOST_ROWS: Final = 1024
UNIT: Final = float(np.finfo(np.float64).eps) / 2

Interval = tuple[float, float]


@np.errstate(over="ignore", invalid="ignore")  # beyond the range a bound is infinite or NaN
def evaluation_metric_rung(subject: Subject) -> Rung:
    """Logits and metric of the test rows, from the state that the session has come to.

    Without test rows the first training rows serve; at most MOST_ROWS of either.
    """
    reference = subject.reference
    experiment, loss = reference.problem.experiment, reference.problem.experiment.loss.kind
    rows, words = rows_to_evaluate(reference.problem)
    state = subject.session.state()
    spoilt = not_finite(state)
    if spoilt is not None:
        return subject.rung(NAME, spoilt)
    computed = logits_in_batches(subject.session, rows.inputs)
    allowed = forward(experiment, state, rows.inputs, None, reference.arithmetic)
    comparison = compare({"logits": computed}, {"logits": allowed}, reference.arithmetic)
    if not comparison.within:
        return subject.rung(NAME, comparison)
    if metrics.METRIC_OF_LOSS[loss] == "R^2" and np.any(np.ptp(rows.targets, axis=0) == 0):
        words += "; R^2 has no value, for targets are all equal in one column: logits alone judged"
        return subject.rung(NAME, replace(comparison, note=words))
    name = metrics.METRIC_OF_LOSS[loss]
    metric = metrics.metric_of(loss, computed, rows.targets)
    low, high = metric_interval(experiment, allowed, rows.targets)
    if not (np.isfinite(low) and np.isfinite(high)):
        words += f"; the bounds leave {name} open: logits alone judged"
        return subject.rung(NAME, replace(comparison, note=words))
    of_metric = compare(  # the metric is a float64 number in either precision
        {name: np.asarray(metric)}, {name: _bounded(low, high)}, arithmetic_for("float64")
    )
    judged = worse_of(comparison, of_metric)
    words = f"{name} {metric:.4f}, allowed {low:.4f} to {high:.4f}, {words}"
    return subject.rung(NAME, replace(judged, note=words))


def rows_to_evaluate(problem: Problem) -> tuple[Batch, str]:
    """The rows whose metric is judged, and what they are in words."""
    rows, kind = (problem.test, "test") if problem.test.rows else (problem.train, "training")
    count = min(rows.rows, MOST_ROWS)
    words = f"{count:,} {kind} {'row' if count == 1 else 'rows'}"
    if count < rows.rows:
        words += f" of {rows.rows:,}"
    return Batch(rows.inputs[:count], rows.targets[:count]), words


def logits_in_batches(session: Session, inputs: Array) -> Array:
    """Logits of all rows, in pieces of the experiment's batch size.

    The last piece reaches back to be whole, so that an engine that compiles has seen its shape.
    """
    size = session.problem.experiment.data.batch_size
    parts = [session.logits(inputs[i : i + size]) for i in range(0, len(inputs) - size + 1, size)]
    rest = len(inputs) - size * len(parts)
    if rest:
        parts.append(session.logits(inputs[-size:])[-rest:])
    return np.concatenate(parts)


def metric_interval(experiment: Experiment, logits: Bounded, targets: Array) -> Interval:
    """The least and the largest metric that logits (batch, out_features) within bounds may get."""
    loss = experiment.loss.kind
    if loss == "cross_entropy":
        return _accuracy_interval(logits, targets)
    if loss == "bce_with_logits":
        return _binary_accuracy_interval(logits, targets)
    return _r_squared_interval(logits, targets)


def _accuracy_interval(logits: Bounded, labels: Array) -> Interval:
    """Certainly and possibly right rows; the first of equal logits wins, as in `accuracy`."""
    low, high = logits.value - logits.bound, logits.value + logits.bound
    rows = np.arange(len(labels))
    before = np.arange(low.shape[1]) < labels[:, None]  # (batch, classes)
    own_low, own_high = low[rows, labels][:, None], high[rows, labels][:, None]
    beats = np.where(before, own_low > high, own_low >= high)
    may_beat = np.where(before, own_high > low, own_high >= low)
    beats[rows, labels] = True
    may_beat[rows, labels] = True
    return float(np.mean(beats.all(axis=1))), float(np.mean(may_beat.all(axis=1)))


def _binary_accuracy_interval(logits: Bounded, targets: Array) -> Interval:
    """Elements whose sign is certain, and those whose sign may be right."""
    positive = targets > 0.5
    surely, maybe = logits.value - logits.bound > 0, logits.value + logits.bound > 0
    right = np.where(positive, surely, ~maybe)
    may_be_right = np.where(positive, maybe, ~surely)
    return float(np.mean(right)), float(np.mean(may_be_right))


def _r_squared_interval(logits: Bounded, targets: Array) -> Interval:
    """1 - residual / total with each residual at its ends, and `r_squared`'s own roundings.

    That function works in float64: the sums of n squares are off by gamma_{n+2} at most, the
    mean by gamma_{n+1} of the largest target, which moves the total sum of squares.
    """
    wanted = targets.astype(logits.value.dtype)
    distance = np.abs(wanted - logits.value)  # (batch, out_features)
    least = (np.maximum(distance - logits.bound, 0) ** 2).sum(axis=0)  # (out_features,)
    most = ((distance + logits.bound) ** 2).sum(axis=0)
    # Twice n + 4 roundings: the oracle's own are the engine's at most.
    share = 2 * (len(targets) + 4) * UNIT
    centred = np.abs(wanted - wanted.mean(axis=0))
    shift = share * np.abs(wanted).max(axis=0)
    total = (centred**2).sum(axis=0)
    total_error = share * total + (2 * centred * shift + shift**2).sum(axis=0)
    worst = most * (1 + share) / np.maximum(total - total_error, np.finfo(np.float64).tiny)
    best = least * (1 - share) / (total + total_error)
    slack = share * (1 + worst)
    return float(np.mean(1 - worst - slack)), float(np.mean(1 - best + slack))


def _bounded(low: float, high: float) -> Bounded:
    """An interval as a midpoint and a radius that covers both ends."""
    middle = low + (high - low) / 2
    radius = max(high - middle, middle - low)
    if radius > 0:
        radius = float(np.nextafter(radius, np.inf)) + 2 * UNIT * abs(middle)
    return Bounded(np.asarray(middle, np.longdouble), np.asarray(radius))
