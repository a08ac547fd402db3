"""A straightforward network in mixed precision: bfloat16 layers, float32 parameters and loss.

Loss and optimizer are `plain`'s in float32. Layers keep bfloat16 numbers in float32 arrays and cast
them by ml_dtypes where `rounding` says so:
- "every": after each operation, and sums over the batch add bfloat16 to bfloat16, one by one;
- "stored": only what a layer hands on; each function is evaluated in float64 and rounded once;
- "some": each of the casts of "every" is left out with probability one half, as compilers do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import ml_dtypes
import numpy as np
from plain import Plain, Step
from scipy import special

from twofold.problem.problem import Batch
from twofold.problem.state import TrainState
from twofold.spec.experiment import Experiment

Array = np.ndarray[Any, Any]
ROUNDINGS = ("every", "stored", "some")


def nearest(array: Array) -> Array:
    """Float32 numbers rounded to the nearest bfloat16."""
    return array.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float32)


@dataclass(frozen=True)
class PlainMixed:
    """`swap` maps an activation to another one; `wrong` is a set of mistakes by name.

    `optimizer` maps coefficients of the optimizer to relative errors, as `Plain.wrong` does.
    """

    rounding: str = "every"
    seed: int = 0
    order: str = "sequential"
    swap: Mapping[str, str] = field(default_factory=dict)
    wrong: frozenset[str] = frozenset()
    optimizer: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_random", np.random.default_rng(self.seed))

    @property
    def _plain(self) -> Plain:
        return Plain(np.float32, self.order, seed=self.seed)

    def low(self, array: Array, *, handed_on: bool = True) -> Array:
        """The array after a cast that this rounding makes, or does not make."""
        array = array.astype(np.float32)
        skipped = self.rounding == "some" and self._random.random() < 0.5
        if skipped or (self.rounding == "stored" and not handed_on):
            return array
        return nearest(array)

    def within(self, array: Array) -> Array:
        """An intermediate result inside a function."""
        return self.low(array, handed_on=False)

    def matmul(self, left: Array, right: Array) -> Array:
        return np.asarray(self._plain.matmul(left, right))

    def batch_sum(self, delta: Array) -> Array:
        if self.rounding == "stored":
            return self.low(delta.sum(axis=0))
        rows = delta[self._random.permutation(len(delta))]
        total = rows[0]
        for row in rows[1:]:
            total = self.low(total + row)
        return total

    def activation(self, name: str, z: Array) -> tuple[Array, Array]:
        """f(z) and f'(z)."""
        name = self.swap.get(name, name)
        if name in ("relu", "identity"):
            one = np.ones_like(z)
            return (z, one) if name == "identity" else (np.maximum(z, 0), (z > 0) * one)
        value, derivative = getattr(self, "_" + name)(z.astype(np.float64))
        return self.low(value), self.low(derivative)

    def _leaky_relu(self, z: Array) -> tuple[Array, Array]:
        slope = self.within(np.asarray(0.01))
        return np.where(z > 0, z, slope * z), np.where(z > 0, 1.0, slope)

    def _elu(self, z: Array) -> tuple[Array, Array]:
        shrunk = self.within(np.expm1(np.minimum(z, 0)))
        return np.where(z > 0, z, shrunk), np.where(z > 0, 1.0, shrunk + 1)

    def _tanh(self, z: Array) -> tuple[Array, Array]:
        t = self.within(np.tanh(z))
        return t, 1 - self.within(t * t)

    def _sigmoid(self, z: Array) -> tuple[Array, Array]:
        s = self.within(special.expit(z))
        return s, self.within(1 - s) * s

    def _silu(self, z: Array) -> tuple[Array, Array]:
        s = self.within(special.expit(z))
        return z * s, self.within(s + self.within(z * self.within(s * self.within(1 - s))))

    def _gelu(self, z: Array) -> tuple[Array, Array]:
        scaled = self.within(z * self.within(np.asarray(math.sqrt(0.5))))
        cdf = self.within(0.5 * special.erfc(-scaled.astype(np.float64)))
        bell = self.within(np.exp(-self.within(self.within(z * z) * 0.5).astype(np.float64)))
        density = self.within(bell * self.within(np.asarray(1 / math.sqrt(2 * math.pi))))
        return z * cdf, cdf + self.within(z * density)

    def _gelu_tanh(self, z: Array) -> tuple[Array, Array]:
        rate = self.within(np.asarray(math.sqrt(2 / math.pi)))
        cubic = self.within(np.asarray(0.044715))
        square = self.within(z * z)
        inner = self.within(z + self.within(cubic * self.within(square * z)))
        t = self.within(np.tanh(self.within(rate * inner).astype(np.float64)))
        slope = self.within(rate * self.within(1 + self.within(3 * cubic * square)))
        half = self.within(0.5 * self.within(1 + t))
        bell = self.within(1 - self.within(t * t))
        return z * half, half + self.within(0.5 * z * self.within(bell * slope))

    def step(
        self, experiment: Experiment, state: TrainState, batch: Batch, masks: tuple[Array, ...]
    ) -> Step:
        """Forward pass, backpropagation and optimizer update from a state."""
        model = experiment.model
        keep = float(self.within(np.asarray(1.0 - model.dropout)))
        keep = 1.0 if "dropout not scaled" in self.wrong else keep
        layers = len(model.hidden)
        weights = [self.low(state.parameters[f"layers.{n}.weight"]) for n in range(layers + 1)]
        hidden, inputs, derivatives = self.low(batch.inputs), [], []
        for layer, weight in enumerate(weights):
            inputs.append(hidden)
            z = self.matmul(hidden, weight.T)
            if model.bias and "bias not added" not in self.wrong:
                bias = self.low(state.parameters[f"layers.{layer}.bias"])
                z = self.within(z) + bias
            z = self.low(z)
            if layer < layers:
                hidden, derivative = self.activation(model.activation, z)
                derivatives.append(derivative)
                if masks:
                    hidden = self.low(hidden * masks[layer] / keep)
        loss, delta = self._plain.loss(experiment.loss, z, batch.targets)
        delta = self.low(delta)
        gradients: dict[str, Array] = {}
        for layer in range(layers, -1, -1):
            gradients[f"layers.{layer}.weight"] = self.low(self.matmul(delta.T, inputs[layer]))
            if model.bias:
                gradients[f"layers.{layer}.bias"] = self.batch_sum(delta)
                if "no bias gradient" in self.wrong:
                    gradients[f"layers.{layer}.bias"] = np.zeros_like(
                        gradients[f"layers.{layer}.bias"]
                    )
            if layer > 0:
                delta = self.low(self.matmul(delta, weights[layer]))
                if masks:
                    delta = self.low(delta * masks[layer - 1] / keep)
                delta = self.low(delta * derivatives[layer - 1])
        after = replace(self._plain, wrong=self.optimizer).update(experiment, state, gradients)
        return Step(z, loss, gradients, after)
