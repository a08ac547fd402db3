"""The residual connection (He et al., 2016, arXiv 1512.03385): x + block(x)."""

from __future__ import annotations

from typing import Annotated, Literal, final

from pydantic import Field

from twofold.spec.layers.activation import Activation
from twofold.spec.layers.batch_norm import BatchNorm
from twofold.spec.layers.dropout import Dropout
from twofold.spec.layers.kind import LayerKind
from twofold.spec.layers.layer_norm import LayerNorm
from twofold.spec.layers.linear import Linear

Plain = Linear | Activation | Dropout | LayerNorm | BatchNorm
InBlock = Annotated[Plain, Field(discriminator="kind")]
MOST_LAYERS = 256


@final
class Residual(LayerKind):
    """What a block of layers makes of x, added to x; the block keeps the number of features.

    A block holds no other residual. What stands inside is counted and named like all other layers.
    """

    kind: Literal["residual"] = "residual"
    layers: Annotated[tuple[InBlock, ...], Field(strict=False, max_length=MOST_LAYERS)]

    def words(self) -> str:
        """The kind."""
        return self.kind
