"""The columns of a person's table: which are inputs and which targets, numbers or texts."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Final

import numpy as np

from twofold.errors import DataError, SpecError
from twofold.problem.libraries import library
from twofold.problem.state import Array
from twofold.problem.table import Table
from twofold.problem.table_files import TableFile
from twofold.problem.table_hints import has_decimal_comma

NAMELESS: Final = "Unnamed: 0"  # what pandas calls a first column without a name


def table_of(file: TableFile, labels: bool) -> Table:
    """The table of a file; with `labels` the target column holds class labels.

    Raises DataError, SpecError, OSError or FrameworkMissing.
    """
    frame = file.frame()
    names = [str(name) for name in frame.columns]
    targets = _target_columns(file, names)
    features = _input_columns(file, names, targets)
    _refuse_row_numbers(file, frame, features)
    inputs = np.empty((len(frame), len(features)))
    texts: dict[int, tuple[str, ...]] = {}
    for index, position in enumerate(features):
        numbers = _numbers(frame.iloc[:, position])
        if numbers is None:
            numbers, texts[index] = _codes(file, frame.iloc[:, position], position)
        inputs[:, index] = numbers
    return Table(
        where=file.where,
        inputs=inputs,
        targets=_targets(file, frame, targets, labels),
        columns=tuple(names[position] for position in (*features, *targets)),
        texts=texts,
    )


def _target_columns(file: TableFile, names: Sequence[str]) -> list[int]:
    if not file.data.targets:
        raise SpecError(
            "data.target: nothing given; allowed is the name of the column to predict: "
            f"{', '.join(names)}{file.hint()}"
        )
    return [_position(file, "target", name, names) for name in file.data.targets]


def _input_columns(file: TableFile, names: Sequence[str], targets: Sequence[int]) -> list[int]:
    """The places of the input columns: those of data.columns, else all but targets and exclude."""
    data = file.data
    left_out = {_position(file, "exclude", name, names) for name in data.exclude or ()}
    if data.columns is not None:
        return [_position(file, "columns", name, names) for name in data.columns]
    return [x for x in range(len(names)) if x not in left_out and x not in targets]


def _position(file: TableFile, field: str, name: str, names: Sequence[str]) -> int:
    if name in names:
        return list(names).index(name)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    meant = f"; did you mean {close[0]}?" if close else ""
    raise DataError(
        f"data.{field}: {name!r} given; allowed is a column of {file.path}: "
        f"{', '.join(names)}{file.hint() or meant}"
    )


def _refuse_row_numbers(file: TableFile, frame: Any, features: Sequence[int]) -> None:
    """A first column without a name in which no whole number comes twice is an index, no input.

    `DataFrame.to_csv` writes one unless told otherwise. In a table sorted by its labels it tells
    every one of them. Who names it in data.columns wants it.
    """
    if file.data.columns is not None or 0 not in features or frame.columns[0] != NAMELESS:
        return
    column = frame.iloc[:, 0]
    if column.dtype.kind != "i" or not column.is_unique:
        return
    counts = (np.diff(column.to_numpy()) == 1).all()
    found = f"counts the rows from {column.iloc[0]}" if counts else "numbers the rows"
    raise DataError(
        f"{file.where}: the first column has no name and {found}, so it would be an input that "
        f"says where a row stands; leave it out with data.exclude = [{NAMELESS!r}], or name "
        "it in data.columns to take it"
    )


def _numbers(column: Any) -> Array | None:
    """A column as float64 (rows,), NaN where it is empty; None where it holds anything else."""
    pandas = library("pandas", "pandas", "")
    if column.dtype.kind in "mM":
        return None
    try:
        found = pandas.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):  # lists, categories: no numbers
        return None
    return None if (np.isnan(found) & column.notna().to_numpy()).any() else np.asarray(found)


def _codes(file: TableFile, column: Any, position: int) -> tuple[Array, tuple[str, ...]]:
    """The place of each text among the column's texts, and these; NaN where a cell is empty.

    Raises DataError for text unless data.categorical takes it, and for what is not text either.
    """
    pandas = library("pandas", "pandas", str(file.path))
    column = file.as_it_stands(column, position).astype(object)
    present = column.notna().to_numpy()
    _refuse_decimal_commas(file, column[present])
    words = [value if isinstance(value, str) else None for value in column[present]]
    if None in words or file.data.categorical == "refuse":
        _refuse_cell(file, column, present)
    codes, texts = pandas.factorize(np.array(words, dtype=object), sort=True)
    places = np.full(len(column), np.nan)
    places[present] = codes
    return places, tuple(str(text) for text in texts)


def _refuse_cell(file: TableFile, column: Any, present: Array) -> None:
    """Name the first cell of a column that is not a number, and the ways out."""
    name, pandas = str(column.name), library("pandas", "pandas", str(file.path))
    texts = np.array([isinstance(value, str) for value in column])
    other = present & ~texts
    if file.data.categorical == "refuse":
        numbers = pandas.to_numeric(column.where(texts), errors="coerce").notna().to_numpy()
        wrong = texts & ~numbers if (texts & ~numbers).any() else other
    else:
        wrong = other
    row = int(np.argmax(wrong))
    value = column.iloc[row]
    way = (
        "set data.categorical = 'one_hot' or 'embedding' to take a column of texts, or leave it out"
        if isinstance(value, str) and file.data.categorical == "refuse"
        else "leave the column out"
    )
    allowed = "numbers" if file.data.categorical == "refuse" else "numbers, or texts alone"
    raise DataError(
        f"{file.where}: column {name!r}, row {row} (counted from 0): {value!r} given; allowed are "
        f"{allowed}; {way} with data.exclude = [{name!r}]"
    )


def _refuse_decimal_commas(file: TableFile, column: Any) -> None:
    """A number with a decimal comma is neither a category nor a class."""
    for row, value in column.items():
        if isinstance(value, str) and has_decimal_comma(value) and file.data.decimal is None:
            raise DataError(
                f"{file.where}: column {str(column.name)!r}, row {row} (counted from 0): {value!r} "
                "given; looks as if written with a decimal comma: set data.decimal = ','"
            )


def _targets(file: TableFile, frame: Any, positions: Sequence[int], labels: bool) -> Array:
    """One target (rows,), numbers or texts; several (rows, targets), numbers."""
    columns = [
        file.as_it_stands(frame.iloc[:, position], position) if labels else frame.iloc[:, position]
        for position in positions
    ]
    if len(columns) == 1:
        return _target(file, columns[0])
    several = [_target(file, column) for column in columns]
    for column, values in zip(columns, several, strict=True):
        if values.dtype.kind == "U":
            raise DataError(
                f"{file.where}: target column {str(column.name)!r} holds text, such as "
                f"{str(values[0])!r}; allowed in a list of several targets are numbers"
            )
    return np.stack([values.astype(np.float64) for values in several], axis=1)


def _target(file: TableFile, column: Any) -> Array:
    """A target column as numbers in their own type, or as texts with "" where it is empty."""
    if column.dtype.kind in "biuf" and isinstance(column.dtype, np.dtype):
        return np.asarray(column.to_numpy())
    numbers = None if _holds_text(column) else _numbers(column)
    if numbers is not None:
        return numbers
    if column.dtype.kind in "mM":
        raise DataError(
            f"{file.where}: target column {str(column.name)!r} holds {column.dtype}; allowed are "
            "numbers or texts"
        )
    _refuse_decimal_commas(file, column.astype(object))
    texts = column.astype(object).where(column.notna(), "")
    return np.asarray([str(text) for text in texts], dtype=np.str_)


def _holds_text(column: Any) -> bool:
    return any(isinstance(value, str) for value in column)
