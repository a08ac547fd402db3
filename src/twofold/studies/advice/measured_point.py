"""What is measured: points, each an engine on a workload, and what engines have in common there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from twofold.studies.advice.workload import Workload


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


def points_to_json(points: Iterable[Point]) -> list[dict[str, Any]]:
    """The points in JSON's types."""
    return [asdict(point) for point in points]


@dataclass(frozen=True)
class Parts:
    """log(step time) = an engine's part + a workload's part, as near as that can be.

    So no engine is judged by which of the workloads it was measured on, and no workload by its
    engines.
    """

    engines: Mapping[str, float]
    workloads: Mapping[Workload, float]


def parts_of(points: Sequence[Point]) -> Parts:
    """The two parts of all step times, by least squares."""
    engines = list(dict.fromkeys(point.engine for point in points))
    workloads = list(dict.fromkeys(point.workload for point in points))
    design = np.zeros((len(points), len(engines) + len(workloads)))
    for row, point in enumerate(points):
        design[row, engines.index(point.engine)] = 1.0
        design[row, len(engines) + workloads.index(point.workload)] = 1.0
    logs = np.log([point.step_s for point in points])
    parts = np.linalg.lstsq(design, logs, rcond=None)[0].tolist()
    return Parts(
        dict(zip(engines, parts[: len(engines)], strict=True)),
        dict(zip(workloads, parts[len(engines) :], strict=True)),
    )
