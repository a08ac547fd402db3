"""Where data comes from: the synthetic task, scikit-learn's data sets, `.npz` and `.csv` files.

Each loader is imported only when its source is named; none of them checks the numbers.
"""

from __future__ import annotations

import importlib
import os
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from twofold.errors import DataError, FrameworkMissing, SpecError
from twofold.problem.state import Array
from twofold.problem.synthetic import CLASSES, IN_FEATURES, ROWS, synthetic
from twofold.spec.experiment import Experiment

SYNTHETIC: Final = "synthetic"
SKLEARN_LOADERS: Final[Mapping[str, str]] = {
    "digits": "load_digits",
    "breast-cancer": "load_breast_cancer",
    "diabetes": "load_diabetes",
}
SUFFIXES: Final = (".npz", ".csv")
MOST_VALUES: Final = 10**9  # 8 GB of float64


@dataclass(frozen=True)
class Table:
    """Data as loaded: `inputs` float64, `targets` numbers or texts, `where` for messages.

    `columns` are the names of the columns of the inputs and then of the targets; empty if unknown.
    `classes` is the number of classes where the source fixes it.
    """

    where: str
    inputs: Array
    targets: Array
    columns: tuple[str, ...] = ()
    classes: int | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.inputs.shape[0])

    def column(self, what: str, index: int) -> str:
        """What a person calls a column of `inputs` or `targets`: its name, else its number."""
        position = index if what == "inputs" else index + self.inputs.shape[1]
        return repr(self.columns[position]) if self.columns else str(index)


def load(experiment: Experiment) -> Table:
    """The table an experiment names. Raises DataError, SpecError or FrameworkMissing."""
    data = experiment.data
    suffix = Path(data.source).suffix.lower()
    if data.rows is not None and data.source != SYNTHETIC:
        raise SpecError(
            f"data.rows: {data.rows} given with data.source = {data.source!r}; "
            "allowed with 'synthetic' only; leave it out"
        )
    if data.target is not None and suffix != ".csv":
        raise SpecError(
            f"data.target: {data.target!r} given with data.source = {data.source!r}; "
            "allowed with a .csv file only; leave it out"
        )
    if data.source == SYNTHETIC:
        _refuse_too_much(experiment)
        classes = experiment.model.out_features or CLASSES
        return Table("data.source 'synthetic'", *synthetic(experiment), classes=classes)
    if data.source in SKLEARN_LOADERS:
        return _from_sklearn(data.source)
    if suffix in SUFFIXES:
        return _from_file(Path(os.path.expanduser(data.source)), data.target)
    raise _unknown_source(data.source)


def _refuse_too_much(experiment: Experiment) -> None:
    model, rows = experiment.model, experiment.data.rows or ROWS
    widest = max(model.in_features or IN_FEATURES, model.out_features or CLASSES)
    if rows * widest > MOST_VALUES:
        raise SpecError(
            f"data.rows: {rows} rows of {widest} features given; allowed is at most "
            f"{MOST_VALUES:,} numbers for data.source = 'synthetic'"
        )


def _unknown_source(source: str) -> DataError:
    known = (SYNTHETIC, *SKLEARN_LOADERS)
    close = get_close_matches(source, known, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else ""
    return DataError(
        f"data.source: {source!r} given; allowed is {', '.join(known)}, "
        f"an .npz file or a .csv file{hint}"
    )


def _library(module: str, package: str, source: str) -> ModuleType:
    """Import a library of the `data` extra. Raises FrameworkMissing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise FrameworkMissing(
            f"data.source {source!r}: {package} is not installed; "
            "install with: pip install 'twofold[data]'"
        ) from error


def _from_sklearn(source: str) -> Table:
    datasets = _library("sklearn.datasets", "scikit-learn", source)
    inputs, targets = getattr(datasets, SKLEARN_LOADERS[source])(return_X_y=True)
    return Table(f"data.source {source!r}", np.asarray(inputs, np.float64), np.asarray(targets))


def _from_file(path: Path, target: str | None) -> Table:
    where = f"data.source '{path}'"
    readers: dict[str, Callable[[], Table]] = {
        ".npz": lambda: _from_npz(path, where),
        ".csv": lambda: _from_csv(path, target, where),
    }
    try:
        return readers[path.suffix.lower()]()
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{where}: cannot be read: {reason}") from error


def _from_npz(path: Path, where: str) -> Table:
    try:
        with path.open("rb") as file:  # opened here, for np.load leaves a broken archive open
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{where}: one bare array given; allowed is an .npz archive")
            arrays = {name: archive[name] for name in ("inputs", "targets") if name in archive}
            found = ", ".join(archive.files) or "none"
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{where}: not a readable .npz of plain arrays: {error}") from error
    for name in ("inputs", "targets"):
        if name not in arrays:
            raise DataError(
                f"{where}: no array {name!r}; the arrays there are: {found}; "
                "allowed is an .npz with inputs and targets"
            )
    texts_allowed = "U" if arrays["targets"].ndim == 1 else ""
    _refuse_dtype(where, "inputs", arrays["inputs"], "biuf")
    _refuse_dtype(where, "targets", arrays["targets"], "biuf" + texts_allowed)
    return Table(where, arrays["inputs"].astype(np.float64), arrays["targets"])


def _refuse_dtype(where: str, name: str, array: Array, allowed: str) -> None:
    if array.dtype.kind not in allowed:
        raise DataError(f"{where}: {name} of dtype {array.dtype} given; allowed are real numbers")


def _from_csv(path: Path, target: str | None, where: str) -> Table:
    frame = _read_csv(path, where)
    names = [str(name) for name in frame.columns]
    if target is None:
        raise SpecError(
            "data.target: nothing given; allowed is the name of the column to predict: "
            + ", ".join(names)
        )
    if target not in names:
        close = get_close_matches(target, names, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise DataError(
            f"data.target: {target!r} given; allowed is a column of {path}: "
            f"{', '.join(names)}{hint}"
        )
    features = [name for name in names if name != target]
    inputs = np.empty((len(frame), len(features)))
    for index, name in enumerate(features):
        inputs[:, index] = _csv_inputs(frame[name], where)
    return Table(where, inputs, _csv_targets(frame[target], where), (*features, target))


def _read_csv(path: Path, where: str) -> Any:
    pandas = _library("pandas", "pandas", str(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            # index_col=False: a row with a field too many is a mistake, not an index
            return pandas.read_csv(path, index_col=False, low_memory=False)
    except (ValueError, pandas.errors.ParserWarning) as error:  # ParserError is a ValueError
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{where}: not a readable .csv: {reason}") from error


def _is_number(column: Any) -> bool:
    return column.dtype.kind in "biuf"


def _csv_inputs(column: Any, where: str) -> Array:
    """A column as float64 (rows,), NaN where it is empty. Raises DataError for text."""
    pandas = _library("pandas", "pandas", where)
    numbers = pandas.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    wrong = np.isnan(numbers) & column.notna().to_numpy()
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{where}: column {str(column.name)!r}, row {row} (counted from 0): "
            f"{column.iloc[row]!r} given; allowed are numbers"
        )
    return np.asarray(numbers)


def _csv_targets(column: Any, where: str) -> Array:
    if _is_number(column):
        return np.asarray(column.to_numpy())
    missing = column.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"{where}: column {str(column.name)!r}, row {int(np.argmax(missing))} (counted from "
            "0): nothing given; allowed are class labels"
        )
    return np.asarray(column.astype(str).to_list(), dtype=np.str_)
