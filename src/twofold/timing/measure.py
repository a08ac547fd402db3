"""Timing an experiment: gate, cold starts, rounds and summary, in one call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from twofold import backends, environment
from twofold.data import prepare
from twofold.errors import BadInput, SpecError
from twofold.experiment import Experiment
from twofold.parity.verdict import ParityReport
from twofold.timing import summary
from twofold.timing.clock import SystemClock
from twofold.timing.gate import Gate, gate_of_report, open_gate
from twofold.timing.harness import Rounds, measure_rounds
from twofold.timing.load import busy_seconds
from twofold.timing.process import ProcessWorker
from twofold.timing.protocol import OnProgress
from twofold.timing.result import EngineTiming, TimingResult

REFERENCE = "torch:eager"
LARGEST_SEED = 2**32 - 1


def measure(
    experiment: Experiment,
    *,
    engines: Sequence[str] | None = None,
    threads: int | None = None,
    seconds: float = 20.0,
    unchecked: bool = False,
    seed: int = 0,
    parity: ParityReport | None = None,
    on_progress: OnProgress | None = None,
) -> TimingResult:
    """Time an experiment in some engines (default: all), each in a process of its own.

    `threads`: processors and threads for each engine (default: all that this process may use).
    `seconds`: what the rounds take; parity, cold starts and warm-up come on top. An engine that
    has not passed parity in the experiment's precision is not timed, unless `unchecked`; a report
    at hand saves climbing the ladder again. An engine that breaks has its reason in the result,
    and the others go on. Raises BadInput before anything is started.
    """
    names = _checked_engines(engines)
    cpus = _checked_cpus(threads)
    _check_numbers(seconds, seed)
    _check_spec(experiment, unchecked)
    progress: OnProgress = on_progress or (lambda _: None)
    surroundings = {**environment.describe(), "threads": len(cpus), "cpus": list(cpus)}
    start = partial(ProcessWorker, experiment=experiment.model_dump_json(), cpus=cpus)
    missing = {name: reason for name in names if (reason := _missing(name))}
    present = [name for name in names if name not in missing]
    gate = _gate(experiment, present, unchecked, parity, start, progress)
    rounds = measure_rounds(
        [start(engine) for engine in gate.passed],
        seconds=seconds,
        seed=seed,
        clock=SystemClock(),
        busy_seconds=partial(busy_seconds, cpus),
        on_progress=progress,
    )
    entries = {
        **{name: EngineTiming(name, "unavailable", reason) for name, reason in missing.items()},
        **{entry.engine: entry for entry in gate.refused},
        **{run.engine: summary.engine_timing(run, seed) for run in rounds.runs},
    }
    return _result(
        experiment, surroundings, [entries[name] for name in names], rounds, unchecked, seed
    )


def _result(
    experiment: Experiment,
    surroundings: dict[str, Any],
    engines: Sequence[EngineTiming],
    rounds: Rounds,
    unchecked: bool,
    seed: int,
) -> TimingResult:
    measured = (entry.engine for entry in engines if entry.status == "measured")
    cores = len(surroundings["cpus"])
    return TimingResult(
        experiment=experiment,
        environment={**surroundings, "load_average_after": environment.load_average()},
        unchecked=unchecked,
        seed=seed,
        seconds=rounds.seconds,
        interrupted=rounds.interrupted,
        reference=next(measured, None),
        engines=tuple(engines),
        ratios=summary.all_ratios(engines, seed),
        noise=summary.noise_of(rounds, engines),
        warnings=summary.warnings_of(rounds, engines, cores),
    )


def _gate(
    experiment: Experiment,
    engines: Sequence[str],
    unchecked: bool,
    parity: ParityReport | None,
    start: partial[ProcessWorker],
    on_progress: OnProgress,
) -> Gate:
    if unchecked:
        return Gate(tuple(engines), ())
    if parity is not None:
        return gate_of_report(parity, experiment, engines)
    return open_gate([start(engine) for engine in engines], on_progress)


def _checked_engines(engines: Sequence[str] | None) -> list[str]:
    """Known engines, each once, the reference first."""
    names = list(dict.fromkeys(backends.engine_names() if engines is None else engines))
    if not names:
        raise BadInput("engines: none given; allowed is one or more")
    for name in names:
        backends.find_engine(name)
    return sorted(names, key=lambda name: name != REFERENCE)


def _checked_cpus(threads: int | None) -> tuple[int, ...]:
    usable = environment.usable_cpus()
    if threads is not None and not 1 <= threads <= len(usable):
        raise BadInput(f"threads: {threads} given; allowed is 1 to {len(usable)} on this machine")
    return usable[:threads]


def _check_numbers(seconds: float, seed: int) -> None:
    if not (math.isfinite(seconds) and seconds > 0):
        raise BadInput(f"seconds: {seconds} given; allowed is a number above 0")
    if not 0 <= seed <= LARGEST_SEED:
        raise BadInput(f"seed: {seed} given; allowed is 0 to {LARGEST_SEED}")


def _check_spec(experiment: Experiment, unchecked: bool) -> None:
    """Refuse what no engine could run, and what parity cannot judge."""
    prepare(experiment)
    if experiment.rng == "native" and not unchecked:
        raise SpecError(
            'rng: "native" given; parity allows "shared" only; time with --set rng=shared, or '
            "--unchecked to time without parity"
        )


def _missing(engine: str) -> str:
    """Why an engine's framework is not there; empty if it is."""
    owner, _ = backends.find_engine(engine)
    try:
        backends.require_framework(owner)
    except BadInput as error:
        return str(error)
    return ""
