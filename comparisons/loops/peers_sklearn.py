"""The experiment through scikit-learn's MLPClassifier, as near as it comes.

Same data and sizes; its own initial values, Adam with an L2 penalty in place of AdamW, no dropout.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np
import numpy.typing as npt

from comparisons.loops.parts import NO_LOSSES, Parts
from twofold.problem.problem import Problem


@final
class SklearnLoop:
    """An MLPClassifier and its `partial_fit`, which is one epoch over what it is given."""

    def __init__(self, problem: Problem) -> None:
        from sklearn.neural_network import MLPClassifier

        experiment = problem.experiment
        optimizer = experiment.optimizer
        assert experiment.model.kind == "mlp"
        assert optimizer.kind == "adamw"
        self._parts = Parts(problem)
        self._classes = np.arange(problem.out_features)
        self._model = MLPClassifier(
            hidden_layer_sizes=experiment.model.hidden,
            activation="relu",
            solver="adam",
            alpha=optimizer.weight_decay,
            batch_size=self._parts.size,
            learning_rate_init=optimizer.learning_rate,
            beta_1=optimizer.betas[0],
            beta_2=optimizer.betas[1],
            epsilon=optimizer.eps,
            random_state=experiment.seed,
        )

    def run(self, steps: int, /) -> npt.NDArray[Any]:
        """Take training steps."""
        for inputs, targets in self._parts.of(steps):
            self._model.partial_fit(inputs, targets, classes=self._classes)
        return NO_LOSSES

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def compilations(self) -> int:
        """Nothing is compiled."""
        return 0


def build(problem: Problem) -> SklearnLoop:
    """scikit-learn."""
    return SklearnLoop(problem)
