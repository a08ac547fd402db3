"""Calibration: measure a design of workloads within a budget of time, an engine after the other.

Engines that take long to compile get through fewer workloads than others; the design begins with
those that say most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from twofold.advice.model import EngineModel, Point, fit_models, points_to_json
from twofold.advice.probing import Fleet
from twofold.advice.workload import Workload
from twofold.experiment import Device, Experiment
from twofold.timing.clock import Clock, seconds_since

SCHEMA: Final = "twofold.calibration/1"
ROUND_SECONDS: Final = 0.3
FEWEST_POINTS: Final = 2


@dataclass(frozen=True)
class Shape:
    """One workload of the design."""

    rows: int
    hidden: tuple[int, ...]
    in_features: int = 20
    dropout: float = 0.0
    optimizer: str = "adamw"


DESIGN: Final = (
    Shape(64, (128, 128)),
    Shape(512, (512, 512), 64, 0.2),
    Shape(16, (16,), 8, 0.2),
    Shape(32, (256, 256, 256), 32, 0.2),
    Shape(256, (64,), 64, 0.0, "sgd"),
    Shape(8, (512,), 128),
    Shape(512, (32, 32), 16, 0.2),
    Shape(128, (256, 256), 20),
    Shape(64, (64, 64, 64), 64, 0.0, "sgd"),
    Shape(512, (128,), 128),
    Shape(16, (128, 128), 64, 0.2),
    Shape(128, (512, 512, 512), 32, 0.0, "sgd"),
    Shape(32, (32,), 128, 0.2),
    Shape(256, (256, 256, 256), 16),
    Shape(8, (64, 64), 16, 0.0, "sgd"),
    Shape(256, (512,), 8, 0.2),
    Shape(512, (16, 16, 16), 32),
    Shape(64, (512, 512), 128, 0.2, "sgd"),
)


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


def experiment_of(shape: Shape, device: Device) -> Experiment:
    """The experiment that has a shape of the design."""
    return Experiment.load("lesson").with_values(
        name="calibration",
        device=device,
        model__hidden=shape.hidden,
        model__in_features=shape.in_features,
        model__out_features=3,
        model__dropout=shape.dropout,
        optimizer__kind=shape.optimizer,
        **({"optimizer__momentum": 0.9} if shape.optimizer == "sgd" else {}),
        data__rows=8 * shape.rows,
        data__batch_size=shape.rows,
        data__test_fraction=0.0,
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
