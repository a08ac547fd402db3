"""What the arrays of a problem stand for: names, classes, units, and what was done to the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
