"""What a model's logits mean to a person: names of classes, or numbers in original units."""

from __future__ import annotations

import numpy as np

from twofold.errors import DataError
from twofold.problem.problem import Problem
from twofold.problem.state import Array


def answers(problem: Problem, logits: Array) -> Array:
    """The answers of logits (rows, out_features).

    cross_entropy: the name of the class with the largest logit (rows,), the first of several;
    bce_with_logits: the name of one of two classes (rows,), the second where the logit is above 0,
    or where no names are known the probabilities 1 / (1 + exp(-logit)); mse and huber: numbers in
    the target's own units, float64. Raises DataError for logits that are not finite.
    """
    if not np.isfinite(logits).all():
        row = int(np.argwhere(~np.isfinite(logits))[0][0])
        raise DataError(f"logits[{row}]: not finite, so there is no answer; see `twofold parity`")
    loss, known = problem.experiment.loss.kind, problem.description
    if loss == "cross_entropy":
        names = known.classes or tuple(str(label) for label in range(problem.out_features))
        return np.asarray(np.array(names)[np.argmax(logits, axis=1)])
    if loss == "bce_with_logits":
        if known.classes:
            return np.asarray(np.array(known.classes)[(logits[:, 0] > 0).astype(np.int64)])
        exact = logits.astype(np.float64)
        return np.asarray(np.exp(-np.logaddexp(0.0, -exact)))
    scaling = known.target_scaling
    return logits.astype(np.float64) if scaling is None else scaling.original(logits)
