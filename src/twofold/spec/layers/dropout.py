"""Dropout (Srivastava et al., 2014)."""

from __future__ import annotations

from typing import Literal, final

from twofold.spec.layers.kind import LayerKind
from twofold.spec.section import Fraction


@final
class Dropout(LayerKind):
    """In training each number is zero with probability `rate`; what is kept is divided by 1 - rate.

    In evaluation nothing changes.
    """

    kind: Literal["dropout"] = "dropout"
    rate: Fraction

    def words(self) -> str:
        """The kind and its rate."""
        return f"dropout {self.rate:g}"
