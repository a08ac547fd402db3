"""Empty cells: refused, their rows dropped, or filled in with a number of the training rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twofold.errors import DataError
from twofold.problem.description import Filled
from twofold.problem.row_maps import let_go
from twofold.problem.state import Array
from twofold.problem.table import Table, pieces
from twofold.spec.data import Missing


def without_empty_rows(table: Table, rule: Missing) -> tuple[Table, int]:
    """The table without rows that the rule drops, and their number.

    Only `drop` drops rows; `mean` and `median` leave empty inputs for `filled_in`. Raises
    DataError for an empty cell that the rule refuses; a target is never filled in.
    """
    whole = rows_to_keep(table, rule)
    return (table, 0) if whole is None else (table.only(whole), int((~whole).sum()))


def rows_to_keep(table: Table, rule: Missing) -> npt.NDArray[np.bool_] | None:
    """Which rows stay, (rows,); None where the rule drops none.

    Raises DataError for an empty cell that the rule refuses, and where no row would stay.
    """
    inputs, targets = _Empty.of_inputs(table), _Empty.of(table.empty_targets())
    if rule == "drop":
        whole = np.asarray(~(inputs.rows | targets.rows))
        if not whole.any():
            raise DataError(
                f"{table.where}: an empty cell in each of the {table.rows:,} rows, so that "
                f"data.missing = 'drop' leaves none{_most_empty(table, inputs)}; "
                "leave that column out with data.exclude, or fill in with 'mean' or 'median'"
            )
        return whole
    if targets.rows.any():
        _refuse(table, "targets", targets, "targets are never filled in: set data.missing = 'drop'")
    if rule == "refuse" and inputs.rows.any():
        _refuse(table, "inputs", inputs, "set data.missing = 'drop', 'mean' or 'median'")
    return None


@dataclass(frozen=True, eq=False)
class _Empty:
    """Empty cells: their number in each column, the rows that have one, the columns of the first.

    `rows` bool (rows,), `cells` (columns,); `columns` are those empty in the first such row.
    """

    rows: npt.NDArray[np.bool_]
    cells: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]

    @classmethod
    def of(cls, empty: npt.NDArray[np.bool_]) -> _Empty:
        """Those of bool (rows, columns)."""
        rows = np.asarray(empty.any(axis=1))
        first = empty[int(np.argmax(rows))] if len(rows) else empty.any(axis=0)
        return cls(rows, empty.sum(axis=0), np.flatnonzero(first))

    @classmethod
    def of_inputs(cls, table: Table) -> _Empty:
        """Those of a table's inputs, looked at in pieces."""
        parts = []
        for rows in pieces(table.inputs):
            parts.append(cls.of(np.isnan(table.inputs[rows])))
            let_go(table.inputs)
        first = next((part for part in parts if part.rows.any()), parts[0])
        return cls(
            np.concatenate([part.rows for part in parts]),
            np.sum([part.cells for part in parts], axis=0),
            first.columns,
        )


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
    for index in map(int, np.flatnonzero(empty.any(axis=0))):
        done.append(fill_of(table, index, values[:, index], rule, train_rows))
        if done[-1].value is not None:
            values[empty[:, index], index] = done[-1].value
    return values, tuple(done)


def fill_of(
    table: Table, index: int, values: Array, rule: Missing, train_rows: npt.NDArray[np.int64]
) -> Filled:
    """What fills in an input column (rows,) that has empty cells.

    Raises DataError where it has no number in training, or numbers too large for their mean.
    """
    name, cells = table.column("inputs", index), int(np.isnan(values).sum())
    if index in table.texts:
        return Filled(name, cells, None)
    known = values[train_rows]
    known = known[~np.isnan(known)]
    if known.size == 0:
        raise DataError(
            f"{table.where}: inputs, column {name}: empty in all {len(train_rows):,} "
            f"training rows, so it has no {rule}; leave it out with data.exclude"
        )
    with np.errstate(over="ignore"):
        value = float(np.mean(known) if rule == "mean" else np.median(known))
    if not np.isfinite(value):
        raise DataError(
            f"{table.where}: inputs, column {name}: its {rule} is too large for float64, so it "
            "cannot fill in empty cells; scale the data down"
        )
    return Filled(name, cells, value)


def _refuse(table: Table, what: str, empty: _Empty, way: str) -> None:
    row, column = int(np.argmax(empty.rows)), int(empty.columns[0])
    texts = table.has_text_targets if what == "targets" else column in table.texts
    given = "nothing" if texts else "nan"
    allowed = "class labels" if texts and what == "targets" else "finite numbers"
    cells, rows = int(empty.cells.sum()), int(empty.rows.sum())
    raise DataError(
        f"{table.where}: {what}, row {row} (counted from 0), column {table.column(what, column)}: "
        f"{given} given; allowed are {allowed}; {_cells(cells)} in {rows:,} of "
        f"{table.rows:,} rows{_most_empty(table, empty) if what == 'inputs' else ''}; {way}"
    )


def _cells(number: int) -> str:
    return f"{number:,} empty cell" + ("s" if number > 1 else "")


def _most_empty(table: Table, empty: _Empty) -> str:
    """The column with the most empty cells, where no row of it is filled."""
    index = int(np.argmax(empty.cells))
    if empty.cells[index] < table.rows:
        return ""
    return f", and column {table.column('inputs', index)} is empty in all"
