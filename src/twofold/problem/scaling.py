"""How columns are standardized, learned of the training rows, and their cast to the precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from twofold.errors import DataError
from twofold.problem.description import Scaling
from twofold.problem.state import Array
from twofold.spec.experiment import Experiment

Sum = Callable[[Array], Array]
Flags = npt.NDArray[np.bool_]


def at_once(values: Array) -> Array:
    """The sum of the rows (rows, columns), whatever their layout, as NumPy adds up whole rows."""
    return np.asarray(np.add.reduce(np.ascontiguousarray(values), axis=0))


def one_by_one(values: Array) -> Array:
    """The sum of the rows (rows, columns), one row after the other; overwrites them.

    So `at_once` adds up rows of two columns and more, bit for bit; those of one column it adds up
    in pairs.
    """
    return np.array(np.add.accumulate(values, axis=0, out=values)[-1])


@dataclass(frozen=True, eq=False)
class Standard:
    """What brings columns to zero mean and unit variance; all (columns,).

    Values are first scaled by 2**-exponent, which is exact, so that squares neither overflow nor
    vanish; `mean` and `deviation` are of scaled values. A column that is `constant` in training
    says nothing and becomes 0; one that is left `alone` stays as it is.
    """

    exponent: npt.NDArray[np.integer]
    mean: Array
    deviation: Array
    constant: Flags
    alone: Flags

    @classmethod
    def of(cls, train: Array, alone: Flags | None = None, add: Sum = at_once) -> Standard:
        """That of training rows (rows, columns), float64, whose rows `add` adds up."""
        constant = train.max(axis=0) == train.min(axis=0)
        exponent = np.frexp(np.abs(train).max(axis=0))[1]
        with np.errstate(over="ignore"):  # the cast refuses what overflows
            mean = add(np.ldexp(train, -exponent)) / len(train)
            # As np.std does (NumPy 2.4, numpy/_core/_methods.py: _var).
            about = np.ldexp(train, -exponent) - mean
            deviation = np.sqrt(add(np.multiply(about, about, out=about)) / len(train))
        deviation = np.where(constant, 1.0, deviation)
        none = np.zeros(len(constant), np.bool_)
        return cls(exponent, mean, deviation, constant, none if alone is None else alone)

    @classmethod
    def untouched(cls, columns: int) -> Standard:
        """That of columns that stay as they are."""
        zeros, none = np.zeros(columns), np.zeros(columns, np.bool_)
        return cls(zeros.astype(np.int64), zeros, np.ones(columns), none, ~none)

    @classmethod
    def joined(cls, parts: Sequence[Standard]) -> Standard:
        """That of the columns of all parts, one after the other."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def applied(self, values: Array) -> Array:
        """Values (rows, columns) standardized, float64."""
        with np.errstate(over="ignore"):  # the cast refuses what overflows
            scaled = np.ldexp(values, -self.exponent)
            standard = np.where(self.constant, 0.0, (scaled - self.mean) / self.deviation)
        return np.where(self.alone, values, standard)

    def scaling(self) -> Scaling:
        """The same in original units."""
        with np.errstate(over="ignore"):
            mean = np.ldexp(self.mean, self.exponent)
            scale = np.ldexp(self.deviation, self.exponent)
        return Scaling(
            mean=np.where(self.alone, 0.0, mean),
            scale=np.where(self.constant | self.alone, 1.0, scale),
            constant=self.constant & ~self.alone,
        )


def cast(values: Array, experiment: Experiment, what: str, first_row: int = 0) -> Array:
    """Values (rows, columns) in the experiment's precision.

    Raises DataError for what overflows; its row is counted from `first_row`.
    """
    with np.errstate(over="ignore"):
        found = values.astype(experiment.parameter_dtype)
    if not np.all(np.isfinite(found)):
        row, column = (int(i) for i in np.argwhere(~np.isfinite(found))[0])
        raise DataError(
            f"{what}[{first_row + row}, {column}]: too large for {experiment.parameter_dtype}; "
            "scale the data down or use precision = 'float64'"
        )
    return found
