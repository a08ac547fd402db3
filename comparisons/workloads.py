"""Are the engines faster than those of an earlier commit, on workloads that nobody tuned?

    python -m comparisons.workloads --before CHECKOUT --compile-only [--threads N]
    python -m comparisons.workloads --before CHECKOUT [--threads N]
    python -m comparisons.workloads --again FILE

CHECKOUT is a folder with the earlier commit. Random workloads are drawn from a seed; on each of
them the engines of both commits take steps in one interleaved run, in processes that differ in
nothing but the folder that they import from. The best engine now is compared with the best one
before, for each framework, and the frameworks with each other by size.

The first form compiles all programs into a folder that the second finds, so that only the second
needs a quiet machine. Parity is not judged here; `twofold parity` does that. Writes
`workloads-N-threads.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import twofold
from comparisons.folders import RUNS, chosen_folder
from comparisons.loops.parts import layer_sizes
from comparisons.narrator import Narrator
from comparisons.options import require_above_zero
from comparisons.random_workloads import add_workload_options, drawn
from comparisons.workload_ratios import (
    SCHEMA,
    StoredRatio,
    StoredWorkload,
    StoredWorkloads,
    lines_of,
    summary_of,
)
from twofold.commands import run_command
from twofold.errors import BadInput, EngineFailed, TwofoldError
from twofold.problem.data import prepare
from twofold.report.wording import counted
from twofold.results import environment
from twofold.results.json_files import write_json
from twofold.results.stored import read_result
from twofold.spec.experiment import Experiment
from twofold.spec.model import dropouts
from twofold.studies.advice.probing import REPEATS, EngineProcesses
from twofold.timing import summary
from twofold.timing.clock import SystemClock
from twofold.timing.conditions import checked_cpus
from twofold.timing.harness import FEWEST_ROUNDS
from twofold.timing.load import busy_seconds
from twofold.timing.operations import work_of
from twofold.timing.process import ProcessWorker
from twofold.timing.protocol import Limits
from twofold.timing.timed_engine import rows_per_step, whole_batches

ENGINES: Final = ("torch:compile-step", "torch:compile-epoch", "flax:jit", "flax:scan")
BEFORE: Final = "before/"
"""Begins the label of an engine of the earlier commit."""
LABELS: Final = (*ENGINES, *(BEFORE + engine for engine in ENGINES))
SINCE: Final[Mapping[str, Sequence[str]]] = {
    "data": ("memory_map", "validation_fraction", "most_values"),
    "training": ("patience",),
}
"""Options that commits before 2026-11-29 do not know."""
FOLDERS: Final = ("src", "backends")
PATIENCE: Final = Limits(cold_s=300.0, block_s=60.0)


def main(arguments: list[str] | None = None) -> int:
    """Compile, measure or tell again; returns the exit code."""
    narrator = Narrator()
    given = parse(arguments)
    try:
        if given.again:
            return tell(read_result(given.again, SCHEMA, StoredWorkloads), narrator)
        cpus = checked_cpus(given.threads)
        before = checked_checkout(given.before)
        experiments = drawn(given.workloads, given.seed)
        start = partial(started, before, given.programs / f"{len(cpus)}-threads")
        if given.compile_only:
            return compile_all(experiments, cpus, start, narrator)
        found = {
            "schema": SCHEMA,
            "environment": {**environment.describe(), "threads": len(cpus), "cpus": list(cpus)},
            "before": commit_of(before),
            "now": commit_of(Path(twofold.__file__).parents[2]),
            "seed": given.seed,
            **measure_all(experiments, cpus, start, given.seconds, narrator),
        }
        path = write_json(chosen_folder(given) / f"workloads-{len(cpus)}-threads.json", found)
    except TwofoldError as error:
        narrator.fail(f"error: {error}")
        return error.exit_code
    code = tell(found, narrator)
    narrator.say(f"Results: {path}")
    return code


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m comparisons.workloads")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="the earlier commit")
    parser.add_argument("--compile-only", action="store_true", help="compile, and time nothing")
    parser.add_argument("--again", type=Path, metavar="FILE", help="tell a stored result again")
    parser.add_argument("--programs", type=Path, default=RUNS / "programs", help="compiled ones")
    add_workload_options(parser, workloads=40, seconds=4.0, seed=1611)
    given = parser.parse_args(arguments)
    if (given.before is None) == (given.again is None):
        parser.error("give either --before CHECKOUT or --again FILE")
    require_above_zero(parser, given, "workloads", "seconds")
    return given


def checked_checkout(folder: Path) -> Path:
    """The folder of the earlier commit, whole. Raises BadInput."""
    for each in FOLDERS:
        if not (folder / each).is_dir():
            raise BadInput(
                f"--before: {folder} given, which has no folder {each!r}; give a checkout of this "
                "project, as `git worktree add FOLDER COMMIT` makes one"
            )
    return folder.resolve()


def commit_of(folder: Path) -> str:
    """The commit that a folder is a checkout of, `-dirty` if changed; empty if git cannot tell."""
    command = ("git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12")
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def without_defaults(experiment: Experiment) -> str:
    """The experiment as JSON that an earlier commit reads, too: later options are left out.

    Raises BadInput where a later option is in use, since the earlier commit has no such thing.
    """
    whole = experiment.model_dump(mode="json")
    plain = Experiment().model_dump(mode="json")
    for part, fields in SINCE.items():
        for name in fields:
            if whole[part].pop(name) != plain[part][name]:
                raise BadInput(f"{part}.{name}: in use; leave it at its default to compare commits")
    return json.dumps(whole)


Start = Callable[[Sequence[int], str], ProcessWorker]


def started(before: Path, programs: Path, cpus: Sequence[int], label: str) -> ProcessWorker:
    """A process of an engine, which imports from the checkout that its label says."""
    old = label.startswith(BEFORE)
    folder = programs / label.replace("/", "-").replace(":", "-")
    folder.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(str(before / each) for each in FOLDERS)
    return ProcessWorker(
        label.removeprefix(BEFORE),
        "{}",
        cpus,
        limits=PATIENCE,
        cache=str(folder.resolve()),
        variables={"PYTHONPATH": path} if old else {},
    )


def compile_all(
    experiments: Sequence[Experiment], cpus: Sequence[int], start: Start, narrator: Narrator
) -> int:
    """Open every engine once on every workload, one on each processor; returns the exit code."""
    usable = environment.usable_cpus()
    places = queue.SimpleQueue[Sequence[int]]()
    for place in [[cpu] for cpu in usable] if len(cpus) == 1 else [cpus] * len(usable):
        places.put(place)
    failed = list[str]()

    def compile_one(job: tuple[str, str]) -> None:
        label, text = job
        place = places.get()
        worker = start(place, label)
        worker.take_up(text)
        try:
            worker.open()
            worker.first_step()
            worker.block(4)
        except (EngineFailed, BadInput) as error:
            failed.append(f"{label}: {error}")
        finally:
            worker.close()
            places.put(place)

    jobs = [(label, without_defaults(each)) for each in experiments for label in LABELS]
    with ThreadPoolExecutor(len(usable)) as pool:
        for _ in pool.map(compile_one, jobs):
            pass
    for reason in failed:
        narrator.fail(reason)
    return 1 if failed else 0


def measure_all(
    experiments: Sequence[Experiment],
    cpus: Sequence[int],
    start: Start,
    seconds: float,
    narrator: Narrator,
) -> dict[str, Any]:
    """Every workload in every engine of both commits, side by side."""
    narrator.heading(f"{counted(len(experiments), 'workload')}, {counted(len(cpus), 'thread')}")
    fleet = EngineProcesses(
        partial(start, cpus),
        SystemClock(),
        partial(busy_seconds, cpus),
        len(cpus),
        as_text=without_defaults,
    )
    found = []
    try:
        for index, experiment in enumerate(experiments):
            narrator.update("measuring", fraction=index / len(experiments))
            found.append(measure_one(fleet, experiment, seconds, index).model_dump())
    finally:
        fleet.close()
    for label, reason in fleet.failures.items():
        narrator.fail(f"{label}: could not be measured: {reason}")
    return {"other_cores": fleet.other_cores, "workloads": found}


def measure_one(
    fleet: EngineProcesses, experiment: Experiment, seconds: float, seed: int
) -> StoredWorkload:
    """The steps of all engines on one workload, and the ratios asked of them.

    Where others disturbed too many rounds, all are taken again, up to REPEATS times.
    """
    for _ in range(REPEATS):
        rounds = fleet.rounds(experiment, LABELS, seconds, seed)
        if sum(rounds.quiet) >= FEWEST_ROUNDS:
            break
    timings = {run.engine: summary.engine_timing(run, seed, rounds.quiet) for run in rounds.runs}
    steps = {label: timing.step_s.median for label, timing in timings.items() if timing.step_s}
    best = {
        side: min((label for label in steps if label.startswith(side)), key=steps.__getitem__)
        for side in ("torch", "flax", BEFORE + "torch", BEFORE + "flax")
        if any(label.startswith(side) for label in steps)
    }

    def ratio(subject: str, reference: str) -> StoredRatio | None:
        if subject not in best or reference not in best:
            return None
        sides = timings[best[subject]], timings[best[reference]]
        return StoredRatio(**asdict(summary.ratio_of(*sides, seed, rounds.quiet)))

    problem, _ = whole_batches(prepare(experiment))
    return StoredWorkload(
        rows=rows_per_step(problem),
        widths=list(layer_sizes(problem)),
        dropout=bool(dropouts(experiment.model)),
        optimizer=experiment.optimizer.kind,
        flops=work_of(problem, rows_per_step(problem)).flops,
        steps_s=steps,
        torch=ratio("torch", BEFORE + "torch"),
        flax=ratio("flax", BEFORE + "flax"),
        frameworks=ratio("torch", "flax"),
        frameworks_before=ratio(BEFORE + "torch", BEFORE + "flax"),
    )


def tell(found: Mapping[str, Any], narrator: Narrator) -> int:
    """Say what was found; 0 if all targets are met, else 1."""
    told = summary_of(found)
    for line in lines_of(told):
        narrator.say(line)
    return 0 if told.met else 1


if __name__ == "__main__":
    run_command(main)
