"""The experiment through Keras 3, on PyTorch or on JAX: `model.fit`, as its documentation teaches.

Same data, same initial values; Keras's own order of batches and its own dropout masks.
"""

from __future__ import annotations

import os
from typing import Any, final

import numpy.typing as npt

from comparisons.loops.parts import NO_LOSSES, Parts
from twofold.problem.problem import Problem, initial_parameters


@final
class KerasLoop:
    """A Sequential model and its `fit`."""

    def __init__(self, problem: Problem) -> None:
        import keras

        experiment = problem.experiment
        model, optimizer = experiment.model, experiment.optimizer
        assert model.kind == "mlp"
        assert optimizer.kind == "adamw"
        layers: list[Any] = [keras.Input((problem.in_features,))]
        for width in model.hidden:
            layers += [keras.layers.Dense(width, "relu"), keras.layers.Dropout(model.dropout)]
        layers.append(keras.layers.Dense(problem.out_features))
        self._model = keras.Sequential(layers)
        parameters = initial_parameters(problem)
        dense = [each for each in self._model.layers if isinstance(each, keras.layers.Dense)]
        for index, layer in enumerate(dense):
            kernel = parameters[f"layers.{index}.weight"].T  # (in_features, out_features)
            layer.set_weights([kernel, parameters[f"layers.{index}.bias"]])
        beta_1, beta_2 = optimizer.betas
        self._model.compile(
            optimizer=keras.optimizers.AdamW(
                learning_rate=optimizer.learning_rate,
                weight_decay=optimizer.weight_decay,
                beta_1=beta_1,
                beta_2=beta_2,
                epsilon=optimizer.eps,
            ),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        self._model.optimizer.build(self._model.trainable_variables)
        self._variables = (*self._model.variables, *self._model.optimizer.variables)
        self._initial = [keras.ops.convert_to_numpy(each).copy() for each in self._variables]
        self._parts = Parts(problem)

    def begin_again(self) -> None:
        """Put the initial values back; what is compiled stays."""
        for variable, value in zip(self._variables, self._initial, strict=True):
            variable.assign(value)

    def run(self, steps: int, /) -> npt.NDArray[Any]:
        """Take training steps."""
        for inputs, targets in self._parts.of(steps):
            self._model.fit(inputs, targets, batch_size=self._parts.size, epochs=1, verbose=0)
        return NO_LOSSES

    def synchronize(self) -> None:
        """`fit` has waited: it gives the losses as numbers."""

    def compilations(self) -> int:
        """Keras does not say."""
        return 0


def build_torch(problem: Problem) -> KerasLoop:
    """Keras on PyTorch."""
    os.environ["KERAS_BACKEND"] = "torch"
    return KerasLoop(problem)


def build_jax(problem: Problem) -> KerasLoop:
    """Keras on JAX."""
    os.environ["KERAS_BACKEND"] = "jax"
    return KerasLoop(problem)
