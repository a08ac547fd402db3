"""What to use for a workload and a number of steps, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from twofold.studies.advice.choice import Predictor
from twofold.studies.advice.workload import Workload

DRAWS: Final = 4000
COLD_SPREAD: Final = 0.15
"""By what share a cold start differs from one day to the next: disks and caches decide it."""
SURE: Final = 0.9
FAIRLY_SURE: Final = 0.7
SURENESS: Final = ("sure", "fairly sure", "not sure")


@dataclass(frozen=True)
class Prediction:
    """What one engine is expected to need, in seconds; `low` and `high` hold 90 % of the draws.

    `chance`: of being the soonest of all.
    """

    engine: str
    cold_start_s: float
    step_s: float
    result_s: float
    low: float
    high: float
    chance: float


@dataclass(frozen=True)
class Advice:
    """Every engine's prediction, the soonest first; `outside` names what was never measured."""

    steps: int
    predictions: tuple[Prediction, ...]
    outside: tuple[str, ...]

    @property
    def best(self) -> Prediction:
        """What to use."""
        return self.predictions[0]

    @property
    def sureness(self) -> str:
        """In words; never sure of a workload unlike all that were measured."""
        if self.best.chance >= SURE and not self.outside:
            return "sure"
        return "fairly sure" if self.best.chance >= FAIRLY_SURE else "not sure"

    def to_json(self) -> dict[str, Any]:
        """The advice in the schema `twofold.advice/1`."""
        return {
            "schema": "twofold.advice/1",
            "steps": self.steps,
            "use": self.best.engine,
            "sureness": self.sureness,
            "outside": list(self.outside),
            "predictions": [vars(item) for item in self.predictions],
        }


def advise(
    models: Mapping[str, Predictor],
    workload: Workload,
    steps: int,
    measured: Sequence[Workload],
    seed: int = 0,
) -> Advice:
    """Predict every engine and rank them by the time to a result of some steps.

    How sure: each time is drawn from a log-normal around its prediction, with the spread that the
    model showed on points left out.
    """
    random = np.random.default_rng(seed)
    names = list(models)
    draws = np.array([_draw(models[name], workload, steps, random) for name in names])
    wins = np.bincount(draws.argmin(axis=0), minlength=len(names)) / DRAWS
    predictions = []
    for name, drawn, chance in zip(names, draws, wins, strict=True):
        model = models[name]
        low, high = np.quantile(drawn, [0.05, 0.95])
        predictions.append(
            Prediction(
                name,
                model.cold_start_s(workload),
                model.step_s(workload),
                model.time_to(workload, steps),
                float(low),
                float(high),
                float(chance),
            )
        )
    predictions.sort(key=lambda item: item.result_s)
    return Advice(steps, tuple(predictions), outside(workload, measured))


def _draw(model: Predictor, workload: Workload, steps: int, random: np.random.Generator) -> Any:
    """Possible times to the result, shape (DRAWS,)."""
    cold = model.cold_start_s(workload) * np.exp(COLD_SPREAD * random.standard_normal(DRAWS))
    step = model.step_s(workload) * np.exp(model.spread * random.standard_normal(DRAWS))
    return cold + (steps - 1) * step


def outside(workload: Workload, measured: Sequence[Workload]) -> tuple[str, ...]:
    """In what a workload is unlike all that were measured; empty if in nothing."""
    found = []
    for name, value in _traits(workload).items():
        seen = [_traits(other)[name] for other in measured]
        if not min(seen) <= value <= max(seen):
            found.append(f"{name} {value:g} (measured: {min(seen):g} to {max(seen):g})")
    return tuple(found)


def _traits(workload: Workload) -> dict[str, float]:
    return {
        "batch size": workload.rows,
        "widest layer": max(workload.sizes),
        "layers": workload.layers,
        "bytes of a number": workload.itemsize,
    }
