"""Read a table that a person has: `.csv`, `.tsv`, both also as `.gz`, and `.parquet`.

pandas reads them (Parquet through pyarrow); both are imported only when a table is named.
"""

from __future__ import annotations

import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from twofold.errors import DataError
from twofold.problem.file_size import most_values, require_parquet, require_text_table
from twofold.problem.libraries import library
from twofold.problem.table_hints import encoding_that_would_read, options_that_would_read
from twofold.spec.data import PARQUET, Data, file_type
from twofold.spec.limits import cut

LONGEST_REASON: Final = 240
READ_AHEAD: Final = 2**16  # bytes of each column
DAMAGED: Final = (ValueError, TypeError, LookupError, AttributeError, NotImplementedError)
"""What readers of a Parquet file raise beside their own errors."""
_TOO_MANY_FIELDS: Final = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")


@final
@dataclass(frozen=True)
class TableFile:
    """A file with a table, and how it is to be read; `where` is what messages call it."""

    path: Path
    where: str
    data: Data

    def frame(self) -> Any:
        """The table as a pandas DataFrame. Raises DataError, OSError or FrameworkMissing."""
        return self._parquet() if file_type(str(self.path)) == PARQUET else self._text()

    def as_they_stand(self, frame: Any, positions: Sequence[int]) -> dict[int, Any]:
        """Columns in which only empty cells are missing, so that "NA" and "None" are texts.

        By position; `frame` is what the method `frame` gave.
        """
        columns = {position: frame.iloc[:, position] for position in positions}
        again = [position for position in sorted(columns) if columns[position].hasnans]
        if file_type(str(self.path)) != PARQUET and again:
            only = {"usecols": again, "keep_default_na": False, "na_values": [""]}
            read = self._text(**only)
            columns |= {position: read.iloc[:, place] for place, position in enumerate(again)}
        return columns

    def hint(self) -> str:
        """The options that would read the file, as the end of a sentence; "" if none is known."""
        if file_type(str(self.path)) == PARQUET:
            return ""
        return options_that_would_read(self.path, self.data)

    def names(self) -> Any:
        """The table without its rows, as a DataFrame. Raises what `frame` does."""
        if file_type(str(self.path)) == PARQUET:
            return self._parquet(lambda file: file.schema_arrow.empty_table().to_pandas())
        return self._text(nrows=0)

    def in_pieces(self, rows: int, **options: Any) -> Iterator[Any]:
        """DataFrames of at most so many rows each, whose index counts the rows of the table.

        `options` are those of `pandas.read_csv`, and of text tables alone: a piece of a column
        says less than the whole of what it holds. Raises what `frame` does.
        """
        start = 0
        parquet = file_type(str(self.path)) == PARQUET
        for frame in self._batches(rows) if parquet else self._chunks(rows, options):
            frame.index = range(start, start + len(frame))
            start += len(frame)
            yield frame

    def _chunks(self, rows: int, options: Mapping[str, Any]) -> Iterator[Any]:
        with self._told(), self._text(chunksize=rows, **options) as reader:
            while True:
                with _strictly():
                    frame = next(reader, None)
                if frame is None:
                    return
                yield frame

    def _batches(self, rows: int) -> Iterator[Any]:
        parquet = library("pyarrow.parquet", "pyarrow", str(self.path))
        # By default a whole row group is read ahead, and all that were read are kept
        # (pyarrow 26, pyarrow/parquet/core.py: ParquetFile, pre_buffer).
        bounded = {"pre_buffer": False, "buffer_size": READ_AHEAD}
        with self._told(), parquet.ParquetFile(self.path, **bounded) as file:
            for batch in file.iter_batches(batch_size=rows, use_threads=False):
                yield batch.to_pandas()

    def _parquet(self, read: Callable[[Any], Any] | None = None) -> Any:
        pandas = library("pandas", "pandas", str(self.path))
        parquet = library("pyarrow.parquet", "pyarrow", str(self.path))
        with self._told():
            with parquet.ParquetFile(self.path) as file:
                most, may_be_mapped = most_values(self.path, self.data), not self.data.memory_map
                require_parquet(file.metadata, self.where, most, may_be_mapped=may_be_mapped)
                if read is not None:
                    return read(file)
            return pandas.read_parquet(self.path, engine="pyarrow")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What a reader of Parquet or text raises becomes a DataError."""
        kind = file_type(str(self.path))
        with self._parquet_told() if kind == PARQUET else self._text_told(kind):
            yield

    @contextmanager
    def _parquet_told(self) -> Iterator[None]:
        arrow = library("pyarrow", "pyarrow", str(self.path))
        try:
            yield
        # pandas reads its own notes in the file, and takes for granted what stands in them.
        except (*DAMAGED, arrow.ArrowException) as error:
            reason = (str(error).strip().splitlines() or ["nothing in it"])[0]
            raise DataError(
                f"{self.where}: not a readable .parquet: {cut(reason, LONGEST_REASON)}"
            ) from error

    def _text(self, **options: Any) -> Any:
        pandas = library("pandas", "pandas", str(self.path))
        data = self.data
        with self._told():
            if "chunksize" not in options:  # that comes after it was read without its rows
                require_text_table(self.path, self.where, data)
            with _strictly():
                return pandas.read_csv(
                    self.path,
                    sep=data.field_separator,
                    decimal=data.decimal or ".",
                    encoding=data.encoding,
                    comment=data.comment,
                    index_col=False,  # a row with a field too many is a mistake, not an index
                    low_memory=False,
                    **options,
                )

    @contextmanager
    def _text_told(self, kind: str) -> Iterator[None]:
        pandas = library("pandas", "pandas", str(self.path))
        try:
            yield
        except UnicodeError as error:
            raise DataError(f"{self.where}: {self._undecodable(error)}") from error
        except (ValueError, pandas.errors.ParserWarning, EOFError, zlib.error) as error:
            reason = f"{_in_plain_words(error)}{self.hint()}"
            raise DataError(f"{self.where}: not a readable {kind}: {reason}") from error

    def _undecodable(self, error: UnicodeError) -> str:
        given = self.data.encoding or "utf-8"
        place = f" (byte {error.start})" if isinstance(error, UnicodeDecodeError) else ""
        return (
            f"not a readable {file_type(str(self.path))}: its bytes are not {given} text{place}; "
            f"set data.encoding, such as {encoding_that_would_read(self.path)!r}"
        )


@contextmanager
def _strictly() -> Iterator[None]:
    """What pandas only warns of is an error."""
    pandas = library("pandas", "pandas", "")
    with warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        yield


def _in_plain_words(error: BaseException) -> str:
    """What a parser of pandas says, without its own words where they are known."""
    text = str(error).strip()
    fields = _TOO_MANY_FIELDS.search(text)
    if fields is not None:
        return f"line {fields[2]} has {fields[3]} fields, the lines above it {fields[1]}"
    if "Length of header or names does not match length of data" in text:
        return "its rows have more fields than its first line has names"
    return cut(text.splitlines()[0], LONGEST_REASON) if text else type(error).__name__
