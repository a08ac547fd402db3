"""Is the timing harness to be trusted? Real processes, real clock.

    python -m comparisons.calibration

An engine is timed against itself many times, each side in several processes (`--processes`): how
often is it called different? And with the second side slowed down by a known share: how often is
that found? The processes of both sides are drawn anew for each run from twice as many. The targets:
at most 5 % false alarms; slow-downs of 5, 10 and 25 % found in at least 80, 95 and 100 % of the
runs.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from comparisons.folders import add_folder_options, chosen_folder
from comparisons.narrator import Narrator
from comparisons.options import require_above_zero
from twofold.commands import run_command
from twofold.errors import TwofoldError
from twofold.results import environment
from twofold.results.json_files import write_json
from twofold.spec.experiment import Experiment
from twofold.timing.clock import SystemClock
from twofold.timing.conditions import checked_cpus
from twofold.timing.fleet import Fleet
from twofold.timing.harness import Measurement, Rounds, Run
from twofold.timing.load import busy_seconds
from twofold.timing.measure import checked_engines
from twofold.timing.process import ProcessWorker
from twofold.timing.protocol import EngineWorker, Opened
from twofold.timing.result import Ratio
from twofold.timing.summary import engine_timing, ratio_of
from twofold.timing.timed_engine import Block

SCHEMA: Final = "twofold.calibration-of-timing/1"
NAME: Final = "calibration-timing"
SLOW_DOWNS: Final = (0.0, 0.05, 0.10, 0.25)
TARGETS: Final = {0.0: 0.05, 0.05: 0.80, 0.10: 0.95, 0.25: 1.0}
"""For 0 the share called different that is allowed, else the share found that is needed."""


@dataclass
class Slowed:
    """A worker whose blocks take longer by a known share."""

    worker: ProcessWorker
    share: float
    engine: str

    def open(self) -> Opened:
        return self.worker.open()

    def first_step(self) -> Block:
        return self.worker.first_step()

    def block(self, steps: int) -> Block:
        return self.worker.block(steps, slow_down=self.share)

    def describe(self) -> Mapping[str, Any]:
        return self.worker.describe()

    def processor_seconds(self) -> float:
        return self.worker.processor_seconds()

    def close(self) -> None:
        self.worker.close()


@dataclass(frozen=True)
class Ready:
    """A process that is warm, with the steps that its blocks need."""

    worker: ProcessWorker
    run: Run


@dataclass(frozen=True)
class Trial:
    """One short run: which engine, how much the second process was slowed down, what came out."""

    engine: str
    slow_down: float
    outcome: str
    ratio: float | None
    low: float | None
    high: float | None
    rounds: int
    reason: str


def main(arguments: list[str] | None = None) -> int:
    """Run the calibration; 0 if all targets are met, 1 if not, 2 for bad input."""
    given = parse(arguments)
    narrator = Narrator()
    try:
        engines = checked_engines(given.engines.split(","))
        trials, seconds = run_all(engines, given, narrator)
    except TwofoldError as error:
        narrator.fail(f"error: {error}")
        return error.exit_code
    result = {
        "schema": SCHEMA,
        "environment": {**environment.describe(), "threads": len(checked_cpus(given.threads))},
        "experiment": given.experiment,
        "seconds_a_run": given.seconds,
        "processes_a_side": given.processes,
        "seconds": seconds,
        "levels": [level(trials, share) for share in SLOW_DOWNS],
        "trials": [vars(trial) for trial in trials],
    }
    folder = chosen_folder(given)
    threads = result["environment"]["threads"]
    path = write_json(folder / f"{NAME}-{threads}-threads.json", result)
    narrator.heading("calibration of the harness")
    for line in table(result["levels"]):
        narrator.say(line)
    narrator.say(f"written: {path} ({seconds:.0f} s)")
    return 0 if all(item["met"] for item in result["levels"]) else 1


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m comparisons.calibration")
    parser.add_argument("--engines", default="torch:eager,flax:jit")
    parser.add_argument("--experiment", default="digits")
    parser.add_argument("--processes", type=int, default=8, help="of each side of a run")
    parser.add_argument("--runs", type=int, default=100, help="of an engine against itself")
    parser.add_argument("--slowed-runs", type=int, default=30, help="of each slow-down")
    parser.add_argument("--seconds", type=float, default=1.8, help="of rounds in each run")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    add_folder_options(parser)
    given = parser.parse_args(arguments)
    for name in ("processes", "runs", "slowed_runs"):
        if getattr(given, name) < 1:
            option = name.replace("_", "-")
            parser.error(f"--{option}: {getattr(given, name)} given; allowed is 1 or more")
    require_above_zero(parser, given, "seconds")
    return given


def run_all(
    engines: Sequence[str], given: argparse.Namespace, narrator: Narrator
) -> tuple[list[Trial], float]:
    """All runs, the levels in random order, each side on processes drawn at random."""
    start = time.monotonic()
    cpus = checked_cpus(given.threads)
    experiment = Experiment.load(given.experiment).model_dump_json()
    workers = [
        ProcessWorker(engine, experiment, cpus)
        for engine in engines
        for _ in range(2 * given.processes)
    ]
    counts = [given.runs, *[given.slowed_runs] * (len(SLOW_DOWNS) - 1)]
    levels = [share for share, count in zip(SLOW_DOWNS, counts, strict=True) for _ in range(count)]
    order, trials = random.Random(given.seed), list[Trial]()
    order.shuffle(levels)
    try:
        ready = bring_up(workers, narrator)
        for number, share in enumerate(levels):
            narrator.update("runs", fraction=number / len(levels))
            engine = engines[number % len(engines)]
            own = [item for item in ready if item.run.engine == engine]
            order.shuffle(own)
            sides = own[: given.processes], own[given.processes :]
            trials.append(one_run(sides, share, given.seconds, number, cpus))
    finally:
        for worker in workers:
            worker.close()
    return trials, time.monotonic() - start


def bring_up(workers: Sequence[ProcessWorker], narrator: Narrator) -> list[Ready]:
    """Cold start and warm-up of each process. Raises EngineFailed if one cannot."""
    pairs: list[tuple[EngineWorker, Run]] = [(worker, Run(worker.engine)) for worker in workers]
    Measurement(
        pairs, SystemClock(), lambda at: narrator.update(at.phase, at.engine or "", at.fraction)
    ).bring_up()
    for _, run in pairs:
        if run.status != "measured":
            raise TwofoldError(f"{run.engine}: {run.status}: {run.reason}")
    return [Ready(worker, run) for worker, (_, run) in zip(workers, pairs, strict=True)]


def one_run(
    sides: Sequence[Sequence[Ready]], share: float, seconds: float, seed: int, cpus: Sequence[int]
) -> Trial:
    """Processes of one engine on two sides, those of the second slowed down."""
    names = ("first", "second")
    fleets = [
        Fleet([Slowed(ready.worker, by, name) for ready in side], brought_up=True)
        for side, by, name in zip(sides, (0.0, share), names, strict=True)
    ]
    runs = [
        Run(name, opened=side[0].run.opened, steps_per_block=side[0].run.steps_per_block)
        for side, name in zip(sides, names, strict=True)
    ]
    measurement = Measurement(
        list(zip(fleets, runs, strict=True)),
        SystemClock(),
        busy_seconds=partial(busy_seconds, cpus),
        cores=len(cpus),
    )
    measurement.run_rounds(seconds, seed)
    rounds = Rounds(
        tuple(runs), measurement.seconds, measurement.other_cores, False, measurement.quiet
    )
    ratio = ratio_in(rounds, seed)
    return Trial(
        sides[0][0].run.engine,
        share,
        ratio.outcome,
        ratio.median,
        ratio.low,
        ratio.high,
        len(rounds.quiet),
        ratio.reason,
    )


def ratio_in(rounds: Rounds, seed: int) -> Ratio:
    """The second process over the first."""
    first, second = (engine_timing(run, seed, rounds.quiet) for run in rounds.runs)
    return ratio_of(second, first, seed, rounds.quiet)


def level(trials: Sequence[Trial], share: float) -> dict[str, Any]:
    """What became of one size of slow-down; runs that a busy machine spoilt are counted apart."""
    own = [trial for trial in trials if trial.slow_down == share]
    judged = [trial for trial in own if trial.outcome != "could not be measured"]
    slower = sum(trial.outcome == "slower" for trial in judged)
    faster = sum(trial.outcome == "faster" for trial in judged)
    found = slower + faster if share == 0 else slower
    rate = found / len(judged) if judged else None
    target = TARGETS[share]
    met = rate is not None and (rate <= target if share == 0 else rate >= target and not faster)
    return {
        "slow_down": share,
        "runs": len(own),
        "judged": len(judged),
        "slower": slower,
        "faster": faster,
        "share": rate,
        "target": target,
        "met": met,
        "median_ratio": middle([trial.ratio for trial in judged if trial.ratio is not None]),
    }


def middle(values: Sequence[float]) -> float | None:
    """The median; None of nothing."""
    ordered = sorted(values)
    half = len(ordered) // 2
    if not ordered:
        return None
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def table(levels: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each slow-down."""
    lines = ["injected   runs  judged  called different  target        met  median ratio"]
    for item in levels:
        share = "-" if item["share"] is None else f"{item['share']:.0%}"
        sign = "at most" if item["slow_down"] == 0 else "at least"
        ratio = "-" if item["median_ratio"] is None else f"{item['median_ratio']:.3f}"
        lines.append(
            f"{item['slow_down']:>8.0%} {item['runs']:>6} {item['judged']:>7} {share:>17}  "
            f"{sign + ' ' + format(item['target'], '.0%'):<13} {'yes' if item['met'] else 'NO':>3}"
            f" {ratio:>13}"
        )
    return lines


if __name__ == "__main__":
    run_command(main)
