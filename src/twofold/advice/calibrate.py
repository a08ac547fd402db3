"""Calibration: measure a design of workloads within a budget of time, engines side by side."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from twofold.advice.choice import Choice, Predictor, choose, predictors
from twofold.advice.design import DESIGN, Shape, experiment_of
from twofold.advice.model import EngineModel, Point, fit_models, points_to_json
from twofold.advice.probing import WARM_UP_LIMIT_S, Fleet
from twofold.advice.workload import Workload
from twofold.experiment import Device
from twofold.timing.clock import Clock, seconds_since

SCHEMA: Final = "twofold.calibration/1"
ROUND_SECONDS: Final = 0.3
"""Of an engine on a workload; spread over the rounds of all that are measured beside it."""
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
    on_progress: Callable[[str, float], None] = lambda _engines, _fraction: None,
) -> list[Point]:
    """Measure the design, a workload after the other, until it ends or the budget would be overrun.

    Engines stand side by side, so that what slows the machine down slows all of them. Those that
    take long to compile sit out some workloads (see `takes_part`); every engine that runs at all
    gets FEWEST_POINTS.
    """
    start, found = clock.nanoseconds(), dict[str, list[Point]]()
    for number, shape in enumerate(design):
        alive = [engine for engine in engines if engine not in fleet.failures]
        taking = [name for name in alive if number < FEWEST_POINTS or takes_part(name, found)]
        total = seconds_since(clock, start)
        expected = sum(cost_of(found[name]) for name in taking if name in found)
        if not taking or (number >= FEWEST_POINTS and total + expected > budget_s):
            break
        on_progress(", ".join(taking), min(1.0, total / budget_s))
        points = fleet.measure(experiment_of(shape, device), taking, ROUND_SECONDS * len(taking))
        for engine, point in points.items():
            found.setdefault(engine, []).append(point)
    return [point for engine in engines for point in found.get(engine, [])]


def takes_part(engine: str, found: Mapping[str, Sequence[Point]]) -> bool:
    """Whether an engine is due for another workload: the cheapest one always is.

    An engine that costs c times as much is measured c^(1/3) times as seldom: that makes the sum of
    the squared errors smallest if an engine's falls with the square of its number of points.
    """

    def due(name: str) -> float:
        return len(found[name]) * math.cbrt(cost_of(found[name]))

    cheapest = min(found, key=lambda name: cost_of(found[name]))
    step = math.cbrt(cost_of(found[cheapest]))
    return engine == cheapest or due(engine) < due(cheapest) + step


def cost_of(points: Sequence[Point]) -> float:
    """Seconds that another workload takes in an engine's lasting process."""
    compiling = statistics.fmean(
        point.open_s + point.first_step_s for point in points[1:] or points
    )
    return compiling + WARM_UP_LIMIT_S + ROUND_SECONDS
