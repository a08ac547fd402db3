"""The cost model: what each engine needs for a workload, fitted to measured points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from twofold.studies.advice.fit import Correction, correction_of, non_negative_fit
from twofold.studies.advice.measured_point import Point, parts_of
from twofold.studies.advice.workload import OVERHEADS, TERMS, Space, Vector, Workload

PULL: Final = 0.02
LIKENESS: Final = 30.0
"""How strongly an engine's coefficients are held to those that all share, for each of its points.
Over 50 redrawn calibrations (Intel Xeon, two threads | one) coefficients of each engine alone named
91 | 97 % of the winners, held like this 96 | 99 %."""


@dataclass(frozen=True)
class EngineModel:
    """What one engine needs. `coefficients`: seconds for one of each of TERMS.

    The first step of a process takes `compile_s[0] + compile_s[1] * layers + compile_s[2]`, later
    ones in the same process the first two parts.
    """

    engine: str
    coefficients: Vector
    space: Space
    correction: Correction
    start_s: float
    compile_s: tuple[float, float, float]
    points: int

    def step_s(self, workload: Workload) -> float:
        """Seconds of a training step."""
        return self._modelled(workload) * math.exp(self.correction.at(self.space.place(workload)))

    def first_step_s(self, workload: Workload, *, first_in_process: bool = True) -> float:
        """Seconds of the first step, tracing and compiling included."""
        fixed, per_layer, once = self.compile_s
        return fixed + per_layer * workload.layers + (once if first_in_process else 0.0)

    def cold_start_s(self, workload: Workload) -> float:
        """Seconds from nothing to the end of the first step."""
        return self.start_s + self.first_step_s(workload)

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
        """What a person may want to read of it; `fit_models` makes it again from the points.

        Some terms grow together, and the data do not say how much of the time belongs to which. So
        a single rate, such as that of products, can be higher than the machine's: bytes and rows
        then carry the rest of the time.
        """
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
    """A model of each engine; what engines have in common is fitted to all of them together."""
    measured = list(points)
    if not measured:
        return {}
    shared = shared_coefficients(measured)
    space = Space.around(dict.fromkeys(point.workload for point in measured))
    by_engine: dict[str, list[Point]] = {}
    for point in measured:
        by_engine.setdefault(point.engine, []).append(point)
    return {engine: _fit(engine, own, shared, space) for engine, own in by_engine.items()}


def shared_coefficients(points: Sequence[Point]) -> Vector:
    """Coefficients (TERMS,) of the times that workloads take whatever the engine, but for a factor.

    Engines do the same work, so what makes a workload longer for one does so for the others.
    """
    parts = parts_of(points).workloads
    terms = np.array([workload.terms() for workload in parts])
    times = np.exp(list(parts.values()))
    return non_negative_fit(terms, times, np.zeros(len(TERMS)), PULL)


def _fit(engine: str, points: Sequence[Point], shared: Vector, space: Space) -> EngineModel:
    terms = np.array([point.workload.terms() for point in points])
    times = np.array([point.step_s for point in points])
    factor = math.exp(float(np.mean(np.log(times / (terms @ shared)))))
    coefficients = non_negative_fit(terms, times, factor * shared, LIKENESS * len(points))
    residuals = np.log(times / (terms @ coefficients))
    places = np.array([space.place(point.workload) for point in points])
    first = [point for point in points if point.first] or list(points)
    start = float(np.median([point.import_s + point.open_s for point in first]))
    return EngineModel(
        engine,
        coefficients,
        space,
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
