"""The linear layer: x W^T + b."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, final

import numpy as np

from twofold.spec import threefry
from twofold.spec.initial_values import BiasInit, Init, initial_bias, initial_weight
from twofold.spec.layers.kind import Array, LayerKind, Permutation, Shapes, Values
from twofold.spec.section import PositiveInt


@final
class Linear(LayerKind):
    """A matrix product and a bias: (batch, in_features) to (batch, out_features).

    `in_features` may be left out: it is what the layer before gives. The last layer of a model may
    leave `out_features` out as well: it gives the logits. `init` and `bias_init` are defined in
    `twofold.spec.initial_values`; "pytorch" is what `torch.nn.Linear` starts from, and lecun_normal
    with zeros what `flax.nnx.Linear` starts from.
    """

    kind: Literal["linear"] = "linear"
    in_features: PositiveInt | None = None
    out_features: PositiveInt | None = None
    bias: bool = True
    init: Init = "pytorch"
    bias_init: BiasInit = "pytorch"

    def words(self) -> str:
        """The kind."""
        return self.kind

    def width_after(self, width: int) -> int:
        """`out_features`, which is known once the layer has its place in a model."""
        del width
        assert self.out_features is not None
        return self.out_features

    def parameter_shapes(self, width: int) -> Shapes:
        """`weight` (out_features, in_features), `bias` (out_features,)."""
        out = self.width_after(width)
        shapes: Shapes = {"weight": (out, width)}
        return {**shapes, "bias": (out,)} if self.bias else shapes

    def initial_parameters(self, width: int, key: threefry.Key) -> Values:
        """What `init` and `bias_init` say (`twofold.spec.initial_values`).

        The draws are Twofold's own, so that both frameworks start from the same bits.
        """
        fans = width, self.width_after(width)
        weight = initial_weight(self.init, threefry.fold_in(key, 0), *fans)
        if not self.bias:
            return {"weight": weight}
        return {
            "weight": weight,
            "bias": initial_bias(self.bias_init, threefry.fold_in(key, 1), *fans),
        }

    def products(self, width: int) -> int:
        """in_features times out_features."""
        return width * self.width_after(width)

    def kept_numbers(self, width: int) -> int:
        """What leaves."""
        return self.width_after(width)

    def relabelled(self, entering: Permutation, key: threefry.Key) -> Permutation:
        """Any permutation."""
        return threefry.permutation(key, self.width_after(len(entering)))

    def permuted(
        self, arrays: Mapping[str, Array], into: Permutation, out: Permutation
    ) -> dict[str, Array]:
        """Rows and columns of the weight, elements of the bias."""
        moved = {"weight": np.ascontiguousarray(arrays["weight"][out][:, into])}
        return {**moved, "bias": arrays["bias"][out]} if "bias" in arrays else moved
