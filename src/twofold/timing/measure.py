"""Timing an experiment: gate, cold starts, rounds and summary, in one call."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from twofold.engines import registry
from twofold.errors import BadInput, EngineFailed, SpecError
from twofold.parity.judging.verdict import ParityReport
from twofold.problem.data import prepare
from twofold.problem.problem import Problem
from twofold.report import environment
from twofold.spec.experiment import Experiment
from twofold.timing import summary
from twofold.timing.breakeven import all_break_evens
from twofold.timing.certifiers import PooledCertifier, Processes
from twofold.timing.clock import SystemClock
from twofold.timing.fleet import Fleet
from twofold.timing.gate import Gate, gate_of_report, open_gate
from twofold.timing.harness import Rounds, measure_rounds
from twofold.timing.load import busy_seconds
from twofold.timing.operations import work_of
from twofold.timing.process import ProcessWorker
from twofold.timing.protocol import EngineWorker, OnProgress, Progress
from twofold.timing.result import EngineTiming, TimingResult
from twofold.timing.roofline import Roofline
from twofold.timing.timed_engine import rows_per_step, whole_batches

REFERENCE = "torch:eager"
LARGEST_SEED = 2**32 - 1
MOST_PROCESSES = 64


@dataclass(frozen=True)
class _Plan:
    """What is to be measured, checked; `problem` is the experiment with its data."""

    experiment: Experiment
    problem: Problem
    engines: tuple[str, ...]
    cpus: tuple[int, ...]
    seconds: float
    seed: int
    unchecked: bool
    batch_sizes: tuple[int, ...]
    caches: Path | None
    progress: OnProgress
    processes: int = 1

    def fleet(self, engine: str) -> EngineWorker:
        """The processes of an engine, as one worker."""
        if self.processes == 1:
            return self.worker(engine)
        return Fleet([self.worker(engine) for _ in range(self.processes)])

    def worker(self, engine: str) -> ProcessWorker:
        """A process for an engine; its compile cache is its own, and outlives it if any do."""
        cache = self.caches / engine.replace(":", "-") if self.caches else None
        if cache is not None:
            cache.mkdir(exist_ok=True)
        return ProcessWorker(
            engine,
            self.experiment.model_dump_json(),
            self.cpus,
            batch_sizes=self.batch_sizes,
            cache=str(cache) if cache else None,
        )


def measure(
    experiment: Experiment,
    *,
    engines: Sequence[str] | None = None,
    threads: int | None = None,
    cpus: Sequence[int] | None = None,
    seconds: float = 20.0,
    unchecked: bool = False,
    seed: int = 0,
    parity: ParityReport | None = None,
    batch_sizes: Sequence[int] = (),
    warm_start: bool = False,
    processes: int = 1,
    on_progress: OnProgress | None = None,
) -> TimingResult:
    """Time an experiment in some engines (default: all), each in a process of its own.

    With `processes`, in as many of its own, in turn: the intervals then hold what differs from one
    process of a program to the next (see `twofold.timing.fleet`).

    `threads`: processors and threads for each engine (default: all it may use); `cpus`: which
    processors (default: the first of those that this process may use). `seconds`: what the rounds
    take; parity, cold starts and warm-up come on top. `batch_sizes`: take batches of these sizes in
    turn, a workload of its own. `warm_start`: start each engine once more with a full compile
    cache. An engine that has not passed parity in the experiment's precision is not timed, unless
    `unchecked`; a report at hand saves climbing the ladder again. An engine that breaks has its
    reason in the result, and the others go on. Raises BadInput before anything is started.
    """
    names = checked_engines(engines)
    chosen = checked_cpus(threads, cpus)
    _check_numbers(seconds, seed, processes)
    problem = _checked_problem(experiment, unchecked)
    _check_batch_sizes(batch_sizes, problem)
    with tempfile.TemporaryDirectory(prefix="twofold-", ignore_cleanup_errors=True) as folder:
        plan = _Plan(
            experiment,
            problem,
            tuple(names),
            chosen,
            seconds,
            seed,
            unchecked,
            tuple(batch_sizes),
            Path(folder) if warm_start or processes > 1 else None,
            on_progress or (lambda _: None),
            processes,
        )
        return _measure(plan, parity, warm_start)


def _measure(plan: _Plan, parity: ParityReport | None, warm_start: bool) -> TimingResult:
    surroundings = {
        **environment.describe(),
        "threads": len(plan.cpus),
        "cpus": list(plan.cpus),
    }
    missing = {name: reason for name in plan.engines if (reason := missing_framework(name))}
    present = [name for name in plan.engines if name not in missing]
    gate = _gate(plan, present, parity)
    rounds = measure_rounds(
        [plan.fleet(engine) for engine in gate.passed],
        seconds=plan.seconds,
        seed=plan.seed,
        clock=SystemClock(),
        busy_seconds=partial(busy_seconds, plan.cpus),
        cores=len(plan.cpus),
        restart=plan.worker if warm_start else None,
        on_progress=plan.progress,
    )
    timings = [summary.engine_timing(run, plan.seed, rounds.quiet) for run in rounds.runs]
    entries = {
        **{name: EngineTiming(name, "unavailable", reason) for name, reason in missing.items()},
        **{entry.engine: entry for entry in gate.refused},
        **{timing.engine: timing for timing in timings},
    }
    return _result(plan, surroundings, [entries[name] for name in plan.engines], rounds)


def _result(
    plan: _Plan, surroundings: dict[str, Any], engines: Sequence[EngineTiming], rounds: Rounds
) -> TimingResult:
    measured = [entry.engine for entry in engines if entry.status == "measured"]
    cores, fixed = len(plan.cpus), not plan.batch_sizes
    whole, _ = whole_batches(plan.problem)
    work = work_of(whole, rows_per_step(whole)) if fixed else None
    roofline = _roofline(plan, engines) if measured and fixed and not rounds.interrupted else None
    if work is not None:
        engines = [summary.with_work(entry, work, roofline) for entry in engines]
    paces = [entry.pace for entry in engines if entry.pace is not None]
    return TimingResult(
        experiment=plan.experiment,
        environment={**surroundings, "load_average_after": environment.load_average()},
        unchecked=plan.unchecked,
        seed=plan.seed,
        seconds=rounds.seconds,
        interrupted=rounds.interrupted,
        reference=measured[0] if measured else None,
        engines=tuple(engines),
        ratios=summary.all_ratios(engines, plan.seed, rounds.quiet),
        noise=summary.noise_of(rounds, engines),
        warnings=summary.warnings_of(rounds, engines, cores),
        quiet=rounds.quiet,
        batch_sizes=plan.batch_sizes,
        steps=plan.problem.total_steps,
        work=work,
        roofline=roofline,
        break_evens=all_break_evens(paces) if fixed else (),
    )


def _roofline(plan: _Plan, engines: Sequence[EngineTiming]) -> Roofline | None:
    """The limits of the processor; None where another device does the work."""
    device = plan.experiment.device
    defaults = {(entry.framework or {}).get("default_device") for entry in engines} - {None}
    if device != "cpu" and (device != "auto" or defaults != {"cpu"}):
        return None
    plan.progress(Progress("limits", None, 0.0))
    worker = ProcessWorker("limits", "{}", plan.cpus)
    try:
        return worker.roofline(plan.experiment.parameter_dtype)
    except EngineFailed:
        return None
    finally:
        worker.close()


def _gate(plan: _Plan, engines: Sequence[str], parity: ParityReport | None) -> Gate:
    if plan.unchecked:
        return Gate(tuple(engines), ())
    if parity is not None:
        return gate_of_report(parity, plan.experiment, engines)
    return certified_engines(plan.experiment, engines, plan.cpus, plan.progress)


def certified_engines(
    experiment: Experiment, engines: Sequence[str], cpus: Sequence[int], on_progress: OnProgress
) -> Gate:
    """Climb the ladder with each engine, in processes and with a compile cache for each backend."""
    spec = experiment.model_dump_json()
    with tempfile.TemporaryDirectory(prefix="twofold-", ignore_cleanup_errors=True) as folder:

        def start(engine: str) -> ProcessWorker:
            cache = str(Path(folder) / registry.backend_of(engine))
            return ProcessWorker(engine, spec, cpus, cache=cache)

        processes = Processes(start)
        certifiers = [PooledCertifier(engine, processes) for engine in engines]
        try:
            return open_gate(certifiers, on_progress, at_once=len(cpus))
        finally:
            processes.close()


def checked_engines(engines: Sequence[str] | None) -> list[str]:
    """Known engines, each once, the reference first. Raises BadInput."""
    names = list(dict.fromkeys(registry.default_engines() if engines is None else engines))
    if not names:
        raise BadInput("engines: none given; allowed is one or more")
    for name in names:
        registry.find_engine(name)
    return sorted(names, key=lambda name: name != REFERENCE)


def checked_cpus(threads: int | None, cpus: Sequence[int] | None = None) -> tuple[int, ...]:
    """The processors to measure on, one for each thread. Raises BadInput."""
    usable = environment.usable_cpus()
    if cpus is not None:
        absent = sorted(set(cpus) - set(usable))
        if absent or not cpus:
            listed = ", ".join(str(cpu) for cpu in usable)
            raise BadInput(f"cpus: {absent or 'none'} given; allowed on this machine: {listed}")
        usable = tuple(dict.fromkeys(cpus))
    if threads is not None and not 1 <= threads <= len(usable):
        where = "on this machine" if cpus is None else "on the processors given"
        raise BadInput(f"threads: {threads} given; allowed is 1 to {len(usable)} {where}")
    return usable[:threads]


def missing_framework(engine: str) -> str:
    """Why an engine's framework is not there; empty if it is."""
    owner, _ = registry.find_engine(engine)
    try:
        registry.require_framework(owner)
    except BadInput as error:
        return str(error)
    return ""


def _check_numbers(seconds: float, seed: int, processes: int) -> None:
    if not 1 <= processes <= MOST_PROCESSES:
        raise BadInput(f"processes: {processes} given; allowed is 1 to {MOST_PROCESSES}")
    if not (math.isfinite(seconds) and seconds > 0):
        raise BadInput(f"seconds: {seconds} given; allowed is a number above 0")
    if not 0 <= seed <= LARGEST_SEED:
        raise BadInput(f"seed: {seed} given; allowed is 0 to {LARGEST_SEED}")


def _checked_problem(experiment: Experiment, unchecked: bool) -> Problem:
    """Refuse what no engine could run, and what parity cannot judge."""
    problem = prepare(experiment)
    if experiment.rng == "native" and not unchecked:
        raise SpecError(
            'rng: "native" given; parity allows "shared" only; time with --set rng=shared, or '
            "--unchecked to time without parity"
        )
    return problem


def _check_batch_sizes(sizes: Sequence[int], problem: Problem) -> None:
    rows = problem.train.rows
    if sizes and not (len(sizes) > 1 and all(1 <= size <= rows for size in sizes)):
        raise BadInput(
            f"batch sizes: {', '.join(map(str, sizes))} given; allowed are two or more of 1 to "
            f"{rows}, the training rows"
        )
