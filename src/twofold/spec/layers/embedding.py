"""The embedding of columns of texts: each text is a row of a table of learned numbers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Annotated, Final, Literal, final

import numpy as np
from pydantic import Field

from twofold.spec import threefry
from twofold.spec.layers.kind import Array, LayerKind, Permutation, Shapes, Values
from twofold.spec.section import PositiveInt

MOST_ROWS: Final = 2**24
"""Inputs are floating-point numbers, and float32 holds every whole number up to this one."""

Categories = Annotated[
    tuple[Annotated[int, Field(ge=0, le=MOST_ROWS, strict=True)], ...],
    Field(strict=False, min_length=1),
]
EmbeddingInit = Literal["pytorch", "flax"]


@final
class Embedding(LayerKind):
    """Each column of texts becomes `features` learned numbers; columns of numbers pass unchanged.

    The last input columns are those of the texts, and `categories` says how many texts each of them
    has in the training rows; left out, the data decides. One table of weights serves all columns:
    the rows of the first column's texts, then one row for all other texts, then the next column's.
    An input holds the number of its row in that table. What leaves is the columns of numbers, then
    the rows of the table, column after column. Allowed as the first layer of a model alone.

    `init = "pytorch"` draws standard normal numbers, as `torch.nn.Embedding` does (PyTorch 2.13);
    `"flax"` divides them by the square root of `features`, as `flax.nnx.Embed` does (Flax 0.12,
    `variance_scaling(1.0, "fan_in", "normal", out_axis=0)`). The row of other texts starts at zero.
    No training row has such a text, so it stays there, unless training rows have empty cells.
    """

    kind: Literal["embedding"] = "embedding"
    features: PositiveInt
    categories: Categories | None = None
    init: EmbeddingInit = "pytorch"

    def words(self) -> str:
        """The kind."""
        return self.kind

    @property
    def known(self) -> tuple[int, ...]:
        """`categories`, which are known once the layer has its place in a model."""
        assert self.categories is not None
        return self.categories

    @property
    def first_rows(self) -> tuple[int, ...]:
        """For each column of texts the row of its first text; then the number of all rows."""
        return tuple(accumulate((count + 1 for count in self.known), initial=0))

    def numbers(self, width: int) -> int:
        """How many columns of numbers there are, which come first."""
        return width - len(self.known)

    def width_after(self, width: int) -> int:
        """The columns of numbers, and `features` for each column of texts."""
        return self.numbers(width) + self.features * len(self.known)

    def parameter_shapes(self, width: int) -> Shapes:
        """`weight` (rows, features): a row for each text of each column, and one for its others."""
        del width
        return {"weight": (self.first_rows[-1], self.features)}

    def initial_parameters(self, width: int, key: threefry.Key) -> Values:
        """What `init` says; zero for the texts that no training row has."""
        ((name, shape),) = self.parameter_shapes(width).items()
        weight = threefry.normal(threefry.fold_in(key, 0), shape)
        if self.init == "flax":
            weight = weight / np.sqrt(self.features)
        weight[np.array(self.first_rows[1:]) - 1] = 0.0
        return {name: weight}

    def kept_numbers(self, width: int) -> int:
        """What leaves."""
        return self.width_after(width)

    def relabelled(self, entering: Permutation, key: threefry.Key) -> Permutation:
        """Numbers leave as they entered; the features of every row are permuted alike."""
        numbers = self.numbers(len(entering))
        features = threefry.permutation(key, self.features)
        embedded = [
            numbers + self.features * column + features for column in range(len(self.known))
        ]
        return np.concatenate([entering[:numbers], *embedded])

    def permuted(
        self, arrays: Mapping[str, Array], into: Permutation, out: Permutation
    ) -> dict[str, Array]:
        """The columns of the table, as those of the first embedded column are."""
        numbers = self.numbers(len(into))
        features = out[numbers : numbers + self.features] - numbers
        return {name: np.ascontiguousarray(array[:, features]) for name, array in arrays.items()}
