"""Timing an experiment: gate, cold starts, rounds and summary, in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, final

from twofold.backends.installed import backend_of
from twofold.engines import registry
from twofold.errors import BadInput, EngineFailed, SpecError
from twofold.problem import sources
from twofold.problem.data import prepare
from twofold.problem.problem import Problem
from twofold.problem.stored_table import write_table
from twofold.problem.table import Table
from twofold.results import environment
from twofold.spec.experiment import Experiment
from twofold.temporary import temporary_folder
from twofold.timing import summary
from twofold.timing.breakeven import all_break_evens
from twofold.timing.caches import CompileCaches
from twofold.timing.certifiers import PooledCertifier, Processes
from twofold.timing.clock import SystemClock
from twofold.timing.conditions import Conditions, checked_cpus
from twofold.timing.fleet import Fleet
from twofold.timing.gate import Gate, OnReport, open_gate
from twofold.timing.harness import Rounds, measure_rounds
from twofold.timing.load import busy_seconds
from twofold.timing.operations import work_of
from twofold.timing.process import ProcessWorker
from twofold.timing.protocol import Certification, EngineWorker, OnProgress, Progress
from twofold.timing.result import EngineTiming, TimingResult
from twofold.timing.roofline import Roofline
from twofold.timing.timed_engine import rows_per_step, whole_batches
from twofold.timing.world import WorldWorker, require_shared, sentences, shares_batches

REFERENCE = "torch:eager"
BY_DEFAULT: Final = Conditions()
CERTIFIED: Final = Certification()


@dataclass(frozen=True)
class _Plan:
    """What is to be measured, checked; `problem` is the experiment with its data.

    `table`: a file with that data for the processes; None where they read the source themselves.
    """

    experiment: Experiment
    problem: Problem
    engines: tuple[str, ...]
    conditions: Conditions
    cpus: tuple[int, ...]
    asked: Mapping[str, Certification] | None
    caches: CompileCaches | None
    progress: OnProgress
    on_report: OnReport
    table: Path | None

    def fleet(self, engine: str) -> EngineWorker:
        """The processes of an engine, as one worker."""
        processes = self.conditions.processes
        if processes == 1:
            return self.worker(engine)
        return Fleet([self.worker(engine) for _ in range(processes)])

    def worker(self, engine: str) -> EngineWorker:
        """A process for an engine, or those of a world that share each batch.

        Its compile cache is its own, and outlives it if any do.
        """
        start = partial(
            ProcessWorker,
            engine,
            self.experiment.model_dump_json(),
            batch_sizes=self.conditions.batch_sizes,
            cache=str(self.caches.of_engine(engine)) if self.caches else None,
            table=self.table,
        )
        return _started(start, engine, self.cpus, self.conditions.world)


def measure(
    experiment: Experiment,
    *,
    engines: Sequence[str] | None = None,
    conditions: Conditions = BY_DEFAULT,
    certification: Certification | Mapping[str, Certification] | None = CERTIFIED,
    on_progress: OnProgress | None = None,
    on_report: OnReport | None = None,
) -> TimingResult:
    """Time an experiment in some engines (default: all), each in processes of its own.

    Engines are certified after cold starts and warm-up, which leave them what they compiled, and
    before the rounds. `certification`: what is asked of all or of each, the experiment's own
    precision in any case; `on_report` is called with each engine's report when it is there. One
    that has not passed in the experiment's precision is not timed; without certification (None) all
    are. An engine that breaks has its reason in the result, and the others go on. Raises BadInput
    before anything is started.
    """
    names = checked_engines(registry.default_engines(experiment) if engines is None else engines)
    require_shared(names, conditions.world)
    for owner, _ in map(registry.find_engine, names):
        registry.require_expressible(owner, experiment)
    cpus = checked_cpus(conditions.threads, conditions.cpus)
    read = sources.load(experiment)
    problem = _checked_problem(experiment, read, certification)
    conditions.require_possible(problem.train.rows)
    kept = certification is not None or conditions.warm_start or conditions.processes > 1
    with temporary_folder() as folder:
        return _measure(
            _Plan(
                experiment,
                problem,
                tuple(names),
                conditions,
                cpus,
                None if certification is None else _of_each(names, certification),
                CompileCaches(folder) if kept else None,
                on_progress or (lambda _: None),
                on_report or (lambda _: None),
                _stored(experiment, read, folder),
            )
        )


def _measure(plan: _Plan) -> TimingResult:
    surroundings = {
        **environment.describe(),
        "threads": len(plan.cpus),
        "cpus": list(plan.cpus),
    }
    missing = {name: reason for name in plan.engines if (reason := missing_framework(name))}
    present = [name for name in plan.engines if name not in missing]
    gatekeeper = _Gatekeeper(plan)
    rounds = measure_rounds(
        [plan.fleet(engine) for engine in present],
        seconds=plan.conditions.seconds,
        seed=plan.conditions.seed,
        clock=SystemClock(),
        busy_seconds=partial(busy_seconds, plan.cpus),
        cores=len(plan.cpus),
        admit=gatekeeper.admit,
        restart=plan.worker if plan.conditions.warm_start else None,
        on_progress=plan.progress,
    )
    seed = plan.conditions.seed
    timings = [summary.engine_timing(run, seed, rounds.quiet) for run in rounds.runs]
    entries = {
        **{name: EngineTiming(name, "unavailable", reason) for name, reason in missing.items()},
        **{timing.engine: timing for timing in timings},
        **{entry.engine: entry for entry in gatekeeper.gate.refused},
    }
    result = _result(plan, surroundings, [entries[name] for name in plan.engines], rounds)
    return replace(result, parity=gatekeeper.gate.report)


@final
class _Gatekeeper:
    """Lets engines go on that pass parity, and keeps what parity said."""

    def __init__(self, plan: _Plan) -> None:
        self._plan = plan
        self.gate = Gate((), ())

    def admit(self, engines: Mapping[str, float]) -> tuple[str, ...]:
        """The engines that may be timed, of those that have started; seconds that each took."""
        plan = self._plan
        if plan.asked is None:
            return tuple(engines)
        self.gate = certified_engines(
            plan.experiment,
            list(engines),
            plan.cpus,
            plan.progress,
            asked=plan.asked,
            seconds=engines,
            caches=plan.caches,
            on_report=plan.on_report,
            table=plan.table,
            world=plan.conditions.world,
        )
        return self.gate.passed


def _result(
    plan: _Plan, surroundings: dict[str, Any], engines: Sequence[EngineTiming], rounds: Rounds
) -> TimingResult:
    measured = [entry.engine for entry in engines if entry.status == "measured"]
    conditions, cores = plan.conditions, len(plan.cpus)
    fixed = not conditions.batch_sizes
    whole, _ = whole_batches(plan.problem)
    work = work_of(whole, rows_per_step(whole)) if fixed else None
    roofline = _roofline(plan, engines) if measured and fixed and not rounds.interrupted else None
    if work is not None:
        engines = [summary.with_work(entry, work, roofline) for entry in engines]
    paces = [entry.pace for entry in engines if entry.pace is not None]
    return TimingResult(
        experiment=plan.experiment,
        environment={**surroundings, "load_average_after": environment.load_average()},
        unchecked=plan.asked is None,
        seed=conditions.seed,
        seconds=rounds.seconds,
        interrupted=rounds.interrupted,
        reference=measured[0] if measured else None,
        engines=tuple(engines),
        ratios=summary.all_ratios(engines, conditions.seed, rounds.quiet),
        noise=summary.noise_of(rounds, engines),
        warnings=(
            *sentences(measured, conditions.world, cores),
            *summary.warnings_of(rounds, engines, cores),
        ),
        world=conditions.world,
        quiet=rounds.quiet,
        batch_sizes=conditions.batch_sizes,
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


def certified_engines(
    experiment: Experiment,
    engines: Sequence[str],
    cpus: Sequence[int],
    on_progress: OnProgress,
    *,
    asked: Certification | Mapping[str, Certification] = CERTIFIED,
    caches: CompileCaches | None = None,
    seconds: Mapping[str, float] = MappingProxyType({}),
    on_report: OnReport = lambda _: None,
    table: Path | None = None,
    world: int = 1,
) -> Gate:
    """Climb the ladder with each engine in each precision, the experiment's own first.

    That happens in processes apart, with a compile cache for each backend. `asked`: of all, or of
    each. `caches`: those of the engines' timed processes, whose programs are then found compiled.
    `seconds`: how long each took to start; see `open_gate`. `table`: see `ProcessWorker`. `world`:
    how many processes share each batch, in the engines that can.
    """
    spec = experiment.model_dump_json()
    with temporary_folder() as folder:
        copies = (caches or CompileCaches(folder)).copies(engines)

        def start(engine: str) -> ProcessWorker | WorldWorker:
            cache = str(copies[backend_of(engine)])
            process = partial(ProcessWorker, engine, spec, cache=cache, table=table)
            return _started(process, engine, cpus, world)

        processes = Processes(
            start, lambda engine: (backend_of(engine), world > 1 and shares_batches(engine))
        )
        of_each = _of_each(engines, asked)
        own = experiment.precision
        wanted = [own, *(more for engine in engines for more in of_each[engine].precisions)]
        certifiers = [
            PooledCertifier(engine, processes, replace(of_each[engine], precisions=(precision,)))
            for precision in dict.fromkeys(wanted)
            for engine in engines
            if precision in (own, *of_each[engine].precisions)
        ]
        try:
            return open_gate(
                certifiers, on_progress, at_once=len(cpus), seconds=seconds, on_report=on_report
            )
        finally:
            processes.close()


def _started(
    start: Callable[..., ProcessWorker], engine: str, cpus: Sequence[int], world: int
) -> ProcessWorker | WorldWorker:
    """A process of an engine, or those of a world; `start` wants processors and variables."""
    if world == 1 or not shares_batches(engine):
        return start(cpus=cpus)
    return WorldWorker(lambda own, variables: start(cpus=own, variables=variables), cpus, world)


def _of_each(
    engines: Sequence[str], asked: Certification | Mapping[str, Certification]
) -> Mapping[str, Certification]:
    """What is asked of each engine, where it may be said of all at once."""
    return dict.fromkeys(engines, asked) if isinstance(asked, Certification) else asked


def checked_engines(engines: Sequence[str] | None) -> list[str]:
    """Known engines, each once, the reference first. Raises BadInput."""
    names = list(dict.fromkeys(registry.default_engines() if engines is None else engines))
    if not names:
        raise BadInput("engines: none given; allowed is one or more")
    for name in names:
        registry.find_engine(name)
    return sorted(names, key=lambda name: name != REFERENCE)


def missing_framework(engine: str) -> str:
    """Why an engine's framework is not there; empty if it is."""
    owner, _ = registry.find_engine(engine)
    try:
        registry.require_framework(owner)
    except BadInput as error:
        return str(error)
    return ""


def _stored(experiment: Experiment, table: Table, folder: Path) -> Path | None:
    """The table in a file for the processes, where reading the source would cost each of them."""
    if not sources.read_by_library(experiment.data):
        return None
    path = folder / "table.npz"
    try:
        write_table(table, path)
    except OSError:  # no room there: the processes read the source as well as this one
        return None
    return path


def _checked_problem(
    experiment: Experiment, table: Table, asked: Certification | Mapping[str, Certification] | None
) -> Problem:
    """Refuse what no engine could run, and what parity cannot judge."""
    problem = prepare(experiment, table)
    if experiment.rng == "native" and asked is not None:
        raise SpecError(
            'rng: "native" given; parity allows "shared" only; time with --set rng=shared, or '
            "--unchecked to time without parity"
        )
    return problem
