"""Is the engine for who does not choose one nearly the best one?

    python -m comparisons.default_rule [--workloads N] [--threads N] [--seed S]
    python -m comparisons.default_rule --again FILE

On random workloads the engines that the rule chooses from, and their rivals, are timed: cold and
warm starts, and steps. From these follows how long a training of any number of steps takes in each
of them. The rule is asked for the same numbers of steps, with empty caches and with caches that an
earlier training filled; the second form asks the present rule about stored times. Wanted: at most
10 % more than the best engine's time in nine of ten cases. Parity is not judged here. Writes
`default-rule-N-threads.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from twofold_torch.remembered import mark_compiled

from comparisons.advice_score import random_workload
from comparisons.folders import add_folder_options, chosen_folder
from comparisons.loops.interleaved import show
from comparisons.narrator import Narrator
from comparisons.workload_ratios import Threads
from twofold.commands import run_command
from twofold.engines.registry import default_engine
from twofold.errors import EngineFailed, TwofoldError
from twofold.problem.data import prepare
from twofold.problem.problem import Problem
from twofold.report.wording import counted, duration
from twofold.results import environment
from twofold.results.json_files import write_json
from twofold.results.stored import (
    Count,
    Measurement,
    Name,
    Positive,
    Ratio,
    Seconds,
    Stored,
    read_result,
)
from twofold.spec.experiment import Experiment
from twofold.temporary import temporary_folder
from twofold.timing.conditions import Conditions, checked_cpus
from twofold.timing.measure import measure

SCHEMA: Final = "twofold.default-rule/1"
ENGINES: Final[Mapping[str, Sequence[str]]] = {
    "torch": ("torch:eager", "torch:eager-fused", "torch:compile-step", "torch:compile-epoch"),
    "flax": ("flax:jit", "flax:scan"),
}
STEPS: Final = (100, 1_000, 10_000, 100_000, 1_000_000)
NEAR: Final = 1.10
"""The rule may cost so many times the best engine's time to a result ..."""
SHARE: Final = 0.9
"""... in at least this share of the cases."""


@dataclass(frozen=True)
class Case:
    """What the rule chose for one workload, number of steps and state of the caches.

    `times_s`: seconds from nothing to the result in each engine; `chosen` is one of them.
    """

    backend: str
    workload: int
    steps: int
    warm: bool
    chosen: str
    times_s: Mapping[str, float]

    @property
    def cost(self) -> float:
        """The chosen engine's time over that of the best one."""
        return self.times_s[self.chosen] / min(self.times_s.values())


class StoredPace(Stored):
    """Seconds to the first step with empty and with full caches, and for a step."""

    cold_s: Seconds
    warm_s: Seconds
    step_s: Seconds


class StoredCase(Stored):
    """One case, as `Case`."""

    backend: Name
    workload: Count
    steps: Positive
    warm: bool
    chosen: Name
    times_s: dict[Name, Seconds]
    cost: Ratio


class StoredRule(Measurement):
    """`twofold.default-rule/1`."""

    environment: Threads
    seed: Count
    workloads: list[dict[str, Any]]
    paces: list[dict[Name, StoredPace]]
    cases: list[StoredCase]


def main(arguments: list[str] | None = None) -> int:
    """Measure and judge; returns the exit code."""
    given, narrator = parse(arguments), Narrator()
    try:
        if given.again:
            found = read_result(given.again, SCHEMA, StoredRule)
            path = given.again
        else:
            found = measure_all(given, narrator)
            threads = found["environment"]["threads"]
            path = chosen_folder(given) / f"default-rule-{threads}-threads.json"
        found["cases"] = [asdict(case) | {"cost": case.cost} for case in cases_of(found)]
        write_json(path, found)
    except TwofoldError as error:
        narrator.fail(f"error: {error}")
        return error.exit_code
    code = tell(found, narrator)
    narrator.say(f"Results: {path}")
    return code


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m comparisons.default_rule")
    parser.add_argument(
        "--again", type=Path, metavar="FILE", help="ask the rule again for what was timed"
    )
    parser.add_argument("--workloads", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0, help="of rounds on each workload")
    parser.add_argument("--threads", type=int, help="processors and threads for each engine")
    parser.add_argument("--seed", type=int, default=1612)
    add_folder_options(parser)
    given = parser.parse_args(arguments)
    if given.workloads < 1 or not given.seconds > 0:
        parser.error("--workloads and --seconds must be above 0")
    return given


def measure_all(given: argparse.Namespace, narrator: Narrator) -> dict[str, Any]:
    """Time all workloads; the result has no cases yet. Raises BadInput."""
    cpus = checked_cpus(given.threads)
    order = random.Random(given.seed)
    experiments = [random_workload(order) for _ in range(given.workloads)]
    paces = []
    for index, experiment in enumerate(experiments):
        narrator.heading(f"workload {index + 1} of {len(experiments)}")
        paces.append(paces_of(experiment, cpus, given.seconds, narrator))
    return {
        "schema": SCHEMA,
        "environment": {**environment.describe(), "threads": len(cpus), "cpus": list(cpus)},
        "seed": given.seed,
        "workloads": [each.model_dump(mode="json") for each in experiments],
        "paces": paces,
    }


def paces_of(
    experiment: Experiment, cpus: Sequence[int], seconds: float, narrator: Narrator
) -> dict[str, dict[str, float]]:
    """Seconds to start cold and warm, and for a step; engines that cannot be timed are left out."""
    result = measure(
        experiment,
        engines=[name for engines in ENGINES.values() for name in engines],
        conditions=Conditions(cpus=tuple(cpus), seconds=seconds, warm_start=True),
        certification=None,
        on_progress=partial(show, narrator),
    )
    found = {}
    for timing in result.engines:
        cold, warm = timing.pace, timing.warm_pace
        if cold is None or warm is None:
            narrator.fail(f"{timing.engine}: could not be measured: {timing.reason}")
            continue
        step = cold.step_s.median
        found[timing.engine] = {
            "cold_s": cold.cold_start_s,
            "warm_s": warm.cold_start_s,
            "step_s": step,
        }
    return found


def cases_of(found: Mapping[str, Any]) -> Iterator[Case]:
    """Ask the rule, as it is now, for every workload that was timed."""
    cpus = range(found["environment"]["threads"])
    timed = zip(found["workloads"], found["paces"], strict=True)
    for index, (workload, paces) in enumerate(timed):
        problem = prepare(Experiment.model_validate_json(json.dumps(workload)))
        for warm in (False, True):
            with caches(problem, cpus, filled=warm):
                for backend in ENGINES:
                    yield from _chosen(problem, index, backend, warm, paces)


def _chosen(
    problem: Problem,
    index: int,
    backend: str,
    warm: bool,
    paces: Mapping[str, Mapping[str, float]],
) -> Iterator[Case]:
    """A case for each number of steps. Raises EngineFailed where the chosen one was not timed."""
    known = {name: pace for name, pace in paces.items() if name in ENGINES[backend]}
    start = "warm_s" if warm else "cold_s"
    for steps in STEPS:
        chosen = default_engine(problem, steps, backend).engine
        if chosen not in known:
            raise EngineFailed(f"workload {index + 1}: {chosen} was chosen and was not timed")
        times = {name: pace[start] + (steps - 1) * pace["step_s"] for name, pace in known.items()}
        yield Case(backend, index, steps, warm, chosen, times)


@contextmanager
def caches(problem: Problem, cpus: Sequence[int], *, filled: bool) -> Iterator[None]:
    """A cache of compiled steps for the rule to look into: empty, or filled for this problem.

    It is looked into with as many threads as the engines were timed with.
    """
    before, threads = os.environ.get("TORCHINDUCTOR_CACHE_DIR"), torch.get_num_threads()
    with temporary_folder() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
        torch.set_num_threads(len(cpus))
        try:
            if filled:
                mark_compiled(problem)
            yield
        finally:
            torch.set_num_threads(threads)
            if before is None:
                del os.environ["TORCHINDUCTOR_CACHE_DIR"]
            else:
                os.environ["TORCHINDUCTOR_CACHE_DIR"] = before


def tell(found: Mapping[str, Any], narrator: Narrator) -> int:
    """Say how often the rule was near the best; 0 if often enough everywhere, else 1."""
    met = True
    for backend in ENGINES:
        for warm in (False, True):
            chosen = [
                case
                for case in found["cases"]
                if (case["backend"], case["warm"]) == (backend, warm)
            ]
            near = sum(case["cost"] <= NEAR for case in chosen)
            enough = bool(chosen) and near >= SHARE * len(chosen)
            met &= enough
            state = "full caches" if warm else "empty caches"
            narrator.say(
                f"{'met   ' if enough else 'missed'} {backend}, {state}: within 10 % of the best "
                f"in {near} of {counted(len(chosen), 'case')}"
            )
            for case in chosen:
                if case["cost"] > NEAR:
                    narrator.say(f"         {line_of(case)}")
    return 0 if met else 1


def line_of(case: Mapping[str, Any]) -> str:
    """`workload 3, 1,000 steps: torch:eager 4.1 s, 1.3 times flax:scan`."""
    times: Mapping[str, float] = case["times_s"]
    best = min(times, key=times.__getitem__)
    took = times[best] * case["cost"]
    return (
        f"workload {case['workload'] + 1}, {case['steps']:,} steps: {case['chosen']} "
        f"{duration(took)}, {case['cost']:.2f} times {best}"
    )


if __name__ == "__main__":
    run_command(main)
