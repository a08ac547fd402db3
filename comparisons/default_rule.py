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
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from twofold_torch.remembered import mark_compiled

from comparisons.folders import chosen_folder
from comparisons.loops.interleaved import show
from comparisons.narrator import Narrator
from comparisons.options import require_above_zero
from comparisons.random_workloads import add_workload_options, drawn
from comparisons.rule_costs import ENGINES, NEAR, SCHEMA, Case, StoredRule, grouped, line_of
from twofold.commands import run_command
from twofold.engines.registry import default_engine
from twofold.errors import EngineFailed, TwofoldError
from twofold.problem.data import prepare
from twofold.problem.problem import Problem
from twofold.report.wording import counted
from twofold.results import environment
from twofold.results.json_files import write_json
from twofold.results.stored import read_result
from twofold.spec.experiment import Experiment
from twofold.spec.messages import validate
from twofold.temporary import temporary_folder
from twofold.timing.conditions import Conditions, checked_cpus
from twofold.timing.measure import measure
from twofold.timing.process import ProcessWorker

STEPS: Final = (100, 1_000, 10_000, 100_000, 1_000_000)


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
    add_workload_options(parser, workloads=10, seconds=3.0, seed=1612)
    given = parser.parse_args(arguments)
    require_above_zero(parser, given, "workloads", "seconds")
    return given


def measure_all(given: argparse.Namespace, narrator: Narrator) -> dict[str, Any]:
    """Time all workloads; the result has no cases yet. Raises BadInput."""
    cpus = checked_cpus(given.threads)
    experiments = drawn(given.workloads, given.seed)
    read_files(experiments[0], cpus)
    workloads = []
    for index, experiment in enumerate(experiments):
        narrator.heading(f"workload {index + 1} of {given.workloads}")
        paces = paces_of(experiment, cpus, given.seconds, narrator)
        workloads.append({"experiment": experiment.model_dump(mode="json"), "paces": paces})
    return {
        "schema": SCHEMA,
        "environment": {**environment.describe(), "threads": len(cpus), "cpus": list(cpus)},
        "seed": given.seed,
        "workloads": workloads,
    }


def read_files(experiment: Experiment, cpus: Sequence[int]) -> None:
    """Start each backend once, untimed: the first start reads its files from the disk.

    Engines start in a fixed order, so that one of them would seem to start late. What fails here
    fails again where it is timed, and is told there.
    """
    for engine, *_ in ENGINES.values():
        worker = ProcessWorker(engine, experiment.model_dump_json(), cpus)
        with closing(worker), suppress(EngineFailed):
            worker.open()


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
    """Ask the rule, as it is now, for every workload that was timed. Raises BadInput."""
    threads = found["environment"]["threads"]
    for index, workload in enumerate(found["workloads"]):
        experiment = validate(Experiment, workload["experiment"], f"workload {index + 1}")
        problem = prepare(experiment)
        for warm in (False, True):
            with caches(problem, threads, filled=warm):
                for backend in ENGINES:
                    yield from _chosen(problem, index, backend, warm, workload["paces"])


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
def caches(problem: Problem, threads: int, *, filled: bool) -> Iterator[None]:
    """A cache of compiled steps for the rule to look into: empty, or filled for this problem.

    It is looked into with as many threads as the engines were timed with.
    """
    before, own_threads = os.environ.get("TORCHINDUCTOR_CACHE_DIR"), torch.get_num_threads()
    with temporary_folder() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
        torch.set_num_threads(threads)
        try:
            if filled:
                mark_compiled(problem)
            yield
        finally:
            torch.set_num_threads(own_threads)
            if before is None:
                del os.environ["TORCHINDUCTOR_CACHE_DIR"]
            else:
                os.environ["TORCHINDUCTOR_CACHE_DIR"] = before


def tell(found: Mapping[str, Any], narrator: Narrator) -> int:
    """Say how often the rule was near the best; 0 if often enough everywhere, else 1."""
    groups = list(grouped(found["cases"]))
    for group in groups:
        narrator.say(
            f"{'met   ' if group.met else 'missed'} {group.backend}, {group.caches} caches: within "
            f"10 % of the best in {group.near} of {counted(len(group.cases), 'case')}"
        )
        for case in group.cases:
            if case["cost"] > NEAR:
                narrator.say(f"         {line_of(case)}")
    return 0 if all(group.met for group in groups) else 1


if __name__ == "__main__":
    run_command(main)
