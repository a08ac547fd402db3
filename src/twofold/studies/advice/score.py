"""How good advice is: predictions against measurements that no model has seen."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twofold.studies.advice.measured_point import Point
from twofold.studies.advice.workload import Workload

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
        return soonest(self.step_s)

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
        lost.append(lost_by(predicted, truth))
        if truth.gap > CLEAR_GAP:
            clear += 1
            right += soonest(predicted) == truth.best
    error = statistics.median(errors) if times and errors else None
    return Score(name, error, right, clear, statistics.fmean(lost) if lost else 0.0)


def soonest(step_s: Mapping[str, float]) -> str:
    """The engine with the shortest step."""
    return min(step_s, key=lambda engine: step_s[engine])


def lost_by(predicted: Mapping[str, float], truth: Truth) -> float:
    """By what share the engine that is predicted to be the soonest was slower than the best."""
    return truth.step_s[soonest(predicted)] / truth.step_s[truth.best] - 1


def by_workload(points: Iterable[Point]) -> dict[Workload, dict[str, float]]:
    """The step times of the engines that were measured on each workload."""
    found: dict[Workload, dict[str, float]] = {}
    for point in points:
        found.setdefault(point.workload, {})[point.engine] = point.step_s
    return found
