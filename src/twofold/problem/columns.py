"""The columns of a person's table: which are inputs and which targets, numbers or texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

import numpy as np

from twofold.errors import DataError, SpecError
from twofold.problem.file_size import MOST_TEXT_COLUMNS, require_columns
from twofold.problem.libraries import library
from twofold.problem.state import Array
from twofold.problem.table import Table
from twofold.problem.table_files import TableFile
from twofold.problem.table_hints import has_decimal_comma
from twofold.spec.limits import cut, listed, named, shown

MOST_COMPARED: Final = 1000  # names that a wrong one is compared with
NAMELESS: Final = "Unnamed: 0"  # what pandas calls a first column without a name


def table_of(file: TableFile, labels: bool) -> Table:
    """The table of a file; with `labels` the target column holds class labels.

    Raises DataError, SpecError, OSError or FrameworkMissing.
    """
    frame = file.frame()
    require_columns(file.where, frame.shape[1])
    names = [str(name) for name in frame.columns]
    targets = target_columns(file, names)
    features = input_columns(file, names, targets)
    if names[:1] == [NAMELESS] and 0 in features and frame.iloc[:, 0].dtype.kind == "i":
        refuse_row_numbers(file, frame.iloc[:, 0].to_numpy())
    inputs, texts = _inputs(file, frame, features)
    return Table(
        where=file.where,
        inputs=inputs,
        targets=targets_of(file, frame, targets, labels),
        columns=tuple(names[position] for position in (*features, *targets)),
        texts=texts,
    )


def _inputs(
    file: TableFile, frame: Any, features: Sequence[int]
) -> tuple[Array, dict[int, tuple[str, ...]]]:
    """The input columns as float64 (rows, features), and the texts of those that hold text."""
    plain = [
        index
        for index, dtype in enumerate(frame.dtypes.iloc[list(features)])
        if isinstance(dtype, np.dtype) and dtype.kind in "biuf"
    ]
    inputs = np.empty((len(frame), len(features)))
    # All at once: one column after the other takes pandas 0.1 ms each.
    inputs[:, plain] = frame.iloc[:, [features[index] for index in plain]].to_numpy(np.float64)
    words: list[int] = []
    others = sorted(set(range(len(features))) - set(plain))
    if file.data.categorical != "refuse":
        require_text_columns(file, len(others))
    for index in others:
        numbers = numbers_of(frame.iloc[:, features[index]])
        if numbers is None:
            words.append(index)
            if file.data.categorical == "refuse":
                break  # the first one is told
        else:
            inputs[:, index] = numbers
    return inputs, _texts_into(inputs, file, frame, {index: features[index] for index in words})


def require_text_columns(file: TableFile, found: int) -> None:
    """Refuse more columns of text than are allowed. Raises DataError."""
    if found > MOST_TEXT_COLUMNS:
        raise DataError(
            f"{file.where}: {found:,} columns of text in it; allowed are at most "
            f"{MOST_TEXT_COLUMNS:,}; leave some out with data.exclude"
        )


def _texts_into(
    inputs: Array, file: TableFile, frame: Any, words: Mapping[int, int]
) -> dict[int, tuple[str, ...]]:
    """Write codes into the columns of inputs that hold text; `words` gives their places in frame.

    Answers the texts of each.
    """
    columns = file.as_they_stand(frame, list(words.values()))
    texts: dict[int, tuple[str, ...]] = {}
    for index, position in words.items():
        inputs[:, index], texts[index] = codes_of(file, columns[position])
    return texts


def target_columns(file: TableFile, names: Sequence[str]) -> list[int]:
    """The places of the target columns. Raises SpecError or DataError."""
    if not file.data.targets:
        raise SpecError(
            "data.target: nothing given; allowed is the name of the column to predict: "
            f"{listed(names)}{file.hint()}"
        )
    return [_position(file, "target", name, _places(names)) for name in file.data.targets]


def input_columns(file: TableFile, names: Sequence[str], targets: Sequence[int]) -> list[int]:
    """The places of the input columns: those of data.columns, else all but targets and exclude."""
    data, places = file.data, _places(names)
    left_out = {_position(file, "exclude", name, places) for name in data.exclude or ()}
    if data.columns is not None:
        return [_position(file, "columns", name, places) for name in data.columns]
    return [x for x in range(len(names)) if x not in left_out and x not in targets]


def _places(names: Sequence[str]) -> dict[str, int]:
    """Where each column stands; of columns of one name the first."""
    return {name: place for place, name in reversed(list(enumerate(names)))}


def _position(file: TableFile, field: str, name: str, places: Mapping[str, int]) -> int:
    if name in places:
        return places[name]
    names = sorted(places, key=places.__getitem__)
    close = get_close_matches(name, names[:MOST_COMPARED], n=1, cutoff=0.5)
    meant = f"; did you mean {cut(close[0])}?" if close else ""
    raise DataError(
        f"data.{field}: {named(name)} given; allowed is a column of {file.path}: "
        f"{listed(names)}{file.hint() or meant}"
    )


def refuse_row_numbers(file: TableFile, values: Array) -> None:
    """A first column without a name in which no whole number comes twice is an index, no input.

    `DataFrame.to_csv` writes one unless told otherwise. In a table sorted by its labels it tells
    every one of them. Who names it in data.columns wants it. `values` are its whole numbers.
    """
    if file.data.columns is not None or len(np.unique(values)) < len(values):
        return
    counts = len(values) > 0 and (np.diff(values) == 1).all()
    found = f"counts the rows from {values[0]}" if counts else "numbers the rows"
    raise DataError(
        f"{file.where}: the first column has no name and {found}, so it would be an input that "
        f"says where a row stands; leave it out with data.exclude = [{NAMELESS!r}], or name "
        "it in data.columns to take it"
    )


def numbers_of(column: Any) -> Array | None:
    """A column as float64 (rows,), NaN where it is empty; None where it holds anything else."""
    pandas = library("pandas", "pandas", "")
    if column.dtype.kind in "mM":
        return None
    try:
        found = pandas.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError, OverflowError):  # lists, categories, endless digits
        return None
    return None if (np.isnan(found) & column.notna().to_numpy()).any() else np.asarray(found)


def codes_of(file: TableFile, column: Any, first: int = 0) -> tuple[Array, tuple[str, ...]]:
    """The place of each text among the column's texts, and these; NaN where a cell is empty.

    Raises DataError for text unless data.categorical takes it, and for what is not text either;
    `first` is the number of the first row.
    """
    pandas = library("pandas", "pandas", str(file.path))
    column = column.astype(object)
    present = column.notna().to_numpy()
    _refuse_decimal_commas(file, column[present])
    words = [value if isinstance(value, str) else None for value in column[present]]
    if None in words or file.data.categorical == "refuse":
        _refuse_cell(file, column, present, first)
    codes, texts = pandas.factorize(np.array(words, dtype=object), sort=True)
    places = np.full(len(column), np.nan)
    places[present] = codes
    return places, tuple(str(text) for text in texts)


def _refuse_cell(file: TableFile, column: Any, present: Array, first: int) -> None:
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
        f"{file.where}: column {named(name)}, row {first + row} (counted from 0): {shown(value)} "
        f"given; allowed are {allowed}; {way} with data.exclude = [{named(name)}]"
    )


def _refuse_decimal_commas(file: TableFile, column: Any) -> None:
    """A number with a decimal comma is neither a category nor a class."""
    for row, value in column.items():
        if isinstance(value, str) and has_decimal_comma(value) and file.data.decimal is None:
            raise DataError(
                f"{file.where}: column {named(column.name)}, row {row} (counted from 0): "
                f"{shown(value)} given; looks as if written with a decimal comma: set "
                "data.decimal = ','"
            )


def targets_of(file: TableFile, frame: Any, positions: Sequence[int], labels: bool) -> Array:
    """One target (rows,), numbers or texts; several (rows, targets), numbers."""
    if labels:
        standing = file.as_they_stand(frame, positions)
        columns = [standing[position] for position in positions]
    else:
        columns = [frame.iloc[:, position] for position in positions]
    if len(columns) == 1:
        return _target(file, columns[0])
    several = [_target(file, column) for column in columns]
    for column, values in zip(columns, several, strict=True):
        if values.dtype.kind == "U":
            raise DataError(
                f"{file.where}: target column {named(column.name)} holds text, such as "
                f"{shown(str(values[0]))}; allowed in a list of several targets are numbers"
            )
    return np.stack([values.astype(np.float64) for values in several], axis=1)


def _target(file: TableFile, column: Any) -> Array:
    """A target column as numbers in their own type, or as texts with "" where it is empty."""
    if column.dtype.kind in "biuf" and isinstance(column.dtype, np.dtype):
        return np.asarray(column.to_numpy())
    numbers = None if _holds_text(column) else numbers_of(column)
    if numbers is not None:
        return numbers
    return words_of(file, column)


def words_of(file: TableFile, column: Any) -> Array:
    """A target column (rows,) of texts, "" where it is empty. Raises DataError for dates."""
    if column.dtype.kind in "mM":
        raise DataError(
            f"{file.where}: target column {named(column.name)} holds {column.dtype}; allowed "
            "are numbers or texts"
        )
    _refuse_decimal_commas(file, column.astype(object))
    texts = column.astype(object).where(column.notna(), "")
    return np.asarray([str(text) for text in texts], dtype=np.str_)


def _holds_text(column: Any) -> bool:
    return any(isinstance(value, str) for value in column)
