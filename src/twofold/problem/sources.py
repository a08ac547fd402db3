"""Where data comes from: the synthetic task, scikit-learn's data sets, `.npz` files and tables.

Each loader is imported only when its source is named; none of them checks the numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import numpy as np

from twofold.errors import DataError, SpecError
from twofold.problem.columns import table_of
from twofold.problem.file_size import most_values, require_regular
from twofold.problem.libraries import library
from twofold.problem.npz_files import read_arrays
from twofold.problem.state import Array
from twofold.problem.synthetic import (
    CLASSES,
    IN_FEATURES,
    NUMBERS,
    ROWS,
    TEXTS,
    synthetic,
    synthetic_categories,
)
from twofold.problem.table import MOST_VALUES, Table
from twofold.problem.table_files import TableFile
from twofold.spec.data import (
    ARRAYS,
    FILE_OPTIONS,
    FILE_TYPES,
    SYNTHETIC,
    TABLE_OPTIONS,
    TABLES,
    TEXT_OPTIONS,
    TEXT_TABLES,
    WITH_TEXTS,
    Data,
    file_type,
)
from twofold.spec.experiment import Experiment

SKLEARN_LOADERS: Final[Mapping[str, str]] = {
    "digits": "load_digits",
    "breast-cancer": "load_breast_cancer",
    "diabetes": "load_diabetes",
}
BUILT_IN: Final = (SYNTHETIC, WITH_TEXTS, *SKLEARN_LOADERS)


def load(experiment: Experiment) -> Table:
    """The table an experiment names. Raises DataError, SpecError or FrameworkMissing."""
    data = experiment.data
    _refuse_unknown(data)
    _refuse_options_of_others(data)
    if data.source == SYNTHETIC:
        _refuse_too_much(experiment)
        classes = experiment.model.out_features or CLASSES
        return Table("data.source 'synthetic'", *synthetic(experiment), classes=classes)
    if data.source == WITH_TEXTS:
        _refuse_too_much(experiment)
        if data.categorical == "refuse":
            raise DataError(
                f"data.source {data.source!r}: columns of texts; set data.categorical = 'one_hot' "
                "or 'embedding' to take them"
            )
        return synthetic_categories(experiment, f"data.source {data.source!r}")
    if data.source in SKLEARN_LOADERS:
        return _from_sklearn(data.source)
    return _from_file(data, experiment.loss.kind in ("cross_entropy", "bce_with_logits"))


def read_by_library(data: Data) -> bool:
    """Whether reading the source takes a library and time, so that reading it twice is a waste."""
    return data.source in SKLEARN_LOADERS or (
        not data.memory_map and file_type(data.source) in TABLES
    )


def _refuse_unknown(data: Data) -> None:
    """Refuse a source that is neither built in nor of a file type that is read."""
    known, kind = BUILT_IN, file_type(data.source)
    if "\0" in data.source:
        raise DataError(
            f"data.source: {data.source!r} given; allowed are names without a null byte"
        )
    if data.source in known or kind in FILE_TYPES:
        return
    types = ", ".join(FILE_TYPES)
    if kind or os.sep in data.source:
        found = f"a file of type {kind}" if kind else "a file without a type"
        raise DataError(
            f"data.source: {data.source!r} given, {found}; allowed are files of type {types}; "
            "save the table as one of them"
        )
    close = get_close_matches(data.source, known, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise DataError(
        f"data.source: {data.source!r} given; allowed is {', '.join(known)}, "
        f"or a file of type {types}{hint}"
    )


def _refuse_options_of_others(data: Data) -> None:
    """Refuse an option that the source does not have."""
    kind = "" if data.source in BUILT_IN else file_type(data.source)
    default = Data()
    allowed = (
        (TABLE_OPTIONS, TABLES, "table"),
        (TEXT_OPTIONS, TEXT_TABLES, "table"),
        (FILE_OPTIONS, FILE_TYPES, "file"),
    )
    for options, kinds, what in allowed:
        for option in options:
            value = getattr(data, option)
            if option == "categorical" and data.source == WITH_TEXTS:
                continue
            if value != getattr(default, option) and kind not in kinds:
                shown = list(value) if isinstance(value, tuple) else value
                raise SpecError(
                    f"data.{option}: {shown!r} given with data.source = {data.source!r}; "
                    f"allowed with a {what} of type {', '.join(kinds)} only; leave it out"
                )
    if data.rows is not None and data.source not in (SYNTHETIC, WITH_TEXTS):
        raise SpecError(
            f"data.rows: {data.rows} given with data.source = {data.source!r}; "
            f"allowed with {SYNTHETIC!r} and {WITH_TEXTS!r} only; leave it out"
        )


def _refuse_too_much(experiment: Experiment) -> None:
    model, rows = experiment.model, experiment.data.rows or ROWS
    columns = model.in_features or IN_FEATURES
    if experiment.data.source == WITH_TEXTS:
        columns = len(NUMBERS) + len(TEXTS)
    widest = max(columns, model.out_features or CLASSES)
    if rows * widest > MOST_VALUES:
        raise SpecError(
            f"data.rows: {rows} rows of {widest} features given; allowed is at most "
            f"{MOST_VALUES:,} numbers for data.source = {experiment.data.source!r}"
        )


def _from_sklearn(source: str) -> Table:
    datasets = library("sklearn.datasets", "scikit-learn", source)
    found: Any = getattr(datasets, SKLEARN_LOADERS[source])()
    return Table(
        f"data.source {source!r}",
        np.asarray(found.data, np.float64),
        np.asarray(found.target),
        columns=(*map(str, found.feature_names), "target"),
        class_names=tuple(map(str, found.get("target_names", ()))),
    )


def _from_file(data: Data, labels: bool) -> Table:
    with _told(data) as (path, where):
        if file_type(data.source) == ARRAYS:
            return _from_npz(path, where, most_values(path, data))
        return table_of(TableFile(path, where, data), labels)


@contextmanager
def opened_table(data: Data) -> Iterator[TableFile]:
    """The file of a table, to be read in pieces. Raises DataError or SpecError, also for reading.

    An OSError inside is told as one of that file.
    """
    _refuse_unknown(data)
    _refuse_options_of_others(data)
    with _told(data) as (path, where):
        yield TableFile(path, where, data)


@contextmanager
def _told(data: Data) -> Iterator[tuple[Path, str]]:
    """The place of a file, and what messages call it; an OSError inside becomes a DataError."""
    path = Path(os.path.expanduser(data.source))
    where = f"data.source '{path}'"
    try:
        require_regular(path, where)
        yield path, where
    except MemoryError as error:
        raise DataError(f"{where}: needs more memory than there is here") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{where}: cannot be read: {reason}") from error


def _from_npz(path: Path, where: str, most: int) -> Table:
    arrays = arrays_of(path, where, most, ("inputs", "targets"))
    return Table(where, arrays["inputs"], arrays["targets"])


def arrays_of(path: Path, where: str, most: int, names: tuple[str, ...]) -> dict[str, Array]:
    """Arrays of an `.npz` by name, each of at most `most` numbers: `inputs` in float64.

    Raises DataError, and OSError for a file that cannot be opened.
    """
    arrays = read_arrays(path, where, most, names)
    for name, array in arrays.items():
        texts = "U" if name == "targets" and array.ndim == 1 else ""
        _refuse_dtype(where, name, array, "biuf" + texts)
    return {
        name: array.astype(np.float64, copy=False) if name == "inputs" else array
        for name, array in arrays.items()
    }


def _refuse_dtype(where: str, name: str, array: Array, allowed: str) -> None:
    if array.dtype.kind not in allowed:
        raise DataError(f"{where}: {name} of dtype {array.dtype} given; allowed are real numbers")
