"""Ways to predict a step time from measured points: the cost model, and two simple rules.

The simple rules are what the model must beat; `twofold.studies.advice.choice` uses them where it
does not.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from twofold.studies.advice.measured_point import Point, parts_of
from twofold.studies.advice.model import EngineModel, fit_models
from twofold.studies.advice.score import Score, StepTime, Truth, score
from twofold.studies.advice.workload import Space, Workload


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

    space = Space.around(dict.fromkeys(point.workload for point in points))

    def predict(engine: str, workload: Workload) -> float:
        place = space.place(workload)
        own = [point for point in points if point.engine == engine]
        distances = [float(np.sum((space.place(p.workload) - place) ** 2)) for p in own]
        return own[int(np.argmin(distances))].step_s

    return predict


def overall_best(points: Sequence[Point], models: Mapping[str, EngineModel]) -> StepTime:
    """The same order of engines whatever the workload; the level of their times is the model's."""
    ranks = parts_of(points).engines

    def predict(engine: str, workload: Workload) -> float:
        level = statistics.fmean(math.log(models[e].step_s(workload)) - ranks[e] for e in ranks)
        return math.exp(level + ranks[engine])

    return predict


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
