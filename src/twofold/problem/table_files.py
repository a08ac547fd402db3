"""Read a table that a person has: `.csv`, `.tsv`, both also as `.gz`, and `.parquet`.

pandas reads them (Parquet through pyarrow); both are imported only when a table is named.
"""

from __future__ import annotations

import re
import warnings
import zlib
from collections.abc import Sequence
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

    def _parquet(self) -> Any:
        pandas = library("pandas", "pandas", str(self.path))
        arrow = library("pyarrow", "pyarrow", str(self.path))
        parquet = library("pyarrow.parquet", "pyarrow", str(self.path))
        try:
            with parquet.ParquetFile(self.path) as file:
                require_parquet(file.metadata, self.where, most_values(self.path, self.data))
            return pandas.read_parquet(self.path, engine="pyarrow")
        except (ValueError, TypeError, NotImplementedError, arrow.ArrowException) as error:
            reason = (str(error).strip().splitlines() or ["nothing in it"])[0]
            raise DataError(
                f"{self.where}: not a readable .parquet: {cut(reason, LONGEST_REASON)}"
            ) from error

    def _text(self, **options: Any) -> Any:
        pandas = library("pandas", "pandas", str(self.path))
        data, kind = self.data, file_type(str(self.path))
        try:
            require_text_table(self.path, self.where, data)
            with warnings.catch_warnings():
                warnings.simplefilter("error", pandas.errors.ParserWarning)
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


def _in_plain_words(error: BaseException) -> str:
    """What a parser of pandas says, without its own words where they are known."""
    text = str(error).strip()
    fields = _TOO_MANY_FIELDS.search(text)
    if fields is not None:
        return f"line {fields[2]} has {fields[3]} fields, the lines above it {fields[1]}"
    if "Length of header or names does not match length of data" in text:
        return "its rows have more fields than its first line has names"
    return cut(text.splitlines()[0], LONGEST_REASON) if text else type(error).__name__
