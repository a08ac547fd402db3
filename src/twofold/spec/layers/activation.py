"""The activation: a function of each number by itself."""

from __future__ import annotations

from typing import Final, Literal, final

from twofold.spec.layers.kind import LayerKind

ActivationName = Literal[
    "relu", "leaky_relu", "elu", "tanh", "gelu", "gelu_tanh", "silu", "sigmoid", "identity"
]
LEAKY_SLOPE: Final = 0.01
"""The slope of `leaky_relu` below zero: the default of `torch.nn.functional.leaky_relu` (PyTorch
2.13) and `jax.nn.leaky_relu` (JAX 0.10). At exactly zero PyTorch's derivative is this slope, JAX's
is one."""
ELU_ALPHA: Final = 1.0
"""`elu` is z above zero and alpha (exp(z) - 1) below: the default alpha of both frameworks."""


@final
class Activation(LayerKind):
    """A function of each number by itself."""

    kind: Literal["activation"] = "activation"
    function: ActivationName = "relu"

    def words(self) -> str:
        """The function's name."""
        return self.function
