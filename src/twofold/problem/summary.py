"""What a model consists of: its layers in order, their shapes and their parameter counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from twofold.problem.problem import Problem
from twofold.spec.layers.sequence import every


@dataclass(frozen=True)
class Layer:
    """One layer: its name, what it is, features in and out, number of parameters."""

    name: str
    kind: str
    in_features: int
    out_features: int
    parameters: int


@dataclass(frozen=True)
class ModelSummary:
    """The layers of a model, input side first."""

    layers: tuple[Layer, ...]

    @property
    def parameters(self) -> int:
        """Number of trainable parameters of the whole model."""
        return sum(layer.parameters for layer in self.layers)


def summarize(problem: Problem) -> ModelSummary:
    """The layers of a problem's model; a residual stands before the layers of its block."""
    return ModelSummary(
        tuple(
            Layer(
                name="" if each.number is None else f"layers.{each.number}",
                kind=each.layer.words(),
                in_features=each.width,
                out_features=each.width_after,
                parameters=sum(map(math.prod, each.parameter_shapes.values())),
            )
            for each in every(problem.layers)
        )
    )
