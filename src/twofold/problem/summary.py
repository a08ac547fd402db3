"""What a model consists of: its layers in order, their shapes and their parameter counts."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from twofold.problem.problem import Problem


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
    """The layers of a problem's model: linear, activation and dropout for each hidden size."""
    model = problem.experiment.model
    pairs = list(itertools.pairwise(problem.layer_sizes))
    layers: list[Layer] = []
    for index, (fan_in, fan_out) in enumerate(pairs):
        # a weight of out_features rows and in_features columns, and a bias of out_features
        count = fan_in * fan_out + (fan_out if model.bias else 0)
        layers.append(Layer(f"layers.{index}", "linear", fan_in, fan_out, count))
        if index == len(pairs) - 1:
            break
        layers.append(Layer("", model.activation, fan_out, fan_out, 0))
        if model.dropout > 0:
            layers.append(Layer("", f"dropout {model.dropout:g}", fan_out, fan_out, 0))
    return ModelSummary(tuple(layers))
