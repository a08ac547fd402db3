"""Read a table in pieces into a file: what the columns hold is asked first, then they are written.

pandas tells numbers from texts by a whole column, so a first pass over all pieces finds what each
column holds; the second reads every piece of it so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from twofold.errors import DataError
from twofold.problem.columns import (
    NAMELESS,
    codes_of,
    input_columns,
    numbers_of,
    refuse_row_numbers,
    require_text_columns,
    target_columns,
    targets_of,
    words_of,
)
from twofold.problem.file_size import require_columns
from twofold.problem.row_maps import let_go
from twofold.problem.state import Array
from twofold.problem.table import PIECE_VALUES, Table
from twofold.problem.table_files import TableFile
from twofold.spec.data import PARQUET, file_type
from twofold.spec.limits import named

EMPTY, YES_OR_NO, WORDS, TEXT, OTHER = "empty", "b", "words", "text", "other"
LEAST_ROWS: Final = 256
AS_THEY_STAND: Final[Mapping[str, Any]] = {"keep_default_na": False, "na_values": [""]}
"""Only empty cells are missing: see `TableFile.as_they_stand`."""
NO_OPTIONS: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True)
class _Held:
    """What a whole column holds: the `kinds` of its pieces, as `_kind` tells them."""

    kinds: frozenset[str]
    by_library: bool  # the file tells the types of its columns itself

    @property
    def is_text(self) -> bool:
        """Whether it holds what is no number."""
        mixed = YES_OR_NO in self.kinds and not self.kinds <= {YES_OR_NO, EMPTY}
        return TEXT in self.kinds or (mixed and not self.by_library)

    @property
    def dtype(self) -> Any:
        """The type to read each piece as, so that it is read like the whole; None for any."""
        if self.by_library or self.kinds <= {YES_OR_NO, EMPTY}:
            return None
        if self.is_text or WORDS in self.kinds or {"i", "u"} <= self.kinds:
            return str
        return np.float64 if self.kinds & {"f", EMPTY} else None


@final
class PieceReader:
    """Some columns of a file a piece at a time, each piece read as the whole column is.

    `plain` are the places of columns as pandas reads them by itself, `standing` those in which only
    empty cells are missing; of `targets` a text is no number.
    """

    def __init__(
        self,
        file: TableFile,
        names: Sequence[str],
        plain: Sequence[int],
        standing: Sequence[int],
        targets: Sequence[int] = (),
    ) -> None:
        """Looks at every piece once. Raises DataError, OSError or FrameworkMissing."""
        self._file, self._names, self._targets = file, names, targets
        self._by_library = file_type(str(file.path)) == PARQUET
        self._rows_at_once = max(LEAST_ROWS, PIECE_VALUES // len(names))
        self.rows = 0
        self.held = self._look(plain, {}) | self._look(standing, AS_THEY_STAND)

    def pieces(
        self, places: Sequence[int], options: Mapping[str, Any] = NO_OPTIONS
    ) -> Iterator[tuple[int, dict[int, Any]]]:
        """The number of each piece's first row, and its columns by their places."""
        held = {self._names[place]: self.held[place].dtype for place in places}
        types = {name: dtype for name, dtype in held.items() if dtype}
        return self._pieces(places, {**options, "dtype": types})

    def _pieces(
        self, places: Sequence[int], options: Mapping[str, Any], *, whole: bool = False
    ) -> Iterator[tuple[int, dict[int, Any]]]:
        """The columns at some places; with `whole` all are read, and dropped here.

        pandas counts the fields of a row only where it reads all of them (pandas 3.1, *IO tools*).
        """
        if not places:
            return
        every = whole or self._by_library
        found = range(len(self._names)) if every else sorted(places)
        chosen = {} if self._by_library else dict(options)
        if not every:
            chosen["usecols"] = list(found)
        for frame in self._file.in_pieces(self._rows_at_once, **chosen):
            first = int(frame.index[0]) if len(frame) else 0
            yield first, {place: frame.iloc[:, index] for index, place in enumerate(found)}

    def _look(self, places: Sequence[int], options: Mapping[str, Any]) -> dict[int, _Held]:
        """What each of some columns holds."""
        kinds: dict[int, set[str]] = {place: set() for place in places}
        for first, columns in self._pieces(places, options, whole=True):
            for place in places:
                kinds[place].add(_kind(columns[place], target=place in self._targets))
            self.rows = first + len(columns[places[0]])
        return {place: _Held(frozenset(found), self._by_library) for place, found in kinds.items()}


@final
class TableInPieces:
    """A file with a table, read a piece at a time; `labels`: its target holds class labels."""

    def __init__(self, file: TableFile, labels: bool) -> None:
        """Looks at every piece once. Raises DataError, SpecError, OSError or FrameworkMissing."""
        self._file, self._labels = file, labels
        self._names = [str(name) for name in file.names().columns]
        require_columns(file.where, len(self._names))
        self._targets = target_columns(file, self._names)
        self._features = input_columns(file, self._names, self._targets)
        plain, standing = [*self._features, *self._targets], list[int]()
        if labels:
            plain, standing = self._features, self._targets
        self._reader = PieceReader(file, self._names, plain, standing, self._targets)
        self._held, self.rows = self._reader.held, self._reader.rows

    def written(self, path: Path) -> Table:
        """The table, its inputs in a new file, one column after the other.

        Raises DataError as reading the table at once does, OSError where it cannot be written.
        """
        words = [place for place in self._features if self._held[place].is_text]
        if self._file.data.categorical == "refuse":
            words = words[:1]  # the first one is told
        require_text_columns(self._file, len(words))
        with path.open("wb") as stream:
            stream.truncate(8 * self.rows * len(self._features))
            self._write_numbers(stream)
            found = self._write_codes(stream, words)
        targets, target_texts = self._read_targets()
        shape = self.rows, len(self._features)
        inputs: Array = np.zeros(shape)
        if self.rows and self._features:
            inputs = np.memmap(path, np.float64, mode="r+", shape=shape, order="F")
        self._refuse_row_numbers(inputs)
        texts = {
            self._features.index(place): _sorted_into(inputs, self._features.index(place), own)
            for place, own in found.items()
        }
        names = tuple(self._names[place] for place in (*self._features, *self._targets))
        return Table(
            self._file.where,
            inputs,
            targets,
            columns=names,
            texts=texts,
            target_texts=target_texts,
        )

    def _write_numbers(self, stream: Any) -> None:
        places = [place for place in self._features if not self._held[place].is_text]
        for first, columns in self._reader.pieces(places):
            for place in places:
                values = numbers_of(columns[place])
                if values is None:
                    self._refuse_changed()
                self._put(stream, place, first, values)

    def _write_codes(self, stream: Any, places: Sequence[int]) -> dict[int, dict[str, int]]:
        """Write texts as numbers, in the order in which they come; the numbers of each column."""
        found: dict[int, dict[str, int]] = {place: {} for place in places}
        for first, columns in self._reader.pieces(places, AS_THEY_STAND):
            for place in places:
                codes, texts = codes_of(self._file, columns[place], first)
                own = found[place]
                numbers = np.array([own.setdefault(text, len(own)) for text in texts], np.float64)
                known = ~np.isnan(codes)
                codes[known] = numbers[codes[known].astype(np.int64)]
                self._put(stream, place, first, codes)
        return found

    def _put(self, stream: Any, place: int, first: int, values: Any) -> None:
        stream.seek(8 * (self._features.index(place) * self.rows + int(first)))
        stream.write(np.ascontiguousarray(values, np.float64).tobytes())

    def _read_targets(self) -> tuple[Array, tuple[str, ...]]:
        """Targets as `targets_of` gives them; texts as places among the different ones."""
        options = AS_THEY_STAND if self._labels else NO_OPTIONS
        held = self._held[self._targets[0]]
        words = len(self._targets) == 1 and held.is_text
        if not words and {"i", "u"} <= held.kinds:
            raise DataError(
                f"{self._file.where}: target column {named(self._names[self._targets[0]])} holds "
                "whole numbers of 64 bits with and without a sign; allowed with data.memory_map = "
                "true are those below 2**63; leave memory_map out, or change the numbers"
            )
        parts: list[Array] = []
        own: dict[str, int] = {}
        for _, columns in self._reader.pieces(self._targets, options):
            if words:
                texts = words_of(self._file, columns[self._targets[0]])
                different, places = np.unique(texts, return_inverse=True)
                numbers = [own.setdefault(str(text), len(own)) for text in different]
                parts.append(np.array(numbers, np.int64)[places])
            else:
                parts.append(self._numeric_targets(columns))
        targets = np.concatenate(parts) if parts else np.zeros(0)
        if not words:
            return targets, ()
        order, ranks = _ranked(own)
        return ranks[targets], order

    def _numeric_targets(self, columns: Mapping[int, Any]) -> Array:
        pandas_frame = next(iter(columns.values())).to_frame().iloc[:, :0]
        for place in self._targets:
            pandas_frame[self._names[place]] = columns[place]
        return targets_of(self._file, pandas_frame, range(len(self._targets)), False)

    def _refuse_row_numbers(self, inputs: Array) -> None:
        if self._names[:1] == [NAMELESS] and 0 in self._features and self._held[0].kinds == {"i"}:
            refuse_row_numbers(self._file, inputs[:, self._features.index(0)].astype(np.int64))
            let_go(inputs)

    def _refuse_changed(self) -> None:
        raise DataError(f"{self._file.where}: has changed while it was read; try again")


def _kind(column: Any, *, target: bool) -> str:
    """What a piece of a column holds: a NumPy kind of number, or one of the words above."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return EMPTY if column.isna().all() else str(column.dtype.kind)
    if column.dtype.kind in "mM":
        return TEXT
    present = column.astype(object).dropna()
    if not len(present):
        return EMPTY
    strings = any(isinstance(value, str) for value in present)
    if (target and strings) or numbers_of(column) is None:
        return TEXT
    if strings:
        return WORDS
    return YES_OR_NO if all(isinstance(value, bool) for value in present) else OTHER


def _sorted_into(inputs: Array, index: int, own: Mapping[str, int]) -> tuple[str, ...]:
    """Number the texts of a column in sorted order; the texts."""
    order, ranks = _ranked(own)
    codes = np.array(inputs[:, index])
    known = ~np.isnan(codes)
    codes[known] = ranks[codes[known].astype(np.int64)]
    inputs[:, index] = codes
    let_go(inputs)
    return order


def _ranked(own: Mapping[str, int]) -> tuple[tuple[str, ...], Array]:
    """Texts in sorted order, and the place there of each by its number, int64 (texts,)."""
    order = tuple(sorted(own))
    ranks = np.empty(len(own), np.int64)
    ranks[[own[text] for text in order]] = np.arange(len(own))
    return order, ranks
