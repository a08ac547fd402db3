"""Rows of a new table as a trained model takes them: by what was learned of the training rows.

Columns are found by their names. An empty number is filled in as it was in training, a text is
encoded by the categories of the training rows, and every column is scaled as it was there; so the
rows of the training table give the numbers that training saw, bit for bit.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from itertools import accumulate, zip_longest
from pathlib import Path
from typing import Any, final

import numpy as np

from twofold.errors import DataError
from twofold.problem.columns import numbers_of
from twofold.problem.description import Categories, Description
from twofold.problem.file_size import most_values, require_regular
from twofold.problem.sources import arrays_of
from twofold.problem.state import Array
from twofold.problem.table_files import TableFile
from twofold.problem.tables_in_pieces import AS_THEY_STAND, PieceReader
from twofold.spec.data import ARRAYS, TABLES, file_type
from twofold.spec.experiment import Experiment

Column = Callable[[str, bool], Any]


@final
@dataclass(frozen=True)
class NewTable:
    """A table to answer for, and what a model's training taught of its columns.

    Its options of reading (separator, decimal sign and so on) are those of the experiment.
    """

    path: Path
    experiment: Experiment
    known: Description

    def inputs(self) -> tuple[Array, tuple[Categories, ...]]:
        """Inputs (rows, in_features) in the experiment's precision, and texts never seen before.

        Raises DataError for a file that cannot be read or does not fit, FrameworkMissing where the
        library that reads it is not installed.
        """
        unseen: list[Categories] = []
        if file_type(str(self.path)) == ARRAYS:
            values = self._array("inputs")
        else:
            file, frame = self._file()
            values = self._encoded(_Frame(self, file, frame).column, unseen)
        self._require_rows(len(values))
        return self._scaled(values), tuple(unseen)

    def _require_rows(self, rows: int) -> None:
        if rows == 0:
            raise DataError(f"{self._where}: no rows given; allowed is 1 row or more")

    def in_pieces(self) -> Iterator[tuple[Array, tuple[Categories, ...]]]:
        """What `inputs` gives, in pieces where the experiment has its table in a memory map.

        Raises what `inputs` does.
        """
        if not self.experiment.data.memory_map or file_type(str(self.path)) == ARRAYS:
            yield self.inputs()
            return
        texts = {each.column for each in (*self.known.one_hot, *self.known.embedded)}
        names = original_columns(self.known)
        words = [name for name in names if name in texts]
        for first, columns in self._columns_in_pieces(set(names) - texts, words):
            unseen: list[Categories] = []
            values = self._encoded(partial(_of, columns), unseen, first)
            yield self._scaled(values, first), tuple(unseen)

    def _columns_in_pieces(
        self, plain: Collection[str], standing: Collection[str]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """The first row of each piece, and its columns by their names."""
        with self._told():
            file = self._table_file()
            head = file.names()
            places = {name: self._position(head, name) for name in (*plain, *standing)}
            numbers, words = ([places[name] for name in each] for each in (plain, standing))
            reader = PieceReader(file, [str(name) for name in head.columns], numbers, words)
            self._require_rows(reader.rows)
            for numbered, worded in zip_longest(
                reader.pieces(numbers), reader.pieces(words, AS_THEY_STAND)
            ):
                first, _ = numbered or worded
                columns = {**(numbered or (0, {}))[1], **(worded or (0, {}))[1]}
                yield first, {name: columns[place] for name, place in places.items()}

    def _scaled(self, values: Array, first: int = 0) -> Array:
        scaling = self.known.input_scaling
        return self._cast(values if scaling is None else scaling.standard(values), first)

    def targets(self) -> Array:
        """Targets as the metrics take them: int64 labels (rows,), else (rows, out_features).

        Raises DataError for a table without them, and for classes that the training did not have.
        """
        loss, classes = self.experiment.loss.kind, self.known.classes
        labels = loss == "cross_entropy" or (loss == "bce_with_logits" and bool(classes))
        if file_type(str(self.path)) == ARRAYS:
            found = self._array("targets")
            if labels:
                found = self._numbered(found.reshape(-1), classes)
        else:
            found = self._target_columns(labels)
        self._require_rows(len(found))
        if labels:
            return found if loss == "cross_entropy" else found[:, None].astype(np.float64)
        values = found.reshape(len(found), -1).astype(np.float64)
        scaling = self.known.target_scaling
        return values if scaling is None else scaling.standard(values)

    @property
    def _where(self) -> str:
        return f"table '{self.path}'"

    def _file(self) -> tuple[TableFile, Any]:
        with self._told():
            file = self._table_file()
            return file, file.frame()

    def _table_file(self) -> TableFile:
        kind = file_type(str(self.path))
        if kind not in TABLES:
            raise DataError(
                f"{self._where}: a file of type {kind or 'none'} given; allowed are "
                f"{', '.join((*TABLES, ARRAYS))}"
            )
        if not self.known.inputs:
            raise DataError(
                f"{self._where}: the model's training data had no names of columns, so none can be "
                f"found by its name; allowed is an {ARRAYS} with the array inputs"
            )
        return TableFile(self._place(), self._where, self.experiment.data)

    def _place(self) -> Path:
        """Where the table is. Raises DataError for what is no file, and OSError."""
        place = Path(os.path.expanduser(self.path))
        require_regular(place, self._where)
        return place

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataError(f"{self._where}: cannot be read: {reason}") from error

    def _array(self, name: str) -> Array:
        """An array of an `.npz`; its inputs are columns of numbers in the training's order."""
        with self._told():
            place = self._place()
            most = most_values(place, self.experiment.data)
            found = arrays_of(place, self._where, most, (name,))[name]
        texts = (*self.known.one_hot, *self.known.embedded)
        if name == "inputs" and texts:
            raise DataError(
                f"{self._where}: an {ARRAYS} given, and column {texts[0].column!r} holds texts; "
                f"allowed are {', '.join(TABLES)}"
            )
        wanted = self.experiment.model.in_features
        if name == "inputs" and (found.ndim != 2 or found.shape[1] != wanted):
            raise DataError(
                f"{self._where}: inputs of shape {found.shape} given; allowed is (rows, {wanted})"
            )
        if name == "inputs" and np.isnan(found).any():
            row, column = (int(i) for i in np.argwhere(np.isnan(found))[0])
            raise DataError(f"{self._where}: inputs[{row}, {column}]: nan given")
        return found

    def _encoded(self, column: Column, unseen: list[Categories], first_row: int = 0) -> Array:
        """Columns in the order of training, texts encoded; `unseen` gets texts without a row."""
        one_hot = {each.column: each for each in self.known.one_hot}
        firsts = accumulate((len(c.categories) + 1 for c in self.known.embedded), initial=0)
        embedded = {
            each.column: (each, first)
            for each, first in zip(self.known.embedded, firsts, strict=False)
        }
        parts: list[Array] = []
        for name in original_columns(self.known):
            if name in one_hot:
                places = self._places(column(name, True), one_hot[name], unseen)
                parts.append(places[:, None] == np.arange(len(one_hot[name].categories)))
            elif name in embedded:
                categories, first = embedded[name]
                places = self._places(column(name, True), categories, unseen)
                parts.append((first + places)[:, None])
            else:
                parts.append(self._numbers(column(name, False), name, first_row)[:, None])
        return np.hstack(parts).astype(np.float64)

    def _position(self, frame: Any, name: str) -> int:
        names = [str(column) for column in frame.columns]
        if name in names:
            return names.index(name)
        close = get_close_matches(name, names, n=1, cutoff=0.5)
        meant = f"; did you rename it to {close[0]!r}?" if close else ""
        raise DataError(
            f"{self._where}: no column {name!r}, which the model was trained with; the columns "
            f"there are: {', '.join(names)}{meant}"
        )

    def _numbers(self, column: Any, name: str, first_row: int = 0) -> Array:
        """A column of numbers (rows,), empty cells filled in as in training."""
        values = numbers_of(column)
        if values is None:
            raise DataError(
                f"{self._where}: column {name!r} holds what is no number; the model was trained "
                "with numbers there"
            )
        # `Filled` has a column as messages have it, in quotes.
        fill = {each.column: each.value for each in self.known.filled}.get(repr(name))
        wrong = np.isinf(values) | (np.isnan(values) if fill is None else False)
        if wrong.any():
            row = int(np.argmax(wrong))
            why = "" if np.isinf(values[row]) else ", and no cell there was filled in in training"
            raise DataError(
                f"{self._where}: column {name!r}, row {first_row + row} (counted from 0): "
                f"{values[row]} given; allowed are finite numbers{why}"
            )
        return values if fill is None else np.where(np.isnan(values), fill, values)

    def _places(self, column: Any, known: Categories, unseen: list[Categories]) -> Array:
        """The place of each text among its column's categories; their number for all others."""
        column = column.astype(object)
        place = {text: index for index, text in enumerate(known.categories)}
        texts = [
            None if empty else str(value)
            for value, empty in zip(column, column.isna(), strict=True)
        ]
        others = Counter(text for text in texts if text is not None and text not in place)
        if others:
            unseen.append(Categories(known.column, known.categories, tuple(sorted(others.items()))))
        return np.array([place.get(text, len(place)) for text in texts])  # type: ignore[arg-type]

    def _target_columns(self, labels: bool) -> Array:
        if not self.known.targets:
            raise DataError(
                f"{self._where}: the model's training data had no name of its target, so it cannot "
                "be found"
            )
        names = self.known.targets
        if self.experiment.data.memory_map:
            plain, standing = ([], names[:1]) if labels else (names, [])
            pieces = self._columns_in_pieces(plain, standing)
            parts = [self._read_targets(own.__getitem__, labels, first) for first, own in pieces]
            return np.concatenate(parts)
        frame = _Frame(self, *self._file())
        return self._read_targets(lambda name: frame.column(name, labels), labels)

    def _read_targets(
        self, column: Callable[[str], Any], labels: bool, first_row: int = 0
    ) -> Array:
        """Labels int64 (rows,), else numbers (rows, targets)."""
        names = self.known.targets
        if labels:
            found = [str(value) for value in column(names[0])]
            return self._numbered(found, self.known.classes, first_row)
        return np.stack([self._numbers(column(name), name, first_row) for name in names], axis=1)

    def _numbered(
        self, values: Array | list[str], classes: tuple[str, ...], first_row: int = 0
    ) -> Array:
        place = {name: index for index, name in enumerate(classes)}
        found = [str(value) for value in values]
        for row, text in enumerate(found, first_row):
            if text not in place:
                raise DataError(
                    f"{self._where}: target, row {row} (counted from 0): {text!r} given; allowed "
                    f"are the classes that the training had: {', '.join(classes)}"
                )
        return np.array([place[text] for text in found], np.int64)

    def _cast(self, values: Array, first_row: int = 0) -> Array:
        with np.errstate(over="ignore"):
            cast = values.astype(self.experiment.parameter_dtype)
        if not np.isfinite(cast).all():
            row, column = (int(i) for i in np.argwhere(~np.isfinite(cast))[0])
            raise DataError(
                f"{self._where}: row {first_row + row}, input {column}: too large for "
                f"{self.experiment.parameter_dtype}"
            )
        return cast


@final
@dataclass(frozen=True)
class _Frame:
    """A table that was read at once, its columns by their names."""

    table: NewTable
    file: TableFile
    frame: Any

    def column(self, name: str, as_it_stands: bool) -> Any:
        """A column; as it stands, only its empty cells are missing."""
        place = self.table._position(self.frame, name)
        if as_it_stands:
            return self.file.as_they_stand(self.frame, [place])[place]
        return self.frame.iloc[:, place]


def _of(columns: Mapping[str, Any], name: str, _: bool) -> Any:
    """A column of a piece, which was read as it is asked for."""
    return columns[name]


def original_columns(known: Description) -> tuple[str, ...]:
    """The columns of the training table that became inputs, in the order of the inputs."""
    names: list[str] = []
    inputs, texts = known.inputs, [each for each in known.one_hot if each.categories]
    place = 0
    while place < len(inputs):
        if texts:
            own = tuple(f"{texts[0].column}={text}" for text in texts[0].categories)
            if inputs[place : place + len(own)] == own:
                names.append(texts.pop(0).column)
                place += len(own)
                continue
        names.append(inputs[place])
        place += 1
    return tuple(names)
