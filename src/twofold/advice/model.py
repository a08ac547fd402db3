"""The cost model: what each engine needs for a workload, fitted to measured points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from twofold.advice.fit import Correction, correction_of, non_negative_fit
from twofold.advice.workload import OVERHEADS, TERMS, Vector, Workload

PULL: Final = 0.02
MANY_POINTS: Final = 8


@dataclass(frozen=True)
class Point:
    """One engine measured on one workload; times in seconds.

    `first`: whether it was the first in its process, which pays for imports and for starting the
    compiler. `compilations`: programs compiled by the first step.
    """

    engine: str
    workload: Workload
    first: bool
    import_s: float
    open_s: float
    first_step_s: float
    compilations: int
    step_s: float

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Point:
        """The point that `dataclasses.asdict` and JSON made of one."""
        return cls(**{**given, "workload": Workload.from_json(given["workload"])})


@dataclass(frozen=True)
class EngineModel:
    """What one engine needs. `coefficients`: seconds for one of each of TERMS.

    The first step of a process takes `compile_s[0] + compile_s[1] * layers + compile_s[2]`, later
    ones in the same process the first two parts.
    """

    engine: str
    coefficients: Vector
    correction: Correction
    start_s: float
    compile_s: tuple[float, float, float]
    points: int

    def step_s(self, workload: Workload) -> float:
        """Seconds of a training step."""
        return self._modelled(workload) * math.exp(self.correction.at(workload.place()))

    def cold_start_s(self, workload: Workload) -> float:
        """Seconds from nothing to the end of the first step."""
        fixed, per_layer, once = self.compile_s
        return self.start_s + fixed + per_layer * workload.layers + once

    def time_to(self, workload: Workload, steps: int) -> float:
        """Seconds from nothing to the end of a number of steps."""
        return self.cold_start_s(workload) + (steps - 1) * self.step_s(workload)

    @property
    def spread(self) -> float:
        """By what share a predicted step time is typically off."""
        return self.correction.spread

    def _modelled(self, workload: Workload) -> float:
        return float(workload.terms() @ self.coefficients)

    def to_json(self) -> dict[str, Any]:
        """What a person may want to read of it; `fit_models` makes it again from the points."""
        rate = {
            name: 1 / float(value) if value > 0 else None
            for name, value in zip(TERMS[OVERHEADS:], self.coefficients[OVERHEADS:], strict=True)
        }
        overheads = zip(TERMS[:OVERHEADS], self.coefficients[:OVERHEADS], strict=True)
        return {
            "engine": self.engine,
            "points": self.points,
            "start_s": self.start_s,
            "compile_s": dict(zip(("fixed", "per_layer", "once"), self.compile_s, strict=True)),
            "overhead_s": {name: float(value) for name, value in overheads},
            "per_second": rate,
            "spread": self.spread,
        }


def fit_models(points: Iterable[Point]) -> dict[str, EngineModel]:
    """A model of each engine; engines with few points lean on what the others have in common."""
    by_engine: dict[str, list[Point]] = {}
    for point in points:
        by_engine.setdefault(point.engine, []).append(point)
    found: dict[str, EngineModel] = {}
    for engine in sorted(by_engine, key=lambda name: -len(by_engine[name])):
        found[engine] = _fit(engine, by_engine[engine], _prior(found.values()))
    return {engine: found[engine] for engine in by_engine}


def _prior(models: Iterable[EngineModel]) -> Vector:
    """Rates that well-known engines share; overheads are each engine's own."""
    known = [model.coefficients for model in models if model.points >= MANY_POINTS]
    if not known:
        return np.zeros(len(TERMS))
    prior = np.median(np.array(known), axis=0)
    prior[:OVERHEADS] = 0.0
    return np.asarray(prior)


def _fit(engine: str, points: Sequence[Point], prior: Vector) -> EngineModel:
    terms = np.array([point.workload.terms() for point in points])
    times = np.array([point.step_s for point in points])
    coefficients = non_negative_fit(terms, times, prior, PULL)
    residuals = np.log(times / (terms @ coefficients))
    places = np.array([point.workload.place() for point in points])
    first = [point for point in points if point.first] or list(points)
    start = float(np.median([point.import_s + point.open_s for point in first]))
    return EngineModel(
        engine,
        coefficients,
        correction_of(places, residuals),
        start,
        _fit_compile(points),
        len(points),
    )


def _fit_compile(points: Sequence[Point]) -> tuple[float, float, float]:
    """Seconds of the first step: fixed, for each layer, and once in a process."""
    terms = np.array([[1.0, point.workload.layers, float(point.first)] for point in points])
    times = np.array([max(point.first_step_s, 1e-6) for point in points])
    fixed, per_layer, once = non_negative_fit(terms, times, np.zeros(3), 1e-4)
    return float(fixed), float(per_layer), float(once)


def points_to_json(points: Iterable[Point]) -> list[dict[str, Any]]:
    """The points in JSON's types."""
    return [asdict(point) for point in points]
