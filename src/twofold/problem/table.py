"""A table as it was read: numbers, codes of texts, and what a person calls its columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from twofold.problem.state import Array
from twofold.spec.limits import named

MOST_VALUES: Final = 10**9  # 8 GB of float64
PIECE_VALUES: Final = 2**18


@dataclass(frozen=True)
class Table:
    """Data as loaded: `inputs` float64, `targets` numbers or texts, `where` for messages.

    `columns` are the names of the columns of the inputs and then of the targets; empty if unknown.
    `classes` is the number of classes where the source fixes it, `class_names` their names.
    `texts` has, for each column of the inputs that holds text, its different texts in sorted
    order; the inputs hold the place of each text among them. Where a cell is empty, a number is
    NaN and a text target is "". With `target_texts`, the different texts of the one target in
    sorted order, the targets hold the place of each among them instead.
    """

    where: str
    inputs: Array
    targets: Array
    columns: tuple[str, ...] = ()
    classes: int | None = None
    class_names: tuple[str, ...] = ()
    texts: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    target_texts: tuple[str, ...] = ()

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

    @property
    def has_text_targets(self) -> bool:
        """Whether the targets are texts."""
        return bool(self.target_texts) or self.targets.dtype.kind == "U"

    def target(self, row: int) -> str:
        """The first target of a row, as a text."""
        found = self.targets[row] if self.targets.ndim == 1 else self.targets[row, 0]
        return self.target_texts[int(found)] if self.target_texts else str(found)

    def different_targets(self) -> tuple[Array, npt.NDArray[np.int64]]:
        """The different targets of one column, sorted, and the place of each row's among them."""
        found, places = np.unique(self.targets, return_inverse=True)
        if self.target_texts:
            found = np.array([self.target_texts[int(code)] for code in found], np.str_)
        return found, places

    def empty_targets(self) -> npt.NDArray[np.bool_]:
        """Which targets are empty, (rows, targets)."""
        targets = self.targets.reshape(self.rows, -1)
        if self.target_texts:
            return np.asarray(targets == (0 if self.target_texts[0] == "" else -1))
        if targets.dtype.kind == "U":
            return np.asarray(targets == "")
        return np.isnan(targets) if targets.dtype.kind == "f" else np.zeros(targets.shape, np.bool_)

    def only(self, rows: npt.NDArray[np.bool_]) -> Table:
        """The table with these rows alone; `rows` bool (rows,)."""
        return replace(self, inputs=self.inputs[rows], targets=self.targets[rows])

    def only_first(self, rows: int, targets: Array) -> Table:
        """The table with its first rows alone, and other targets."""
        return replace(self, inputs=self.inputs[:rows], targets=targets)


def pieces(values: Array) -> Iterator[slice]:
    """Consecutive rows of values (rows, columns), about PIECE_VALUES numbers at a time."""
    size = max(1, PIECE_VALUES // max(1, values.shape[1]))
    for start in range(0, len(values), size):
        yield slice(start, min(start + size, len(values)))
