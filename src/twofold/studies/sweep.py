"""Sweeps: step times over batch size, width and depth, stored point by point."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from twofold.errors import BadInput
from twofold.results.json_files import write_json
from twofold.results.stored import (
    Measurement,
    Name,
    Part,
    Positive,
    Seconds,
    Stored,
    Text,
    read_result,
)
from twofold.results.stored import Ratio as StoredRatioValue
from twofold.spec.experiment import Experiment
from twofold.studies.advice.probing import EngineProcesses
from twofold.timing.harness import Rounds
from twofold.timing.result import EngineTiming, Ratio
from twofold.timing.summary import engine_timing, ratio_of

SCHEMA: Final = "twofold.sweep/1"
PREFERRED: Final = (
    ("torch:eager-fused", "torch:eager"),
    ("torch:compile-step", "torch:compile"),
    ("flax:jit",),
    ("flax:scan",),
)
"""Engines of a quick sweep: of each group the first that exists."""


class StoredStep(Stored):
    """A step time, in seconds."""

    median: Seconds


class StoredEntry(Stored):
    """One engine at one point."""

    engine: Name
    step_s: StoredStep | None = None


class StoredRatio(Stored):
    """The best engines of both frameworks at one point."""

    engine: Name
    reference: Name
    median: StoredRatioValue | None = None
    outcome: Text


class StoredPoint(Stored):
    """One point of a sweep."""

    batch: Positive
    width: Positive
    depth: Positive
    reliable: bool
    engines: list[StoredEntry]
    ratio: StoredRatio | None = None


class StoredSweep(Measurement):
    """`twofold.sweep/1`."""

    experiment: dict[str, Any]
    engines: list[Name]
    threads: Positive
    seconds_a_point: Part
    unchecked: bool
    points: list[StoredPoint]


@dataclass(frozen=True, order=True)
class Place:
    """One point of the grid: batch size, units of each hidden layer, hidden layers."""

    batch: int
    width: int
    depth: int

    def __str__(self) -> str:
        return f"batch {self.batch}, width {self.width}, depth {self.depth}"


@dataclass(frozen=True)
class Axes:
    """The values that a sweep goes through."""

    batch: tuple[int, ...] = (16, 64, 256)
    width: tuple[int, ...] = (32, 128, 512)
    depth: tuple[int, ...] = (2,)

    @property
    def places(self) -> list[Place]:
        """All points, the cheapest first. Raises BadInput for a value below one."""
        for name, values in asdict(self).items():
            if not values or min(values) < 1:
                raise BadInput(f"--{name}: {list(values)} given; allowed are numbers from 1")
        every = itertools.product(self.batch, self.width, self.depth)
        return sorted((Place(*each) for each in every), key=lambda p: p.batch * p.width * p.depth)


@dataclass
class Sweep:
    """A sweep on disk: `points` grows, and the file is whole after each of them."""

    path: Path
    header: dict[str, Any]
    points: list[dict[str, Any]]

    @classmethod
    def at(cls, path: Path, header: dict[str, Any]) -> Sweep:
        """A new sweep, or one to go on with. Raises ResultError or BadInput for another one."""
        if not path.exists():
            return cls(path, header, [])
        stored = read_result(path, SCHEMA, StoredSweep)
        for name in ("experiment", "engines", "threads", "seconds_a_point", "unchecked"):
            if stored[name] != header[name]:
                raise BadInput(
                    f"{path}: holds a sweep with another {name}; give another --out, or remove it"
                )
        return cls(path, {**header, **stored}, list(stored["points"]))

    @property
    def done(self) -> set[Place]:
        """Places measured already; one whose figures a busy machine spoilt is measured again."""
        return {
            Place(point["batch"], point["width"], point["depth"])
            for point in self.points
            if point["reliable"]
        }

    def add(self, place: Place, entry: dict[str, Any]) -> None:
        """Store a point in place of an earlier one there."""
        self.points = [
            point
            for point in self.points
            if Place(point["batch"], point["width"], point["depth"]) != place
        ]
        self.points.append({**asdict(place), **entry})
        write_json(self.path, self.to_json(), non_finite="refuse")

    def to_json(self) -> dict[str, Any]:
        """The sweep in the schema `twofold.sweep/1`."""
        return {**self.header, "schema": SCHEMA, "points": self.points}


def quick_engines(known: Sequence[str]) -> list[str]:
    """The engines of a quick sweep among those that exist."""
    found = [next((name for name in group if name in known), None) for group in PREFERRED]
    return [name for name in found if name is not None]


def experiment_at(spec: Experiment, place: Place) -> Experiment:
    """The spec with a place's batch size and hidden layers, on rows enough for some batches.

    Raises SpecError where the spec's data has a size of its own that does not fit.
    """
    changes: dict[str, object] = {
        "data__batch_size": place.batch,
        "model__hidden": (place.width,) * place.depth,
    }
    if spec.data.source == "synthetic":
        changes["data__rows"] = max(spec.data.rows or 0, 4 * place.batch)
        changes["data__test_fraction"] = 0.0
    return spec.with_values(**changes)


def run_sweep(
    sweep: Sweep,
    spec: Experiment,
    places: Sequence[Place],
    fleet: EngineProcesses,
    engines: Sequence[str],
    seconds: float,
    on_point: Callable[[Place, dict[str, Any]], None] = lambda _place, _entry: None,
) -> None:
    """Measure every place that is not done; each is stored before the next begins."""
    for index, place in enumerate(places):
        if place in sweep.done:
            continue
        rounds = fleet.rounds(experiment_at(spec, place), engines, seconds, seed=index)
        entry = entry_of(rounds)
        sweep.add(place, entry)
        on_point(place, entry)


def entry_of(rounds: Rounds, seed: int = 0) -> dict[str, Any]:
    """A point's figures: every engine, and the ratio between the best of each framework."""
    timings = [engine_timing(run, seed, rounds.quiet) for run in rounds.runs]
    ratio = best_ratio(timings, rounds.quiet, seed)
    withheld = ratio is not None and ratio.median is None
    return {
        "engines": [
            {
                "engine": timing.engine,
                "status": timing.status,
                "reason": timing.reason,
                "step_s": asdict(timing.step_s) if timing.step_s else None,
                "first_step_s": timing.cold_start.first_step_s if timing.cold_start else None,
            }
            for timing in timings
        ],
        "ratio": asdict(ratio) if ratio else None,
        "reliable": not withheld,
        "other_cores": rounds.other_cores,
    }


def best_ratio(timings: Sequence[EngineTiming], quiet: Sequence[bool], seed: int) -> Ratio | None:
    """The best Flax engine's step time over the best PyTorch engine's; None without one of them."""
    best: dict[str, EngineTiming] = {}
    for timing in timings:
        framework = timing.engine.partition(":")[0]
        if timing.step_s is None:
            continue
        rival = best.get(framework)
        if rival is None or rival.step_s is None or timing.step_s.median < rival.step_s.median:
            best[framework] = timing
    if not {"torch", "flax"} <= set(best):
        return None
    return ratio_of(best["flax"], best["torch"], seed, quiet)
