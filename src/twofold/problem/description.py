"""What the arrays of a problem stand for: names, classes, units, and what was done to the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from twofold.problem.state import Array


@dataclass(frozen=True, eq=False)
class Scaling:
    """standard = (value - mean) / scale, column by column; both (columns,), float64.

    Columns that are left as they are have mean 0 and scale 1. `constant` (columns,) says which are
    constant in training: these have scale 1, and their standard value is 0 in all rows.
    """

    mean: Array
    scale: Array
    constant: npt.NDArray[np.bool_]

    def standard(self, values: Array) -> Array:
        """Values (rows, columns) in original units as the training saw them, float64."""
        with np.errstate(over="ignore"):  # what reads the result refuses what is not finite
            return np.where(self.constant, 0.0, (values - self.mean) / self.scale)

    def original(self, standard: Array) -> Array:
        """Values (rows, columns) in original units, float64."""
        return np.asarray(standard.astype(np.float64) * self.scale + self.mean)


@dataclass(frozen=True)
class Filled:
    """Empty cells of an input column, filled in with a number of the training rows.

    `value` is None in a column of text, where an empty cell is of no category.
    """

    column: str
    cells: int
    value: float | None


@dataclass(frozen=True)
class Categories:
    """A column of text whose categories are the texts that the training rows have, sorted.

    `unseen` has the texts of validation and test rows that no training row has, with their number
    of rows. One-hot such a row has 0 in all inputs of the column; embedded it has the column's row
    of other texts.
    """

    column: str
    categories: tuple[str, ...]
    unseen: tuple[tuple[str, int], ...] = ()

    def joined(self, other: Categories | None) -> Categories:
        """The same column, with the texts and rows that either has not seen."""
        counts = Counter(dict(self.unseen)) + Counter(dict(other.unseen if other else ()))
        return replace(self, unseen=tuple(sorted(counts.items())))


@dataclass(frozen=True)
class Description:
    """What a problem's columns and labels are called, and what was done to its table.

    `inputs` and `targets` are names of columns, `classes` the names of the labels 0, 1, ...; all
    are empty where the source has none. `input_scaling` and `target_scaling` are None where the
    values stand as they came. `one_hot` and `embedded` are the columns of text, by what they
    became. `telling` are the input columns that tell the target alone.
    """

    inputs: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    input_scaling: Scaling | None = None
    target_scaling: Scaling | None = None
    dropped_rows: int = 0
    filled: tuple[Filled, ...] = ()
    one_hot: tuple[Categories, ...] = ()
    embedded: tuple[Categories, ...] = ()
    telling: tuple[str, ...] = ()


NOTHING_KNOWN: Final = Description()


def described_in_json(known: Description) -> dict[str, Any]:
    """A description in JSON's own types; numbers keep every bit."""
    plain: dict[str, Any] = asdict(known)
    for name in ("input_scaling", "target_scaling"):
        scaling = plain[name]
        if scaling is not None:
            plain[name] = {key: array.tolist() for key, array in scaling.items()}
    return plain


def described_of(given: Mapping[str, Any]) -> Description:
    """What `described_in_json` was given. Raises KeyError, TypeError or ValueError for all else."""
    return Description(
        inputs=tuple(given["inputs"]),
        targets=tuple(given["targets"]),
        classes=tuple(given["classes"]),
        input_scaling=_scaling(given["input_scaling"]),
        target_scaling=_scaling(given["target_scaling"]),
        dropped_rows=given["dropped_rows"],
        filled=tuple(Filled(**each) for each in given["filled"]),
        one_hot=_categories(given["one_hot"]),
        embedded=_categories(given["embedded"]),
        telling=tuple(given["telling"]),
    )


def _categories(given: Sequence[Mapping[str, Any]]) -> tuple[Categories, ...]:
    return tuple(
        Categories(
            each["column"],
            tuple(each["categories"]),
            tuple((text, rows) for text, rows in each["unseen"]),
        )
        for each in given
    )


def _scaling(given: Mapping[str, Any] | None) -> Scaling | None:
    if given is None:
        return None
    mean, scale = (np.array(given[name], np.float64) for name in ("mean", "scale"))
    return Scaling(mean, scale, np.array(given["constant"], np.bool_))
