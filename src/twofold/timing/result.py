"""What `measure` answers: every engine's figures, every ratio, and how quiet the machine was."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from twofold.parity.judging.verdict import ParityReport
from twofold.results.json_files import to_plain
from twofold.spec.experiment import Experiment
from twofold.timing.breakeven import BreakEven, Pace
from twofold.timing.harness import Status
from twofold.timing.operations import Work
from twofold.timing.roofline import Roofline
from twofold.timing.statistics import Interval, Outcome
from twofold.timing.steady import WarmUp

SCHEMA: Final = "twofold.timing/1"


@dataclass(frozen=True)
class ColdStart:
    """Seconds from nothing to the end of the first step.

    `import_s` holds the framework's import; `open_s` all until the experiment is open, and
    `first_step_s` the first step, or that of each batch size where sizes vary. Both may hold
    tracing and compiling: together `trace_s` (Python to a graph) and `compile_s` (the graph to a
    program, or to one found in the cache), of which `built_in_open_s` while opening; None where
    nobody looked. `compilations`: how many programs the first step compiled or found in the cache.
    `later_build_s`: tracing and compiling after the first step, of further programs that a long run
    needs, such as a graph of several steps; it is no part of the start.
    """

    import_s: float
    open_s: float
    first_step_s: float
    compilations: int
    trace_s: float | None = None
    compile_s: float | None = None
    built_in_open_s: float | None = None
    later_build_s: float | None = None

    @property
    def total_s(self) -> float:
        """Importing, opening and the first step together."""
        return self.import_s + self.open_s + self.first_step_s

    @property
    def opening_s(self) -> float | None:
        """`open_s` without tracing and compiling; None where that is not known."""
        if self.built_in_open_s is None:
            return None
        return max(0.0, self.open_s - self.built_in_open_s)

    @property
    def first_run_s(self) -> float | None:
        """`first_step_s` without tracing and compiling; None where that is not known.

        With `import_s`, `opening_s`, `trace_s` and `compile_s` it adds up to `total_s`.
        """
        if self.trace_s is None or self.compile_s is None or self.built_in_open_s is None:
            return None
        built = self.trace_s + self.compile_s - self.built_in_open_s
        return max(0.0, self.first_step_s - built)

    def to_json(self) -> dict[str, Any]:
        """The start's entry in the schema `twofold.timing/1`."""
        return {**asdict(self), "opening_s": self.opening_s, "first_run_s": self.first_run_s}


@dataclass(frozen=True)
class EngineTiming:
    """One engine's figures; None and empty where nothing was measured.

    `samples_s` holds seconds per step of each round's block; `processes` which process of the
    engine each is of, empty where there is one only; `compilations` those seen in the
    steady state, where there should be none; `recompilations` all after the first step, warm-up
    included; `cold_start` begins with an empty compile cache, `warm_start` with a full one (None
    where it was not asked for, or failed). `flops_per_s` are those of the matrix products, and
    `roofline_share` is the shortest step that this machine allows over the step measured.
    `settled_share` is the share of blocks after which the
    engine's threads came to rest before the next engine's turn; `framework` what the backend says
    of itself: versions, devices, threads, precision flags.
    """

    engine: str
    status: Status
    reason: str = ""
    cold_start: ColdStart | None = None
    warm_start: ColdStart | None = None
    step_s: Interval | None = None
    samples_s: tuple[float, ...] = ()
    processes: tuple[int, ...] = ()
    steps_per_block: int | None = None
    compilations: int | None = None
    recompilations: int | None = None
    warm_up: WarmUp | None = None
    rows_per_step: float | None = None
    rows_per_s: float | None = None
    flops_per_s: float | None = None
    roofline_share: float | None = None
    peak_memory_bytes: int | None = None
    settled_share: float | None = None
    dropped_partial_batch: bool | None = None
    framework: dict[str, Any] | None = None

    @property
    def pace(self) -> Pace | None:
        """What a result takes with an empty compile cache; None where it was not measured."""
        return self._pace_from(self.cold_start)

    @property
    def warm_pace(self) -> Pace | None:
        """What a result takes with a full compile cache; None where it was not measured."""
        return self._pace_from(self.warm_start)

    def _pace_from(self, start: ColdStart | None) -> Pace | None:
        if self.status != "measured" or start is None or self.step_s is None:
            return None
        return Pace(self.engine, start.total_s + (start.later_build_s or 0.0), self.step_s)

    def to_json(self) -> dict[str, Any]:
        """The engine's entry in the schema `twofold.timing/1`, but for its times to a result."""
        starts = {"cold_start": self.cold_start, "warm_start": self.warm_start}
        parts = {name: start and start.to_json() for name, start in starts.items()}
        totals = {f"{name}_s": start and start.total_s for name, start in starts.items()}
        return {**asdict(self), **parts, **totals}


@dataclass(frozen=True)
class Ratio:
    """Step time of an engine over that of a reference, in pairs round by round.

    Three None where too few rounds were quiet: a figure that cannot be relied on is not given.
    """

    engine: str
    reference: str
    median: float | None
    low: float | None
    high: float | None
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True)
class Noise:
    """How quiet the machine was.

    `spread`: interquartile range over median of the blocks of the steadiest engine; `other_cores`:
    processors kept busy by others, on average; `quiet_rounds`: rounds that others left alone.
    """

    spread: float | None
    other_cores: float | None
    quiet_rounds: int | None = None


@dataclass(frozen=True)
class TimingResult:
    """The timing of one experiment on one machine.

    `unchecked`: parity was not asked for. `reference`: the engine the ratios read best against,
    the first that was measured. `seconds`: what the rounds took. `quiet`: for each round whether
    others left the machine alone; figures come from quiet rounds where these are enough.
    `batch_sizes`: sizes that batches took in turn, empty for the experiment's own. `world`: how
    many processes shared each batch, in the engines that can. `steps`: how many the experiment
    asks for. `roofline`: None where the device is not the processor. `parity`:
    what the gate was told of each engine that was certified; stored apart, in `twofold.parity/1`.

    Two answers stand apart in the stored result. `step_s` of an engine is what a step takes in a
    long run, where starting counts for nothing. `result_s` is the time to a result of the
    experiment's own length: from nothing, with an empty compile cache, through `steps` steps
    (`cold_start_s`, the start's `later_build_s`, and all steps but the first). `warm_result_s` is
    the same with a full compile cache (of `warm_start`). Both leave out evaluation, reading data
    and the smaller last batch of an epoch; both are None where a part was not measured, or batch
    sizes vary; results stored earlier lack them.
    """

    experiment: Experiment
    environment: dict[str, Any]
    unchecked: bool
    seed: int
    seconds: float
    interrupted: bool
    reference: str | None
    engines: tuple[EngineTiming, ...]
    ratios: tuple[Ratio, ...]
    noise: Noise
    warnings: tuple[str, ...]
    quiet: tuple[bool, ...] = ()
    batch_sizes: tuple[int, ...] = ()
    world: int = 1
    steps: int | None = None
    work: Work | None = None
    roofline: Roofline | None = None
    break_evens: tuple[BreakEven, ...] = ()
    parity: ParityReport | None = None

    @property
    def rounds(self) -> int:
        """Complete rounds."""
        return max((len(engine.samples_s) for engine in self.engines), default=0)

    @property
    def processes(self) -> int:
        """Processes of each engine that took turns in the rounds."""
        return max((len(set(engine.processes)) for engine in self.engines), default=1) or 1

    def ratio(self, engine: str) -> Ratio | None:
        """An engine's ratio to the reference."""
        return next(
            (
                ratio
                for ratio in self.ratios
                if (ratio.engine, ratio.reference) == (engine, self.reference)
            ),
            None,
        )

    def told_apart(self, one: str, other: str) -> bool:
        """Whether the step times of two engines are known to differ."""
        return any(
            {ratio.engine, ratio.reference} == {one, other}
            and ratio.outcome in ("faster", "slower")
            for ratio in self.ratios
        )

    def to_json(self) -> dict[str, Any]:
        """The result in the schema `twofold.timing/1`. Raises ResultError for NaN or infinity."""
        plain: dict[str, Any] = to_plain(
            {
                "schema": SCHEMA,
                "experiment": self.experiment.model_dump(mode="json"),
                "environment": self.environment,
                "unchecked": self.unchecked,
                "seed": self.seed,
                "seconds": self.seconds,
                "interrupted": self.interrupted,
                "rounds": self.rounds,
                "reference": self.reference,
                "batch_sizes": self.batch_sizes,
                "world": self.world,
                "steps": self.steps,
                "quiet": self.quiet,
                "noise": asdict(self.noise),
                "work": asdict(self.work) if self.work else None,
                "roofline": asdict(self.roofline) if self.roofline else None,
                "break_evens": [asdict(item) for item in self.break_evens],
                "warnings": self.warnings,
                "engines": [
                    {**engine.to_json(), **self._times_to_result(engine)} for engine in self.engines
                ],
                "ratios": [asdict(ratio) for ratio in self.ratios],
            },
            non_finite="refuse",
        )
        return plain

    def _times_to_result(self, engine: EngineTiming) -> dict[str, float | None]:
        """`result_s` and `warm_result_s` of an engine."""
        steps = None if self.batch_sizes else self.steps
        paces = {"result_s": engine.pace, "warm_result_s": engine.warm_pace}
        return {
            name: pace.time_to(steps) if pace and steps else None for name, pace in paces.items()
        }
