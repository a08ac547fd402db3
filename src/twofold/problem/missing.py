"""Empty cells: refused, their rows dropped, or filled in with a number of the training rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from twofold.errors import DataError
from twofold.problem.description import Filled
from twofold.problem.state import Array
from twofold.problem.table import Table
from twofold.spec.data import Missing


def without_empty_rows(table: Table, rule: Missing) -> tuple[Table, int]:
    """The table without rows that the rule drops, and their number.

    Only `drop` drops rows; `mean` and `median` leave empty inputs for `filled_in`. Raises
    DataError for an empty cell that the rule refuses; a target is never filled in.
    """
    inputs, targets = np.isnan(table.inputs), _empty_targets(table)
    if rule == "drop":
        whole = np.logical_not(np.hstack([inputs, targets])).all(axis=1)
        if not whole.any():
            raise DataError(
                f"{table.where}: an empty cell in each of the {table.rows:,} rows, so that "
                f"data.missing = 'drop' leaves none{_most_empty(table, inputs)}; "
                "leave that column out with data.exclude, or fill in with 'mean' or 'median'"
            )
        return table.only(whole), int((~whole).sum())
    if targets.any():
        _refuse(table, "targets", targets, "targets are never filled in: set data.missing = 'drop'")
    if rule == "refuse" and inputs.any():
        _refuse(table, "inputs", inputs, "set data.missing = 'drop', 'mean' or 'median'")
    return table, 0


def filled_in(
    table: Table, rule: Missing, train_rows: npt.NDArray[np.int64]
) -> tuple[Array, tuple[Filled, ...]]:
    """The inputs with empty numbers filled in from the training rows, and what was filled.

    An empty cell in a column of text stays NaN: it is of no category.
    """
    empty = np.isnan(table.inputs)
    if not empty.any():
        return table.inputs, ()
    values, done = table.inputs.copy(), []
    for index in np.flatnonzero(empty.any(axis=0)):
        name, cells = table.column("inputs", int(index)), int(empty[:, index].sum())
        value = None
        if int(index) not in table.texts:
            known = values[train_rows, index][~empty[train_rows, index]]
            if known.size == 0:
                raise DataError(
                    f"{table.where}: inputs, column {name}: empty in all {len(train_rows):,} "
                    f"training rows, so it has no {rule}; leave it out with data.exclude"
                )
            value = float(np.mean(known) if rule == "mean" else np.median(known))
            values[empty[:, index], index] = value
        done.append(Filled(name, cells, value))
    return values, tuple(done)


def _empty_targets(table: Table) -> npt.NDArray[np.bool_]:
    """Which targets are empty, (rows, targets)."""
    targets = table.targets.reshape(table.rows, -1)
    if targets.dtype.kind == "U":
        return np.asarray(targets == "")
    return np.isnan(targets) if targets.dtype.kind == "f" else np.zeros(targets.shape, np.bool_)


def _refuse(table: Table, what: str, empty: npt.NDArray[np.bool_], way: str) -> None:
    row, column = (int(i) for i in np.argwhere(empty)[0])
    texts = table.targets.dtype.kind == "U" if what == "targets" else column in table.texts
    given = "nothing" if texts else "nan"
    allowed = "class labels" if texts and what == "targets" else "finite numbers"
    cells, rows = int(empty.sum()), int(empty.any(axis=1).sum())
    raise DataError(
        f"{table.where}: {what}, row {row} (counted from 0), column {table.column(what, column)}: "
        f"{given} given; allowed are {allowed}; {_cells(cells)} in {rows:,} of "
        f"{table.rows:,} rows{_most_empty(table, empty) if what == 'inputs' else ''}; {way}"
    )


def _cells(number: int) -> str:
    return f"{number:,} empty cell" + ("s" if number > 1 else "")


def _most_empty(table: Table, empty: npt.NDArray[np.bool_]) -> str:
    """The column with the most empty cells, where no row of it is filled."""
    index = int(np.argmax(empty.sum(axis=0)))
    if not empty[:, index].all():
        return ""
    return f", and column {table.column('inputs', index)} is empty in all"
