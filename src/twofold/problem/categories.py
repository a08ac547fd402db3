"""Columns of text as numbers: an input of 0 and 1 for each text, or the row of its embedding."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from twofold.errors import DataError
from twofold.problem.description import Categories
from twofold.problem.state import Array
from twofold.problem.table import MOST_VALUES, Table
from twofold.spec.data import Categorical
from twofold.spec.layers.embedding import MOST_ROWS, Embedding

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Encoded:
    """Inputs (rows, in_features) without texts, the names of their columns and what was encoded.

    `from_texts` (in_features,) says which columns came from texts; they are not standardized.
    """

    inputs: Array
    names: tuple[str, ...]
    from_texts: npt.NDArray[np.bool_]
    one_hot: tuple[Categories, ...] = ()
    embedded: tuple[Categories, ...] = ()


def encoded(table: Table, inputs: Array, train_rows: Rows, how: Categorical) -> Encoded:
    """The inputs of a table, with numbers in the place of its texts.

    A category is a text that a training row has, in sorted order. Raises DataError where there are
    too many.
    """
    seen = {index: seen_texts(inputs[train_rows, index]) for index in table.texts}
    return encoded_as(table, inputs, seen, how)


def encoded_as(table: Table, inputs: Array, seen: dict[int, Array], how: Categorical) -> Encoded:
    """Inputs (rows, columns of the table) with numbers in the place of texts.

    `seen` has the codes of the training rows' texts, of each column of texts; the rows of texts not
    among them are counted in these inputs. Raises DataError where there are too many.
    """
    if not seen:
        return Encoded(inputs, table.input_names, np.zeros(inputs.shape[1], np.bool_))
    if how == "embedding":
        return _numbered(table, inputs, seen)
    return _one_hot(table, inputs, seen)


def _one_hot(table: Table, inputs: Array, seen: dict[int, Array]) -> Encoded:
    """In the order of the table's columns, each text column as its categories.

    A row whose text no training row has, or whose cell is empty, has 0 in all of them.
    """
    _refuse_too_many(table, seen)
    parts: list[Array] = []
    names: list[str] = []
    flags: list[bool] = []
    columns: list[Categories] = []
    for index, name in enumerate(table.input_names):
        if index not in table.texts:
            parts.append(inputs[:, [index]])
            names.append(name)
            flags.append(False)
            continue
        column = described(table, index, seen[index], inputs[:, index])
        parts.append((inputs[:, [index]] == seen[index]).astype(np.float64))
        names.extend(f"{name}={category}" for category in column.categories)
        flags.extend(True for _ in column.categories)
        columns.append(column)
    return Encoded(np.hstack(parts), tuple(names), np.array(flags), one_hot=tuple(columns))


def _numbered(table: Table, inputs: Array, seen: dict[int, Array]) -> Encoded:
    """The columns of numbers, then each text column as rows of the embedding's table.

    A row whose text no training row has, or whose cell is empty, gets the column's last row.
    """
    texts = sorted(seen)
    order = [index for index in range(inputs.shape[1]) if index not in seen] + texts
    firsts = list(accumulate((len(seen[index]) + 1 for index in texts), initial=0))
    if firsts[-1] > MOST_ROWS:
        raise DataError(
            f"{table.where}: {firsts[-1]:,} rows of the embedding given, one for each text and one "
            f"more for each column; allowed are at most {MOST_ROWS:,}; leave out column "
            f"{table.column('inputs', _widest(seen))} with data.exclude"
        )
    values = inputs[:, order]
    for place, (index, first) in enumerate(zip(texts, firsts[:-1], strict=True), -len(texts)):
        values[:, place] = first + _places(seen[index], inputs[:, index])
    return Encoded(
        values,
        tuple(table.input_names[index] for index in order),
        np.isin(order, texts),
        embedded=tuple(described(table, i, seen[i], inputs[:, i]) for i in texts),
    )


def _places(seen: Array, codes: Array) -> Array:
    """The place of each code among the sorted ones that were seen, else their number."""
    places = np.searchsorted(seen, codes)
    known = np.isin(codes, seen)
    return np.where(known, places, len(seen))


def seen_texts(codes: Array) -> Array:
    """The different texts of a column's training rows, as sorted codes."""
    return np.unique(codes[~np.isnan(codes)])


def described(table: Table, index: int, seen: Array, codes: Array) -> Categories:
    """A column of texts whose training rows have the codes `seen`, all rows `codes` (rows,)."""
    texts = table.texts[index]
    unseen, rows = np.unique(codes[~np.isnan(codes) & ~np.isin(codes, seen)], return_counts=True)
    return Categories(
        table.input_names[index],
        tuple(texts[int(code)] for code in seen),
        tuple((texts[int(code)], int(count)) for code, count in zip(unseen, rows, strict=True)),
    )


def _widest(seen: dict[int, Array]) -> int:
    return max(seen, key=lambda index: len(seen[index]))


def _refuse_too_many(table: Table, seen: dict[int, Array]) -> None:
    widest = _widest(seen)
    columns = sum(map(len, seen.values())) + table.inputs.shape[1] - len(seen)
    if columns * table.rows > MOST_VALUES:
        raise DataError(
            f"{table.where}: {columns:,} inputs of {table.rows:,} rows after one-hot; allowed are "
            f"at most {MOST_VALUES:,} numbers; column {table.column('inputs', widest)} has "
            f"{len(seen[widest]):,} texts: leave it out with data.exclude"
        )


def require_rows_of(embedding: Embedding, inputs: Array) -> None:
    """Raise DataError where inputs (batch, in_features) name no row of their column's texts.

    PyTorch raises for a row that is not in the table, and Flax gives numbers that are not.
    """
    bounds = embedding.first_rows
    texts = inputs[:, embedding.numbers(inputs.shape[1]) :]
    firsts, lasts = np.array(bounds[:-1]), np.array(bounds[1:]) - 1
    wrong = (texts < firsts) | (texts > lasts) | (texts % 1 != 0)
    if wrong.any():
        row, place = (int(i) for i in np.argwhere(wrong)[0])
        column = place + embedding.numbers(inputs.shape[1])
        raise DataError(
            f"inputs[{row}, {column}]: {texts[row, place]:g} given; allowed is a whole number from "
            f"{firsts[place]} to {lasts[place]}: a row of the embedding, the last one for texts "
            "that no training row has"
        )
