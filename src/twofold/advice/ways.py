"""Ways to predict a step time from measured points: the cost model, and two simple rules.

The simple rules are what the model must beat; `twofold.advice.choice` uses them where it does not.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from twofold.advice.model import EngineModel, Point, fit_models
from twofold.advice.score import Score, StepTime, Truth, score
from twofold.advice.workload import Workload


@dataclass(frozen=True)
class Way:
    """A way to predict. `learn`: from measured points and the models fitted to them.

    `says_times`: whether its seconds are its own, not the cost model's; else only their order is.
    """

    name: str
    learn: Callable[[Sequence[Point], Mapping[str, EngineModel]], StepTime]
    says_times: bool = True


def cost_model(_: Sequence[Point], models: Mapping[str, EngineModel]) -> StepTime:
    """The step time of the engine's fitted model."""
    return lambda engine, workload: models[engine].step_s(workload)


def nearest(points: Sequence[Point], _: Mapping[str, EngineModel]) -> StepTime:
    """The step time of the engine's measured workload that is most alike."""

    def predict(engine: str, workload: Workload) -> float:
        place = workload.place()
        own = [point for point in points if point.engine == engine]
        return min(own, key=lambda p: float(np.sum((p.workload.place() - place) ** 2))).step_s

    return predict


def overall_best(points: Sequence[Point], models: Mapping[str, EngineModel]) -> StepTime:
    """The same order of engines whatever the workload; the level of their times is the model's."""
    ranks = ranks_of(points)

    def predict(engine: str, workload: Workload) -> float:
        level = statistics.fmean(math.log(models[e].step_s(workload)) - ranks[e] for e in ranks)
        return math.exp(level + ranks[engine])

    return predict


def ranks_of(points: Sequence[Point]) -> dict[str, float]:
    """The engine's part in log(step time) = engine's part + workload's part, by least squares.

    So an engine is not judged by which of the workloads it was measured on.
    """
    engines = list(dict.fromkeys(point.engine for point in points))
    workloads = list(dict.fromkeys(point.workload for point in points))
    design = np.zeros((len(points), len(engines) + len(workloads)))
    for row, point in enumerate(points):
        design[row, engines.index(point.engine)] = 1.0
        design[row, len(engines) + workloads.index(point.workload)] = 1.0
    logs = np.log([point.step_s for point in points])
    parts = np.linalg.lstsq(design, logs, rcond=None)[0]
    return dict(zip(engines, parts[: len(engines)].tolist(), strict=True))


WAYS: Final = (
    Way("cost model", cost_model),
    Way("always the overall best", overall_best, says_times=False),
    Way("nearest measured neighbour", nearest),
)


def score_all(points: Sequence[Point], truths: Sequence[Truth]) -> list[Score]:
    """The model, and the two simple rules that it must beat."""
    models = fit_models(points)
    return [
        score(way.name, truths, way.learn(points, models), times=way.says_times) for way in WAYS
    ]
