"""Any sequence of layers written plainly in NumPy float64: independent evidence."""

from __future__ import annotations

from typing import Any

import numpy as np
import plain_numpy

from twofold.problem.problem import Problem
from twofold.problem.state import Array, Parameters, TrainState

Masks = tuple[Array, ...] | None


class PlainNetwork:
    """One pass; layers with parameters and dropout layers are counted as they come."""

    def __init__(self, state: TrainState, masks: Masks, *, biased: bool = False) -> None:
        self.parameters, self.buffers = state.parameters, dict(state.buffers)
        self.masks, self.biased = masks, biased
        self.number = self.drawn = 0

    def through(self, layers: Any, x: Array) -> Array:
        for layer in layers:
            x = getattr(self, f"_{layer.kind}")(layer, x)
        return x

    def _taken(self) -> str:
        self.number += 1
        return f"layers.{self.number - 1}"

    def _linear(self, _: Any, x: Array) -> Array:
        name = self._taken()
        return x @ self.parameters[f"{name}.weight"].T + self.parameters.get(f"{name}.bias", 0.0)

    def _embedding(self, layer: Any, x: Array) -> Array:
        """By a product with 0 and 1: the numbers first, then a row of the table for each text."""
        table = self.parameters[f"{self._taken()}.weight"]
        numbers = x.shape[1] - len(layer.categories)
        chosen = x[:, numbers:, None] == np.arange(len(table))  # (batch, columns, rows)
        return np.hstack([x[:, :numbers], (chosen @ table).reshape(len(x), -1)])

    def _activation(self, layer: Any, x: Array) -> Array:
        return plain_numpy.ACTIVATIONS[layer.function](x)

    def _dropout(self, layer: Any, x: Array) -> Array:
        self.drawn += 1
        if self.masks is None:
            return x
        return np.where(self.masks[self.drawn - 1], x / (1 - layer.rate), 0.0)

    def _residual(self, layer: Any, x: Array) -> Array:
        return x + self.through(layer.layers, x)

    def _layer_norm(self, layer: Any, x: Array) -> Array:
        return self._normed(self._taken(), layer, x, x.mean(1)[:, None], x.var(1)[:, None])

    def _batch_norm(self, layer: Any, x: Array) -> Array:
        name = self._taken()
        running = (f"{name}.running_mean", f"{name}.running_var")
        if self.masks is None:
            mean, variance = (self.buffers[each] for each in running)
            return self._normed(name, layer, x, mean, variance)
        new = (x.mean(0), x.var(0, ddof=0 if self.biased else 1))
        for each, value in zip(running, new, strict=True):
            self.buffers[each] = (1 - layer.momentum) * self.buffers[each] + layer.momentum * value
        return self._normed(name, layer, x, x.mean(0), x.var(0))

    def _normed(self, name: str, layer: Any, x: Array, mean: Array, variance: Array) -> Array:
        scaled = (x - mean) / np.sqrt(variance + layer.eps)
        return scaled * self.parameters[f"{name}.weight"] + self.parameters[f"{name}.bias"]


def forward(problem: Problem, state: TrainState, inputs: Array, masks: Masks) -> Array:
    """Logits (batch, out_features); no masks in evaluation mode."""
    return PlainNetwork(state, masks).through(problem.experiment.model.layers, inputs)


def buffers_after(
    problem: Problem, state: TrainState, inputs: Array, masks: Masks, *, biased: bool
) -> Parameters:
    """Running statistics after a step on these inputs."""
    network = PlainNetwork(state, masks, biased=biased)
    network.through(problem.experiment.model.layers, inputs)
    return network.buffers


def gradient_entry(
    problem: Problem, state: TrainState, batch: Any, masks: Masks, name: str, index: Any
) -> float:
    """One entry of the gradient by a five-point finite difference, error about 1e-11."""
    h = 1e-3

    def shifted(by: float) -> float:
        moved = {each: array.copy() for each, array in state.parameters.items()}
        moved[name][index] += by
        there = TrainState(moved, {}, state.step, state.buffers)
        logits = forward(problem, there, batch.inputs, masks)
        return plain_numpy.loss(problem, logits, batch.targets)

    near, far = shifted(h) - shifted(-h), shifted(2 * h) - shifted(-2 * h)
    return (8 * near - far) / (12 * h)
