"""Class labels: any texts or whole numbers become 0, 1, ...; their names are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from twofold.errors import DataError
from twofold.problem.state import Array
from twofold.problem.table import Table
from twofold.spec.limits import cut

FEWEST_ROWS_PER_CLASS: Final = 2


def numbered(table: Table, given: int | None) -> tuple[Array, tuple[str, ...]]:
    """Labels int64 (rows,) from 0, and the names of the classes 0, 1, ... in this order.

    `given` is model.out_features. Texts, and whole numbers that are not 0, 1, ... up to the number
    of classes, are numbered in sorted order. Raises DataError for labels that are neither, for
    more classes than `given`, and for one class.
    """
    values = _one_column(table)
    found, places = table.different_targets()
    classes = given or table.classes or len(found)
    if classes == 1:
        _refuse_one_class(given, table)
    if table.has_text_targets:
        if len(found) > classes:
            _refuse_more_classes(table, places >= classes, classes, len(found))
        return places.astype(np.int64), _padded([str(text) for text in found], classes)
    labels = _whole(table, values)
    outside = (labels < 0) | (labels >= classes)
    if not outside.any():
        names = ("False", "True") if values.dtype.kind == "b" else table.class_names
        return labels, _padded(names, classes)
    if len(found) != classes:
        _refuse_more_classes(table, outside, classes, len(found))
    if given is None and len(found) * FEWEST_ROWS_PER_CLASS > table.rows:
        _refuse_numbers_to_predict(table, len(found))
    return places.astype(np.int64), tuple(str(number) for number in np.unique(labels))


def binary(table: Table) -> tuple[Array, tuple[str, ...]] | None:
    """Two texts as the targets 0 and 1 (rows,), and the two; None for anything else."""
    if table.targets.ndim != 1 or not table.has_text_targets:
        return None
    found, labels = table.different_targets()
    return (labels, tuple(str(text) for text in found)) if len(found) == 2 else None


def _one_column(table: Table) -> Array:
    values = table.targets
    if values.ndim == 1:
        return values
    names = f", the columns {', '.join(table.target_names)}" if table.target_names else ""
    raise DataError(
        f"{table.where}: targets of shape {values.shape} given{names}; allowed are class labels of "
        "shape (rows,) for loss.kind = 'cross_entropy'"
    )


def _whole(table: Table, values: Array) -> Array:
    """The labels as int64. Raises DataError for fractions and for what is outside int64."""
    real = values.astype(np.float64)
    wrong = (real % 1 != 0) | (np.abs(real) >= 2.0**63)
    if not wrong.any():
        return values.astype(np.int64)
    row = int(np.argmax(wrong))
    what = "label " if real[row] % 1 == 0 else ""
    raise DataError(
        f"{table.where}: targets, row {row} (counted from 0): {what}{values[row]:g} given; allowed "
        "are whole class labels within 64 bits, or texts, for loss.kind = 'cross_entropy'; use "
        "loss.kind = 'mse' to predict numbers"
    )


def _padded(names: Sequence[str], classes: int) -> tuple[str, ...]:
    """A name for each class; those beyond the names are called by their number."""
    return (*names[:classes], *(str(number) for number in range(len(names), classes)))


def _refuse_more_classes(table: Table, outside: Array, classes: int, found: int) -> None:
    row = int(np.argmax(outside))
    label = cut(table.target(row))
    raise DataError(
        f"{table.where}: targets, row {row} (counted from 0): label {label} given; allowed is 0 to "
        f"{classes - 1} (model.out_features = {classes}), or {classes} different labels; "
        f"{found} found: set model.out_features to {found}, or leave it out"
    )


def _refuse_numbers_to_predict(table: Table, found: int) -> None:
    raise DataError(
        f"{table.where}: targets, column {table.column('targets', 0)}: {found:,} different whole "
        f"numbers in {table.rows:,} rows given; allowed are class labels, with "
        f"{FEWEST_ROWS_PER_CLASS} rows a class or more, for loss.kind = 'cross_entropy'; use "
        f"loss.kind = 'mse' to predict numbers, or set model.out_features = {found} to take them "
        "as labels"
    )


def _refuse_one_class(given: int | None, table: Table) -> None:
    """With one logit the softmax is 1: loss and gradients are zero, whatever the model does."""
    if given == 1:
        raise DataError(
            "model.out_features: 1 given with loss.kind = 'cross_entropy', where one class leaves "
            "nothing to learn; allowed is 2 or more, or loss.kind = 'bce_with_logits'"
        )
    raise DataError(
        f"{table.where}: targets, column {table.column('targets', 0)}: the label "
        f"{cut(table.target(0))} in all {table.rows:,} rows; allowed are 2 classes or "
        "more for loss.kind = 'cross_entropy'; name the column of the labels with "
        "data.target, add rows of the other classes, or set model.out_features to the number of "
        "classes that there are"
    )
