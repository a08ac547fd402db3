"""How good advice is: predictions against measurements that no model has seen."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from twofold.advice.model import Point, fit_models
from twofold.advice.workload import Workload

CLEAR_GAP: Final = 0.10

StepTime = Callable[[str, Workload], float]


@dataclass(frozen=True)
class Truth:
    """One workload as measured: seconds of a step for each engine."""

    workload: Workload
    step_s: Mapping[str, float]

    @property
    def best(self) -> str:
        """The engine with the shortest step."""
        return min(self.step_s, key=lambda name: self.step_s[name])

    @property
    def gap(self) -> float:
        """By what share the second is slower than the best."""
        first, second = sorted(self.step_s.values())[:2]
        return second / first - 1


@dataclass(frozen=True)
class Score:
    """How well one way of predicting did.

    `median_error`: of the step time, as a share of it; None for a way that names a winner only.
    `right` of `clear`: winners named rightly where the measured gap is over 10 %. `lost`: by what
    share its choices are slower than the best, on average over all workloads.
    """

    name: str
    median_error: float | None
    right: int
    clear: int
    lost: float

    @property
    def share_right(self) -> float | None:
        """Winners named rightly; None where no gap was clear."""
        return self.right / self.clear if self.clear else None

    def to_json(self) -> dict[str, Any]:
        """The score in JSON's types."""
        return {**vars(self), "share_right": self.share_right}


def score(name: str, truths: Sequence[Truth], predict: StepTime, *, times: bool = True) -> Score:
    """Score a way of predicting; with `times=False` only the order of its answers counts."""
    errors, right, clear, lost = list[float](), 0, 0, list[float]()
    for truth in truths:
        predicted = {engine: predict(engine, truth.workload) for engine in truth.step_s}
        errors += [abs(predicted[engine] / truth.step_s[engine] - 1) for engine in predicted]
        if len(predicted) < 2:
            continue
        choice = min(predicted, key=lambda engine: predicted[engine])
        lost.append(truth.step_s[choice] / truth.step_s[truth.best] - 1)
        if truth.gap > CLEAR_GAP:
            clear += 1
            right += choice == truth.best
    error = statistics.median(errors) if times and errors else None
    return Score(name, error, right, clear, statistics.fmean(lost) if lost else 0.0)


def score_all(points: Sequence[Point], truths: Sequence[Truth]) -> list[Score]:
    """The model, and the two baselines that it must beat."""
    models = fit_models(points)

    def by_model(engine: str, workload: Workload) -> float:
        return models[engine].step_s(workload)

    return [
        score("cost model", truths, by_model),
        score("always the overall best", truths, overall_best(points), times=False),
        score("nearest measured neighbour", truths, nearest(points)),
    ]


def nearest(points: Iterable[Point]) -> StepTime:
    """The step time of the engine's measured workload that is most alike."""
    known = list(points)

    def predict(engine: str, workload: Workload) -> float:
        place = workload.place()
        own = [point for point in known if point.engine == engine]
        return min(own, key=lambda p: float(np.sum((p.workload.place() - place) ** 2))).step_s

    return predict


def overall_best(points: Iterable[Point]) -> StepTime:
    """The engine's rank among all, whatever the workload: the mean ratio to the best one there."""
    by_workload: dict[Workload, dict[str, float]] = {}
    for point in points:
        by_workload.setdefault(point.workload, {})[point.engine] = point.step_s
    behind: dict[str, list[float]] = {}
    for times in by_workload.values():
        best = min(times.values())
        for engine, seconds in times.items():
            behind.setdefault(engine, []).append(math.log(seconds / best))
    ranks = {engine: statistics.fmean(logs) for engine, logs in behind.items()}
    return lambda engine, _: math.exp(ranks[engine])
