"""The section `[data]` of a spec: which table, how it is read, what its columns are, how it is fed.

How a table is read and what is done to its cells: `twofold.problem.table_files` and its neighbours.
"""

from __future__ import annotations

import codecs
from pathlib import PurePath
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from twofold.spec.limits import shown
from twofold.spec.section import Fraction, PositiveInt, Section

SYNTHETIC: Final = "synthetic"
WITH_TEXTS: Final = "synthetic-categories"
ARRAYS: Final = ".npz"
PARQUET: Final = ".parquet"
TEXT_TABLES: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
TABLES: Final = (*TEXT_TABLES, PARQUET)
FILE_TYPES: Final = (*TABLES, ARRAYS)
TEXT_OPTIONS: Final = ("separator", "decimal", "encoding", "comment")
FILE_OPTIONS: Final = ("most_values",)
TABLE_OPTIONS: Final = ("target", "columns", "exclude", "categorical", "memory_map")

Missing = Literal["refuse", "drop", "mean", "median"]
Categorical = Literal["refuse", "one_hot", "embedding"]


def file_type(source: str) -> str:
    """The file type that a source's name ends with, such as `.csv.gz`; "" where it has none."""
    *before, last = ["", *(each.lower() for each in PurePath(source).suffixes)]
    return before[-1] + last if last == ".gz" else last


def _one_name_or_more(value: Any) -> Any:
    if isinstance(value, list | tuple):
        names = tuple(value)
        if names and all(isinstance(name, str) and name for name in names):
            return names
    elif value is None or (isinstance(value, str) and value):
        return value
    raise ValueError(f"{shown(value)} given; allowed is the name of a column, or a list of names")


def _one_character(value: Any) -> Any:
    if value is None or (isinstance(value, str) and len(value) == 1 and value not in '\n\r"\0'):
        return value
    raise ValueError(
        f"{shown(value)} given; allowed is one character, such as ';' or '\\t', but no quote and "
        "no end of a line"
    )


def _decimal_sign(value: Any) -> Any:
    if value in (None, ".", ","):
        return value
    raise ValueError(f"{shown(value)} given; allowed is '.' or ','")


def _known_encoding(value: Any) -> Any:
    if value is None:
        return value
    try:
        found = codecs.lookup(value) if isinstance(value, str) else None
    except (LookupError, ValueError):
        found = None
    if found is None or not getattr(found, "_is_text_encoding", True):
        raise ValueError(
            f"{shown(value)} given; allowed is the name of an encoding that Python knows, such as "
            "'utf-8', 'cp1252' or 'utf-16'"
        )
    return value


Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], Field(strict=False, min_length=1)]
Target = Annotated[str | tuple[str, ...], BeforeValidator(_one_name_or_more)]
Character = Annotated[str, BeforeValidator(_one_character)]
DecimalSign = Annotated[str, BeforeValidator(_decimal_sign)]
Encoding = Annotated[str, BeforeValidator(_known_encoding)]


class Data(Section):
    """Where the data comes from, what its columns are and how it is fed.

    `source` is a built-in name (`synthetic`; `synthetic-categories`, which has columns of texts
    too; `digits`, `breast-cancer`, `diabetes`), an `.npz` with the arrays `inputs` and `targets`,
    or a table: `.csv`, `.tsv`, `.csv.gz`, `.tsv.gz` or `.parquet`. A path is relative to the spec's
    own folder. `rows` belongs to the synthetic sources alone.

    Of a table, `target` names the column to predict, or several in a list; the inputs are
    `columns`, by default all others, without `exclude`. `separator` (by default a comma, in `.tsv`
    a tab), `decimal` (by default "."), `encoding` (by default UTF-8) and `comment` (by default
    none) say how a text is read. Columns of text are refused unless `categorical` is `"one_hot"`,
    which makes an input of 0 and 1 out of each text that the training rows have, or `"embedding"`,
    which numbers these texts for the embedding that the model begins with
    (`twofold.spec.layers.embedding`).

    `missing` says what becomes of empty cells: `refuse`; `drop` leaves out their rows; `mean` and
    `median` fill in that of the column's training rows, in inputs only.

    `most_values` is how many numbers a file may hold; by default a file that holds far more than
    its size lets expect is refused (`twofold.problem.file_size`).

    With `memory_map` a table is never held in memory: it is read in pieces, written once to a file
    in the cache folder, and rows are taken from there (`twofold.problem.mapped`). All values and
    their order are the same.

    `standardize` brings inputs, and for `mse` and `huber` the targets too, to zero mean and unit
    variance on the training rows; inputs that stand for texts stay as they are.

    `test_fraction` is the share of all rows that no training sees, `validation_fraction` the share
    of the rest that is set aside to tell the best epoch (`twofold.engines.validation`). Both are
    drawn with the seed; with validation rows the test rows are the same as without.
    """

    source: Annotated[str, Field(min_length=1)] = "synthetic"
    target: Target | None = None
    columns: Names | None = None
    exclude: Names | None = None
    separator: Character | None = None
    decimal: DecimalSign | None = None
    encoding: Encoding | None = None
    comment: Character | None = None
    missing: Missing = "refuse"
    categorical: Categorical = "refuse"
    most_values: PositiveInt | None = None
    memory_map: bool = False
    rows: PositiveInt | None = None
    batch_size: PositiveInt = 64
    shuffle: bool = True
    drop_last: bool = False
    standardize: bool = True
    test_fraction: Fraction = 0.2
    validation_fraction: Fraction = 0.0

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the target columns; empty where none is given."""
        given = self.target
        return () if given is None else (given,) if isinstance(given, str) else given

    @property
    def field_separator(self) -> str:
        """The sign between the fields of a text: the given one, else that of the file type."""
        comma_or_tab = "\t" if file_type(self.source).startswith(".tsv") else ","
        return self.separator or comma_or_tab

    @model_validator(mode="after")
    def _each_column_once(self) -> Self:
        named = [("target", self.targets), ("columns", self.columns), ("exclude", self.exclude)]
        home: dict[str, str] = {}
        for field, names in named:
            for name in names or ():
                if name in home:
                    places = f"{home[name]} and {field}" if home[name] != field else field
                    raise ValueError(f"{name!r} is named twice, in {places}; name it once")
                home[name] = field
        return self

    @model_validator(mode="after")
    def _signs_differ(self) -> Self:
        if self.decimal is not None and self.decimal == self.field_separator:
            raise ValueError(
                f"decimal: {self.decimal!r} given, which also separates the fields; set separator"
            )
        if self.comment is not None and self.comment in (self.decimal, self.field_separator):
            raise ValueError(
                f"comment: {self.comment!r} given, which is also decimal or separator; "
                "allowed is a sign of its own"
            )
        return self
