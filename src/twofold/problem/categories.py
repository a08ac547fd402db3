"""Columns of text as inputs of 0 and 1, one for each text that the training rows have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twofold.errors import DataError
from twofold.problem.description import OneHot
from twofold.problem.state import Array
from twofold.problem.table import MOST_VALUES, Table


@dataclass(frozen=True, eq=False)
class Encoded:
    """Inputs (rows, in_features) without texts, the names of their columns and what was encoded.

    `zero_or_one` (in_features,) says which columns came from texts; they are not standardized.
    """

    inputs: Array
    names: tuple[str, ...]
    zero_or_one: npt.NDArray[np.bool_]
    columns: tuple[OneHot, ...]


def one_hot(table: Table, inputs: Array, train_rows: npt.NDArray[np.int64]) -> Encoded:
    """The inputs of a table, in the order of its columns, each text column as its categories.

    A category is a text that a training row has, in sorted order. A row whose text no training row
    has, or whose cell is empty, has 0 in all of them. Raises DataError where that makes too many
    numbers.
    """
    if not table.texts:
        numbers = np.zeros(inputs.shape[1], np.bool_)
        return Encoded(inputs, table.input_names, numbers, ())
    seen = {index: _seen(inputs[train_rows, index]) for index in table.texts}
    _refuse_too_many(table, seen)
    parts: list[Array] = []
    names: list[str] = []
    flags: list[bool] = []
    columns: list[OneHot] = []
    for index, name in enumerate(table.input_names):
        if index not in table.texts:
            parts.append(inputs[:, [index]])
            names.append(name)
            flags.append(False)
            continue
        column = _described(table, index, seen[index], inputs[:, index])
        parts.append((inputs[:, [index]] == seen[index]).astype(np.float64))
        names.extend(f"{name}={category}" for category in column.categories)
        flags.extend(True for _ in column.categories)
        columns.append(column)
    return Encoded(np.hstack(parts), tuple(names), np.array(flags), tuple(columns))


def _seen(codes: Array) -> Array:
    """The different texts of a column's training rows, as sorted codes."""
    return np.unique(codes[~np.isnan(codes)])


def _described(table: Table, index: int, seen: Array, codes: Array) -> OneHot:
    texts = table.texts[index]
    unseen, rows = np.unique(codes[~np.isnan(codes) & ~np.isin(codes, seen)], return_counts=True)
    return OneHot(
        table.input_names[index],
        tuple(texts[int(code)] for code in seen),
        tuple((texts[int(code)], int(count)) for code, count in zip(unseen, rows, strict=True)),
    )


def _refuse_too_many(table: Table, seen: dict[int, Array]) -> None:
    widest = max(seen, key=lambda index: len(seen[index]))
    columns = sum(map(len, seen.values())) + table.inputs.shape[1] - len(seen)
    if columns * table.rows > MOST_VALUES:
        raise DataError(
            f"{table.where}: {columns:,} inputs of {table.rows:,} rows after one-hot; allowed are "
            f"at most {MOST_VALUES:,} numbers; column {table.column('inputs', widest)} has "
            f"{len(seen[widest]):,} texts: leave it out with data.exclude"
        )
