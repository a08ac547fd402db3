"""A problem whose rows lie in files that are mapped into memory: for tables larger than memory.

The table is read in pieces into a file, column after column. What is learned of the training rows
is learned there, one column at a time; then the rows are written as training takes them. Both go
the way of `twofold.problem.data.prepare`, so that every bit is the same. In memory are a few
numbers for each row (its target, its place in the order, one column), never all columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from twofold.problem import row_store
from twofold.problem.categories import Encoded, described, encoded_as, seen_texts
from twofold.problem.description import Categories, Description, Filled
from twofold.problem.fitting import checked, resolved_for, targets_of
from twofold.problem.missing import fill_of, rows_to_keep
from twofold.problem.row_maps import let_go
from twofold.problem.row_store import Prepared, RowWriter
from twofold.problem.scaling import Standard, at_once, cast, one_by_one
from twofold.problem.sources import opened_table
from twofold.problem.splits import Rows, split
from twofold.problem.state import Array
from twofold.problem.table import Table, pieces
from twofold.problem.tables_in_pieces import TableInPieces
from twofold.problem.telling import telling_columns
from twofold.spec.data import Data
from twofold.spec.experiment import Experiment


def prepared(experiment: Experiment) -> Prepared:
    """The rows of an experiment's table in mapped files, written at the first time.

    Raises what `twofold.problem.data.prepare` does, and DataError where the cache folder cannot be
    written.
    """
    with opened_table(experiment.data) as file:
        folder = row_store.folder_of(experiment, file.path)
        if not folder.is_dir():
            labels = experiment.loss.kind in ("cross_entropy", "bce_with_logits")
            with row_store.new_folder(folder) as new:
                table = TableInPieces(file, labels).written(new / "columns")
                _write(experiment, table, new)
    return row_store.read(folder)


def _write(experiment: Experiment, table: Table, folder: Path) -> None:
    """Write the rows of a table as training takes them, and what was learned."""
    table, dropped = _without_empty_rows(checked(table), experiment.data)
    found = targets_of(experiment, table)
    rows = split(experiment, table.rows)
    telling = telling_columns(table, found.values)
    columns = _Columns.of(experiment, table, rows)
    first = columns.encoded(table, slice(0, 0))
    embedded = columns.categories if experiment.data.categorical == "embedding" else ()
    resolved_for(experiment, table.where, (len(first.names), found.columns), embedded)
    targets, target_scaling = found.scaled(experiment, rows.train)
    with RowWriter(folder, rows) as writer:
        for part in pieces(table.inputs):
            writer.write(part, columns.as_trained(table, part), targets[part])
    row_store.write_about(
        folder,
        rows,
        Description(
            inputs=first.names,
            targets=table.target_names,
            classes=found.classes,
            input_scaling=None if columns.standard is None else columns.standard.scaling(),
            target_scaling=target_scaling,
            dropped_rows=dropped,
            filled=columns.filled,
            one_hot=columns.categories if experiment.data.categorical == "one_hot" else (),
            embedded=embedded,
            telling=telling,
        ),
    )


def _without_empty_rows(table: Table, data: Data) -> tuple[Table, int]:
    """The table without the rows that data.missing drops; its file is written over."""
    whole = rows_to_keep(table, data.missing)
    if whole is None or whole.all():
        return table, 0
    kept = int(whole.sum())
    for index in range(table.inputs.shape[1]):
        table.inputs[:kept, index] = np.array(table.inputs[:, index])[whole]
        let_go(table.inputs)
    return table.only_first(kept, table.targets[whole]), table.rows - kept


@dataclass(frozen=True, eq=False)
class _Columns:
    """What was learned of each input column: its fill, its categories, how it is standardized."""

    experiment: Experiment
    filled: tuple[Filled, ...]
    fills: dict[int, float]
    seen: dict[int, Array]
    categories: tuple[Categories, ...]
    standard: Standard | None

    @classmethod
    def of(cls, experiment: Experiment, table: Table, rows: Rows) -> _Columns:
        """Learn of one column after the other."""
        filled: list[Filled] = []
        fills: dict[int, float] = {}
        seen: dict[int, Array] = {}
        categories: list[Categories] = []
        for index in range(table.inputs.shape[1]):
            values = _column(table, index)
            if np.isnan(values).any():
                filled.append(fill_of(table, index, values, experiment.data.missing, rows.train))
                if (value := filled[-1].value) is not None:
                    fills[index] = value
            if index in table.texts:
                seen[index] = seen_texts(values[rows.train])
                categories.append(described(table, index, seen[index], values))
        columns = cls(experiment, tuple(filled), fills, seen, tuple(categories), None)
        if not experiment.data.standardize:
            return columns
        standard = columns._standard(table, rows.train)
        return cls(experiment, tuple(filled), fills, seen, tuple(categories), standard)

    def _standard(self, table: Table, train_rows: npt.NDArray[np.int64]) -> Standard:
        """How the encoded columns are standardized, added up as `prepare` adds them up."""
        embedded = self.experiment.data.categorical == "embedding" and bool(self.seen)
        several = len(self.encoded(table, slice(0, 0)).names) > 1
        add = one_by_one if several else at_once
        order = range(table.inputs.shape[1])
        parts = []
        for index in sorted(order, key=lambda index: (embedded and index in self.seen, index)):
            if index in self.seen:
                columns = 1 if embedded else len(self.seen[index])
                parts.append(Standard.untouched(columns))
                continue
            values = _column(table, index)
            values[np.isnan(values)] = self.fills.get(index, np.nan)
            parts.append(Standard.of(values[train_rows][:, None], add=add))
        return Standard.joined(parts)

    def encoded(self, table: Table, rows: slice) -> Encoded:
        """Some rows filled in and encoded."""
        values = np.array(table.inputs[rows], order="C")
        let_go(table.inputs)
        for index, value in self.fills.items():
            values[np.isnan(values[:, index]), index] = value
        return encoded_as(table, values, self.seen, self.experiment.data.categorical)

    def as_trained(self, table: Table, rows: slice) -> Array:
        """Some rows (rows, in_features) as training takes them."""
        values = self.encoded(table, rows).inputs
        if self.standard is not None:
            values = self.standard.applied(values)
        return cast(values, self.experiment, "inputs", rows.start)


def _column(table: Table, index: int) -> Array:
    """A copy of an input column, (rows,)."""
    values = np.array(table.inputs[:, index])
    let_go(table.inputs)
    return values
