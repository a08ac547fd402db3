"""A table as it was read: numbers, codes of texts, and what a person calls its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from twofold.problem.state import Array
from twofold.spec.limits import named

MOST_VALUES: Final = 10**9  # 8 GB of float64


@dataclass(frozen=True)
class Table:
    """Data as loaded: `inputs` float64, `targets` numbers or texts, `where` for messages.

    `columns` are the names of the columns of the inputs and then of the targets; empty if unknown.
    `classes` is the number of classes where the source fixes it, `class_names` their names.
    `texts` has, for each column of the inputs that holds text, its different texts in sorted
    order; the inputs hold the place of each text among them. Where a cell is empty, a number is
    NaN and a text target is "".
    """

    where: str
    inputs: Array
    targets: Array
    columns: tuple[str, ...] = ()
    classes: int | None = None
    class_names: tuple[str, ...] = ()
    texts: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.inputs.shape[0])

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the input columns; empty if unknown."""
        return self.columns[: self.inputs.shape[1]]

    @property
    def target_names(self) -> tuple[str, ...]:
        """The names of the target columns; empty if unknown."""
        return self.columns[self.inputs.shape[1] :]

    def column(self, what: str, index: int) -> str:
        """What a person calls a column of `inputs` or `targets`: its name, else its number."""
        position = index if what == "inputs" else index + self.inputs.shape[1]
        return named(self.columns[position]) if self.columns else str(index)

    def only(self, rows: npt.NDArray[np.bool_]) -> Table:
        """The table with these rows alone; `rows` bool (rows,)."""
        return replace(self, inputs=self.inputs[rows], targets=self.targets[rows])
