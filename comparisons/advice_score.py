"""Is the advice right on workloads that it has never seen?

    python -m comparisons.advice_score [--threads N]
    python -m comparisons.advice_score --again

Calibrates this machine, then measures random workloads that the calibration does not hold, and
scores what the advice says about them. The targets: a median error of the step time of at most
20 %, and the right winner in at least 90 % of the workloads where the gap is over 10 %. Beside it
the scores of two simple ways that the cost model must beat. With the time it has by default every
engine is measured on every workload (a quarter of an hour with the calibration); with less, engines
that take long to compile are measured on some, which is said, and winners are easier to name
where they are missing. One calibration may be lucky: so all workloads together are divided anew,
many times, into some to learn from and the rest, and the averages stand beside the score. The
second form scores the stored measurements once more.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from comparisons.advice_verdict import scores_of, table
from comparisons.folders import chosen_folder
from comparisons.narrator import Narrator
from comparisons.options import require_above_zero
from comparisons.random_workloads import add_workload_options, drawn
from twofold.commands import run_command
from twofold.engines.registry import default_engines
from twofold.errors import TwofoldError
from twofold.results.json_files import read_json, write_json
from twofold.studies.advice import store
from twofold.studies.advice.calibrate import Calibration
from twofold.studies.advice.calibrating import BUDGET_S, advised_engines, calibrate, fleet_on
from twofold.studies.advice.measured_point import Point
from twofold.timing.conditions import checked_cpus

SCHEMA: Final = "twofold.advice-score/1"
NAME: Final = "advice-score"
CALIBRATION: Final = "calibration-advice"
SECONDS_BESIDE_COMPILING: Final = 1.5
FEWEST_WORKLOADS: Final = 6
PATIENCE: Final = 1.5
"""After this many times the budget, the rest of the workloads is left out."""


def main(arguments: list[str] | None = None) -> int:
    """Calibrate and score; 0 if the targets are met and the baselines beaten, 1 if not."""
    given = parse(arguments)
    narrator = Narrator()
    try:
        folder = chosen_folder(given)
        calibration = calibrated(given, folder, narrator)
        stored = folder / named(NAME, calibration.environment["threads"])
        if given.again:
            known = read_json(stored, SCHEMA)
            points = [Point.from_json(point) for point in known["points"]]
            result = {**known, **scores_of(calibration, points)}
        else:
            points, other_cores = measure_all(calibration, given, narrator)
            about = {"schema": SCHEMA, "environment": calibration.environment, "seed": given.seed}
            result = {**about, "other_cores": other_cores, **scores_of(calibration, points)}
        path = write_json(stored, result)
    except TwofoldError as error:
        narrator.fail(f"error: {error}")
        return error.exit_code
    narrator.heading("score of the advice")
    for line in table(result):
        narrator.say(line)
    narrator.say(f"written: {path}")
    return 0 if result["met"] and result["beats_others"] else 1


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m comparisons.advice_score")
    parser.add_argument(
        "--engines",
        default=",".join(advised_engines(default_engines())),
        help="comma-separated; default %(default)s",
    )
    parser.add_argument("--calibration", type=Path, help="use this one instead of a new one")
    parser.add_argument("--calibration-seconds", type=float, default=BUDGET_S)
    parser.add_argument("--budget", type=float, default=900.0, help="seconds for all workloads")
    add_workload_options(parser, workloads=40, seconds=3.0, seed=2026)
    parser.add_argument(
        "--again", action="store_true", help="score what was measured before; measure nothing"
    )
    given = parser.parse_args(arguments)
    require_above_zero(parser, given, "workloads", "seconds", "budget", "calibration_seconds")
    return given


def calibrated(given: argparse.Namespace, folder: Path, narrator: Narrator) -> Calibration:
    """The calibration at hand, or a new one, which is kept beside the score."""
    if given.calibration:
        return store.load(given.calibration)
    if given.again:
        return store.load(folder / named(CALIBRATION, len(checked_cpus(given.threads))))
    narrator.heading("calibration")
    found = calibrate(
        given.engines.split(","),
        threads=given.threads,
        budget_s=given.calibration_seconds,
        on_progress=lambda part: narrator.update("calibrating", fraction=part),
    )
    path = store.save(found, folder / named(CALIBRATION, found.environment["threads"]))
    for engine, reason in found.failures.items():
        narrator.fail(f"{engine}: could not be measured: {reason}")
    narrator.say(f"{len(found.points)} points of {len(found.models)} engines: {path}")
    return found


def named(name: str, threads: int) -> str:
    """The file of a result: one for each number of threads."""
    return f"{name}-{threads}-threads.json"


def measure_all(
    calibration: Calibration, given: argparse.Namespace, narrator: Narrator
) -> tuple[list[Point], float | None]:
    """Every workload in every engine that takes part in it, side by side.

    Also how many processors others kept busy meanwhile.
    """
    narrator.heading("workloads")
    experiments = drawn(given.workloads, given.seed)
    engines = list(calibration.models)
    parts = takes_part(calibration, engines, given.workloads, given.budget)
    fleet = fleet_on(checked_cpus(given.threads))
    found = list[Mapping[str, Point]]()
    try:
        start = time.monotonic()
        for index, experiment in enumerate(experiments):
            if time.monotonic() - start > PATIENCE * given.budget:
                narrator.fail(f"out of time: {index} of {len(experiments)} workloads measured")
                break
            narrator.update("measuring", fraction=index / len(experiments))
            names = [engine for engine in engines if index in parts[engine]]
            found.append(fleet.measure(experiment, names, given.seconds, seed=index))
    finally:
        fleet.close()
    for engine in engines:
        count = sum(engine in points for points in found)
        narrator.say(f"{engine:20} on {count} of {given.workloads} workloads")
    for engine, reason in fleet.failures.items():
        narrator.fail(f"{engine}: could not be measured: {reason}")
    return [point for points in found for point in points.values()], fleet.other_cores


def takes_part(
    calibration: Calibration, engines: Sequence[str], workloads: int, budget_s: float
) -> dict[str, set[int]]:
    """The workloads that each engine is measured on: all, or every so many if it compiles long.

    The cheapest engines are served first; each may use an equal part of what is left.
    """
    costs = {}
    for engine in engines:
        fixed, per_layer, _ = calibration.models[engine].compile_s
        costs[engine] = fixed + 3 * per_layer + SECONDS_BESIDE_COMPILING
    parts, left = {}, budget_s
    waiting = sorted(engines, key=lambda engine: costs[engine])
    for index, engine in enumerate(waiting):
        share = left / (len(waiting) - index)
        count = min(workloads, max(FEWEST_WORKLOADS, int(share / costs[engine])))
        left -= count * costs[engine]
        parts[engine] = {round(step * workloads / count) for step in range(count)}
    return parts


if __name__ == "__main__":
    run_command(main)
