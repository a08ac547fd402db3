"""Short measurements of many workloads in processes that live on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, final

from twofold.problem.data import prepare
from twofold.spec.experiment import Experiment
from twofold.studies.advice.measured_point import Point
from twofold.studies.advice.workload import Workload, workload_of
from twofold.timing.clock import Clock
from twofold.timing.harness import Measurement, Rounds, Run
from twofold.timing.protocol import EngineWorker
from twofold.timing.statistics import median_interval
from twofold.timing.timed_engine import whole_batches

WARM_UP_LIMIT_S: Final = 0.4
SIZED_ONLY: Final = 0.0
"""The limit of a warm-up that is nothing but the sizing of blocks. Calibrations have no other, for
the rest took a fifth of their time."""
REPEATS: Final = 5


class LastingWorker(EngineWorker, Protocol):
    """A worker that can open one experiment after another."""

    def take_up(self, experiment: str) -> None:
        """Let the next `open` open another experiment (JSON text) in the same process."""


Start = Callable[[str], LastingWorker]


@final
class EngineProcesses:
    """One process for each engine, started when it is needed and again after it broke."""

    def __init__(
        self,
        start: Start,
        clock: Clock,
        busy_seconds: Callable[[], float | None] = lambda: None,
        cores: int = 1,
        warm_up_limit_s: float = WARM_UP_LIMIT_S,
        as_text: Callable[[Experiment], str] = Experiment.model_dump_json,
    ) -> None:
        """`busy_seconds`: the processor time that the whole machine has used so far.

        `as_text` writes an experiment as JSON for the processes.
        """
        self._start, self._clock = start, clock
        self._busy_seconds, self._cores = busy_seconds, cores
        self._warm_up_limit_s = warm_up_limit_s
        self._as_text = as_text
        self._workers: dict[str, LastingWorker] = {}
        self._watched_s = self._others_s = 0.0
        self.failures: dict[str, str] = {}

    @property
    def other_cores(self) -> float | None:
        """Processors kept busy by others during the rounds, on average; None if unknown."""
        return self._others_s / self._watched_s if self._watched_s else None

    def measure(
        self, experiment: Experiment, engines: Sequence[str], seconds: float, seed: int = 0
    ) -> Mapping[str, Point]:
        """Measure engines side by side on one experiment; those that fail are not in the answer.

        Rounds that others disturbed do not count; where all were, they are taken again, up to
        REPEATS times: beside a busy neighbour two threads may take a hundred times as long.
        """
        workload = workload_of(whole_batches(prepare(experiment))[0])
        new = [engine for engine in engines if engine not in self._workers]
        rounds = self.rounds(experiment, engines, seconds, seed)
        cold = {run.engine: run for run in rounds.runs if run.status == "measured"}
        for _ in range(REPEATS):
            if any(rounds.quiet) or not cold:
                break
            rounds = self.rounds(experiment, list(cold), seconds, seed)
        return {
            run.engine: _point(workload, cold[run.engine], run, rounds, run.engine in new, seed)
            for run in rounds.runs
            if run.status == "measured"
        }

    def rounds(
        self, experiment: Experiment, engines: Sequence[str], seconds: float, seed: int = 0
    ) -> Rounds:
        """Cold start, short warm-up and rounds of engines side by side; processes live on."""
        pairs: list[tuple[EngineWorker, Run]] = []
        for engine in engines:
            if engine not in self._workers:
                self._workers[engine] = self._start(engine)
            worker = self._workers[engine]
            worker.take_up(self._as_text(experiment))
            pairs.append((worker, Run(engine)))
        measurement = Measurement(
            pairs,
            self._clock,
            busy_seconds=self._busy_seconds,
            cores=self._cores,
            warm_up_limit_s=self._warm_up_limit_s,
        )
        measurement.bring_up()
        measurement.run_rounds(seconds, seed)
        if measurement.other_cores is not None:
            self._watched_s += measurement.seconds
            self._others_s += measurement.other_cores * measurement.seconds
        runs = tuple(run for _, run in pairs)
        for run in runs:
            if run.status != "measured":
                self._give_up(run)
        return Rounds(runs, measurement.seconds, measurement.other_cores, False, measurement.quiet)

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    def _give_up(self, run: Run) -> None:
        """Forget a process that broke; the next workload gets a fresh one."""
        self._workers.pop(run.engine).close()
        self.failures[run.engine] = run.reason


def _point(
    workload: Workload, cold: Run, run: Run, rounds: Rounds, first: bool, seed: int
) -> Point:
    """What was measured of one engine: its first cold start, and its steps in quiet rounds."""
    assert cold.opened is not None  # measured runs went through the cold start
    assert cold.first is not None
    steps = [block.step_s for block in run.blocks]
    undisturbed = [step for step, quiet in zip(steps, rounds.quiet, strict=False) if quiet]
    return Point(
        run.engine,
        workload,
        first,
        cold.opened.import_s,
        cold.opened.open_s,
        cold.first.seconds,
        cold.first.compilations,
        median_interval(undisturbed or steps, seed).median,
    )
