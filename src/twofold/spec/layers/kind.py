"""What every kind of layer says of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from twofold.spec.section import Section
from twofold.spec.threefry import Key

Shapes = dict[str, tuple[int, ...]]
Array = npt.NDArray[Any]
Values = dict[str, npt.NDArray[np.float64]]
Permutation = npt.NDArray[np.int64]


class LayerKind(Section, ABC):
    """A layer of a spec; `width` is the number of features that enter it.

    What is not overridden is that of a layer which works on each number by itself: as many features
    leave as enter, there is nothing to learn, and no matrix product. In training a layer
    that is `across_rows` makes something else of a row, where other rows stand beside it.
    """

    across_rows: ClassVar[bool] = False

    @abstractmethod
    def words(self) -> str:
        """What it is, in a word or two."""

    def width_after(self, width: int) -> int:
        """How many features leave."""
        return width

    def parameter_shapes(self, width: int) -> Shapes:
        """What the optimizer changes: short names such as `weight`, and shapes."""
        del width
        return {}

    def buffer_shapes(self, width: int) -> Shapes:
        """What the forward pass itself changes in training: short names and shapes."""
        del width
        return {}

    def initial_parameters(self, width: int, key: Key) -> Values:
        """Values before the first step, float64, drawn from the layer's own key."""
        del width, key
        return {}

    def initial_buffers(self, width: int) -> Values:
        """Values before the first step, float64."""
        del width
        return {}

    def products(self, width: int) -> int:
        """Multiplications of its matrix product for each row."""
        del width
        return 0

    def kept_numbers(self, width: int) -> int:
        """Numbers for each row that it must write down, however far elementwise work is fused."""
        del width
        return 0

    def relabelled(self, entering: Permutation, key: Key) -> Permutation:
        """One of the ways to relabel the features that leave, when those that enter are so."""
        del key
        return entering

    def permuted(
        self, arrays: Mapping[str, Array], into: Permutation, out: Permutation
    ) -> dict[str, Array]:
        """Its parameters or buffers when features are relabelled.

        `into` and `out` say which of the old features, entering and leaving, stands at each place.
        """
        del into, out
        return dict(arrays)
