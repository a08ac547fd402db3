"""Calibration: measure a design of workloads within a budget of time, engines side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from twofold.spec.experiment import Device
from twofold.studies.advice.choice import Choice, Predictor, choose, predictors
from twofold.studies.advice.design import DESIGN, Shape, experiment_of
from twofold.studies.advice.measured_point import Point, points_to_json
from twofold.studies.advice.model import EngineModel, fit_models
from twofold.studies.advice.probing import EngineProcesses
from twofold.studies.advice.workload import Workload
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
    fleet: EngineProcesses,
    engines: Sequence[str],
    *,
    budget_s: float,
    clock: Clock,
    device: Device = "auto",
    design: Sequence[Shape] = DESIGN,
    on_progress: Callable[[float], None] = lambda _fraction: None,
) -> list[Point]:
    """Measure the design, a workload after the other, until it ends or the budget would be overrun.

    All engines stand side by side on every workload: what slows the machine down slows all of them,
    and none is known on other kinds of workloads than its rivals. FEWEST_POINTS are measured
    whatever they take.
    """
    start, found = clock.nanoseconds(), list[Point]()
    longest = 0.0  # of the workloads after the first, which pays for imports
    for number, shape in enumerate(design):
        alive = [engine for engine in engines if engine not in fleet.failures]
        before = seconds_since(clock, start)
        if not alive or (number >= FEWEST_POINTS and before + longest > budget_s):
            break
        on_progress(min(1.0, before / budget_s))
        experiment = experiment_of(shape, device)
        found += fleet.measure(experiment, alive, ROUND_SECONDS * len(alive)).values()
        if number:
            longest = max(longest, seconds_since(clock, start) - before)
    return found
