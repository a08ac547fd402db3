"""Input columns that tell the target alone: often an index, an identifier or the target itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from twofold.problem.row_maps import let_go
from twofold.problem.state import Array
from twofold.problem.table import Table

CHANCE: Final = 1e-3
"""A column is named only where one at random would tell the labels more seldom than this."""
ROUNDING: Final = 1e-9
FEW_ROWS: Final = 1000


def telling_columns(table: Table, targets: Array) -> tuple[str, ...]:
    """The columns whose values alone tell every row's target.

    Of labels (rows,): sorted by the column, each class is one run and no value is of two classes;
    for text, each text is of one class. Of numbers (rows, targets): the column is a target but for
    scale and shift. A table so small that this happens by chance names none.
    """
    if targets.ndim == 2 and np.isin(targets, (0.0, 1.0)).all() and targets.shape[1] == 1:
        targets = targets[:, 0].astype(np.int64)
    columns = range(table.inputs.shape[1])
    if targets.ndim == 1:
        if _log_chance_of_runs(targets) + math.log(table.inputs.shape[1]) > math.log(CHANCE):
            return ()
        told = [_told(_tells_labels, table, index, targets) for index in columns]
    else:
        told = [_told(_is_a_target, table, index, targets) for index in columns]
    names = table.input_names or tuple(f"column {index}" for index in range(len(told)))
    return tuple(name for name, tells in zip(names, told, strict=True) if tells)


def _told(
    tells: Callable[[Table, int, Array], bool], table: Table, index: int, targets: Array
) -> bool:
    found = tells(table, index, targets)
    let_go(table.inputs)
    return found


def _log_chance_of_runs(labels: Array) -> float:
    """Natural logarithm of the share of row orders in which each class is one run."""
    counts = np.unique(labels, return_counts=True)[1]
    arrangements = math.lgamma(len(labels) + 1) - sum(math.lgamma(n + 1) for n in counts.tolist())
    return math.lgamma(len(counts) + 1) - arrangements


def _tells_labels(table: Table, index: int, labels: Array) -> bool:
    values = table.inputs[:, index]
    known = ~np.isnan(values)
    values, labels = values[known], labels[known]
    text, few = index in table.texts, max(1, len(labels) // FEW_ROWS)
    # A column that does not tell some rows does not tell them all, and most fail here at once.
    if not _runs(values[::few], labels[::few], text) or not _runs(values, labels, text):
        return False
    if len(np.unique(labels)) < 2:
        return False
    return not text or len(np.unique(values)) * 2 <= len(labels)


def _runs(values: Array, labels: Array, text: bool) -> bool:
    """Whether each value is of one class, and unless text each class one run of the values."""
    groups, place = np.unique(values, return_inverse=True)
    first = np.zeros(len(groups), dtype=np.int64)
    first[place] = labels  # one label of each value
    if not np.array_equal(first[place], labels):
        return False
    return text or int((np.diff(first) != 0).sum()) == len(np.unique(labels)) - 1


def _is_a_target(table: Table, index: int, targets: Array) -> bool:
    """Whether a column and one of the targets are the same line, up to rounding."""
    values = table.inputs[:, index]
    if index in table.texts or len(values) < 3 or not np.isfinite(values).all():
        return False
    column = _centred(values)
    for target in targets.T:
        other = _centred(target)
        if column is None or other is None:
            continue
        rest = other - (column @ other) * column
        if float(rest @ rest) <= ROUNDING**2 * len(values):
            return True
    return False


def _centred(values: Array) -> Array | None:
    """Values about their mean with unit length; None where they are all alike."""
    largest = float(np.abs(values).max())
    if largest == 0 or values.max() == values.min():
        return None
    scaled = values / largest
    about = scaled - scaled.mean()
    return np.asarray(about / np.sqrt(about @ about))
