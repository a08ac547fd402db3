"""Calibrating this machine: real processes, the real clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from twofold.engines.registry import default_engines
from twofold.results import environment
from twofold.spec.experiment import Device
from twofold.studies.advice.calibrate import Calibration, collect_points
from twofold.studies.advice.probing import SIZED_ONLY, WARM_UP_LIMIT_S, EngineProcesses
from twofold.studies.sweep import quick_engines
from twofold.timing.clock import SystemClock, seconds_since
from twofold.timing.conditions import checked_cpus
from twofold.timing.load import busy_seconds
from twofold.timing.measure import REFERENCE, checked_engines, missing_framework
from twofold.timing.process import ProcessWorker
from twofold.timing.protocol import Limits

BUDGET_S: Final = 215.0
PATIENCE: Final = Limits(cold_s=120.0, block_s=60.0)


def calibrate(
    engines: Sequence[str] | None = None,
    *,
    device: Device = "auto",
    threads: int | None = None,
    budget_s: float = BUDGET_S,
    on_progress: Callable[[float], None] = lambda _fraction: None,
) -> Calibration:
    """Measure engines (default `advised_engines`) on the design of workloads; fit their models.

    `budget_s`: seconds for the measurements. Engines without
    their framework are left out. Raises BadInput before anything is started.
    """
    asked = advised_engines(default_engines()) if engines is None else engines
    names = [name for name in checked_engines(asked) if not missing_framework(name)]
    cpus = checked_cpus(threads)
    clock = SystemClock()
    start, fleet = clock.nanoseconds(), fleet_on(cpus, SIZED_ONLY)
    try:
        points = collect_points(
            fleet, names, budget_s=budget_s, clock=clock, device=device, on_progress=on_progress
        )
    finally:
        fleet.close()
    about = {**environment.describe(), "threads": len(cpus), "cpus": list(cpus)}
    seconds = seconds_since(clock, start)
    return Calibration(
        about, device, seconds, tuple(points), dict(fleet.failures), fleet.other_cores
    )


def advised_engines(known: Sequence[str]) -> list[str]:
    """Those of each framework that start or run fastest: more would leave few workloads to each."""
    return [name for name in known if name in {REFERENCE, *quick_engines(known)}]


def fleet_on(cpus: Sequence[int], warm_up_limit_s: float = WARM_UP_LIMIT_S) -> EngineProcesses:
    """A fleet of real processes on some processors."""

    def start(engine: str) -> ProcessWorker:
        return ProcessWorker(engine, "{}", cpus, limits=PATIENCE)

    return EngineProcesses(
        start, SystemClock(), partial(busy_seconds, cpus), len(cpus), warm_up_limit_s
    )
