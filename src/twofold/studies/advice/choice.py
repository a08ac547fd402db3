"""Which way of predicting a calibration's own workloads speak for, each left out in its turn."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from twofold.studies.advice.measured_point import Point
from twofold.studies.advice.model import EngineModel, fit_models
from twofold.studies.advice.predictors import WAYS, Way
from twofold.studies.advice.score import StepTime, Truth, by_workload, lost_by
from twofold.studies.advice.workload import Workload

FEWEST_WORKLOADS: Final = 6
"""Below this number of workloads with two engines or more nothing is compared."""
CLEARLY: Final = 2.0


@dataclass(frozen=True)
class Choice:
    """The way that predicts step times, and why.

    `lost`: by what share each way's winner was slower than the best of the workloads left out, on
    average; empty where too few were measured to say. `spread`: of the chosen way's step times
    around those measured there, for each engine, as a share.
    """

    way: Way
    lost: Mapping[str, float]
    spread: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """The choice in JSON's types."""
        return {"way": self.way.name, "lost": dict(self.lost)}

    def why(self) -> str:
        """The choice as a sentence."""
        if not self.lost:
            return f"step times by the {self.way.name}: too few workloads to compare it with others"
        others = ", ".join(
            f"{name}: {share:.1%}" for name, share in self.lost.items() if name != self.way.name
        )
        return (
            f"step times by: {self.way.name}; on this machine's own workloads, each left out in "
            f"its turn, the engines that it named were {self.lost[self.way.name]:.1%} slower than "
            f"the best ({others})"
        )


@dataclass(frozen=True)
class SimplerModel:
    """An engine's model whose step times are those of a simpler way."""

    model: EngineModel
    predict: StepTime
    spread: float

    def step_s(self, workload: Workload) -> float:
        """Seconds of a training step."""
        return self.predict(self.model.engine, workload)

    def cold_start_s(self, workload: Workload) -> float:
        """Seconds from nothing to the end of the first step."""
        return self.model.cold_start_s(workload)

    def time_to(self, workload: Workload, steps: int) -> float:
        """Seconds from nothing to the end of a number of steps."""
        return self.cold_start_s(workload) + (steps - 1) * self.step_s(workload)


Predictor = EngineModel | SimplerModel


def choose(points: Sequence[Point]) -> Choice:
    """The cost model, or a simpler way whose winners clearly lose less on workloads left out.

    Leave-one-out cross-validation (Stone, 1974): every way learns from all other workloads.
    Clearly: by more than CLEARLY standard errors of the paired differences, since a calibration
    has few workloads, and one close race among them may cost several per cent.
    """
    truths = _comparable(points)
    if len(truths) < FEWEST_WORKLOADS:
        return Choice(WAYS[0], {}, {})
    lost: dict[str, list[float]] = {way.name: [] for way in WAYS}
    errors: dict[str, dict[str, list[float]]] = {way.name: {} for way in WAYS}
    for truth in truths:
        others = [point for point in points if point.workload != truth.workload]
        models = fit_models(others)
        for way in WAYS:
            predicted = _predicted(way, others, models, truth)
            lost[way.name].append(lost_by(predicted, truth))
            for engine, seconds in predicted.items():
                error = math.log(seconds / truth.step_s[engine])
                errors[way.name].setdefault(engine, []).append(error)
    means = {name: float(np.mean(shares)) for name, shares in lost.items()}
    better = [way for way in WAYS[1:] if _clearly_less(lost[way.name], lost[WAYS[0].name])]
    best = min(better, key=lambda way: means[way.name], default=WAYS[0])
    spread = {
        engine: float(np.sqrt(np.mean(np.square(own)))) for engine, own in errors[best.name].items()
    }
    return Choice(best, means, spread)


def _comparable(points: Sequence[Point]) -> list[Truth]:
    """Workloads on which several engines were measured that were measured on others too."""
    counts = Counter(point.engine for point in points)
    often = [point for point in points if counts[point.engine] > 1]
    return [Truth(*item) for item in by_workload(often).items() if len(item[1]) > 1]


def _clearly_less(some: Sequence[float], others: Sequence[float]) -> bool:
    """Whether some losses are less than others on the same workloads, beyond chance."""
    differences = np.subtract(others, some)
    standard_error = float(np.std(differences, ddof=1)) / math.sqrt(len(differences))
    return float(np.mean(differences)) > CLEARLY * standard_error


def _predicted(
    way: Way, points: Sequence[Point], models: Mapping[str, EngineModel], truth: Truth
) -> dict[str, float]:
    """What a way says of the engines that were measured on a workload."""
    predict = way.learn(points, models)
    return {engine: predict(engine, truth.workload) for engine in truth.step_s}


def predictors(
    points: Sequence[Point], models: Mapping[str, EngineModel], choice: Choice
) -> Mapping[str, Predictor]:
    """What predicts each engine: its model, or the simpler way that was chosen instead."""
    if choice.way is WAYS[0]:
        return models
    predict = choice.way.learn(points, models)
    return {
        engine: SimplerModel(model, predict, choice.spread.get(engine, model.spread))
        for engine, model in models.items()
    }
