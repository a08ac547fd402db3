"""Calibration: measure a design of workloads within a budget of time, an engine after the other.

Engines that take long to compile get through fewer workloads than others; the design begins with
those that say most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from twofold.advice.choice import Choice, Predictor, choose, predictors
from twofold.advice.design import DESIGN, Shape, experiment_of
from twofold.advice.model import EngineModel, Point, fit_models, points_to_json
from twofold.advice.probing import Fleet
from twofold.advice.workload import Workload
from twofold.experiment import Device
from twofold.timing.clock import Clock, seconds_since

SCHEMA: Final = "twofold.calibration/1"
ROUND_SECONDS: Final = 0.3
FEWEST_POINTS: Final = 2


@dataclass(frozen=True)
class Calibration:
    """The points measured on one machine, and the models that follow from them.

    `other_cores`: processors kept busy by others meanwhile; None if unknown. `failures`: why
    engines could not be measured, by name.
    """

    environment: dict[str, Any]
    device: Device
    seconds: float
    points: tuple[Point, ...]
    failures: dict[str, str]
    other_cores: float | None = None

    @cached_property
    def models(self) -> dict[str, EngineModel]:
        """A model of each engine that was measured."""
        return fit_models(self.points)

    @cached_property
    def choice(self) -> Choice:
        """The way of predicting that this machine's own workloads speak for."""
        return choose(self.points)

    @cached_property
    def predictors(self) -> Mapping[str, Predictor]:
        """What predicts each engine: its model, or the simpler way that was chosen instead."""
        return predictors(self.points, self.models, self.choice)

    @property
    def workloads(self) -> list[Workload]:
        """All workloads that were measured."""
        return list(dict.fromkeys(point.workload for point in self.points))

    def to_json(self) -> dict[str, Any]:
        """The calibration in the schema `twofold.calibration/1`."""
        return {
            "schema": SCHEMA,
            "environment": self.environment,
            "device": self.device,
            "seconds": self.seconds,
            "other_cores": self.other_cores,
            "failures": self.failures,
            "choice": self.choice.to_json(),
            "models": [model.to_json() for model in self.models.values()],
            "points": points_to_json(self.points),
        }

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Calibration:
        """The calibration that `to_json` wrote."""
        points = tuple(Point.from_json(item) for item in given["points"])
        return cls(
            given["environment"],
            given["device"],
            given["seconds"],
            points,
            given["failures"],
            given["other_cores"],
        )


def collect_points(
    fleet: Fleet,
    engines: Sequence[str],
    *,
    budget_s: float,
    clock: Clock,
    device: Device = "auto",
    design: Sequence[Shape] = DESIGN,
    on_progress: Callable[[str, float], None] = lambda _engine, _fraction: None,
) -> list[Point]:
    """Measure the design until the budget is spent; next is always who has had least time.

    Every engine that runs at all gets FEWEST_POINTS.
    """
    start, points = clock.nanoseconds(), list[Point]()
    spent = dict.fromkeys(engines, 0.0)
    done = dict.fromkeys(engines, 0)
    while waiting := [engine for engine in engines if done[engine] < len(design)]:
        total = seconds_since(clock, start)
        engine = min(waiting, key=lambda name: (done[name] >= FEWEST_POINTS, spent[name]))
        expected = spent[engine] / done[engine] if done[engine] else 0.0
        if done[engine] >= FEWEST_POINTS and total + expected > budget_s:
            done[engine] = len(design)
            continue
        on_progress(engine, min(1.0, total / budget_s))
        before = clock.nanoseconds()
        experiment = experiment_of(design[done[engine]], device)
        found = fleet.measure(experiment, [engine], ROUND_SECONDS)
        points += found.values()
        spent[engine] += seconds_since(clock, before)
        done[engine] = done[engine] + 1 if found else len(design)
    return points
