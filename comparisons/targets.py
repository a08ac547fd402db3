"""The speed that the engines are meant to reach, measured.

    python -m comparisons.targets [--quick] [--threads N] [--seconds S] [--out FOLDER]

Every target is a ratio within one interleaved run: the same processors, the same threads, rounds
in random order. Writes `targets.json` and prints a table. Exit codes: 0 all met, 1 one is missed or
could not be measured, 2 bad input.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, Literal

from comparisons.loops.interleaved import describe, measure_loops, run_script, say_timing, show
from comparisons.narrator import Narrator
from twofold.commands import run_command
from twofold.report.wording import significant
from twofold.spec.experiment import Experiment
from twofold.timing import summary
from twofold.timing.conditions import Conditions
from twofold.timing.measure import measure
from twofold.timing.result import EngineTiming, Ratio, TimingResult

SCHEMA: Final = "twofold.targets/1"
SEED: Final = 0

BEST_TORCH: Final = ("torch:compile-step", "torch:compile-epoch")
SMALL: Final = (
    *BEST_TORCH,
    "torch:lesson",
    "torch:eager",
    "handwritten:torch",
    "flax:jit",
    "flax:scan",
    "handwritten:flax",
    "peer:keras-jax",
)
LARGE: Final = ("torch:eager-fused", "torch:compile-step", "flax:jit", "flax:scan")
WIDTH: Final = 1024
BATCH: Final = 512

Outcome = Literal["met", "missed", "could not be measured"]


@dataclass(frozen=True)
class Target:
    """One target: its figure must lie on the right side of its limit.

    `low` and `high` are the ends of the figure's 95 % interval, where it has one; all three are
    None where nothing could be measured, with the reason.
    """

    name: str
    subject: str
    reference: str
    at_most: float | None
    at_least: float | None
    figure: float | None
    low: float | None
    high: float | None
    outcome: Outcome
    reason: str = ""


def main(arguments: list[str] | None = None) -> int:
    """Measure all targets; returns the exit code."""
    return run_script(arguments, "targets", "The engines' speed targets.", measure_all, judge)


def judge(report: dict[str, Any], narrator: Narrator) -> int:
    """Say what came of each target; 0 if all are met, else 1."""
    for target in report["targets"]:
        narrator.say(line_of(target))
    return 0 if all(target["outcome"] == "met" for target in report["targets"]) else 1


def measure_all(cpus: Sequence[int], seconds: float, narrator: Narrator) -> dict[str, Any]:
    """Both runs and all targets, in the schema `twofold.targets/1`."""
    narrator.heading(f"targets: the lesson's model, {len(cpus)} threads")
    lesson = Experiment.load("lesson")
    rounds = measure_loops(SMALL, lesson, cpus, seconds, narrator)
    timings = {run.engine: summary.engine_timing(run, SEED, rounds.quiet) for run in rounds.runs}
    for timing in timings.values():
        narrator.say(say_timing(timing))
    narrator.heading(f"targets: width {WIDTH}, batch {BATCH}")
    large = measure_large(lesson, cpus, seconds, narrator)
    for timing in large.engines:
        narrator.say(say_timing(timing))
    targets = [
        *speed_targets(timings, rounds.quiet),
        *memory_targets(timings),
        *product_targets(large),
    ]
    return {
        "schema": SCHEMA,
        "environment": describe(cpus, rounds),
        "targets": [asdict(target) for target in targets],
        "small": [timing.to_json() for timing in timings.values()],
        "large": large.to_json(),
    }


def wide(lesson: Experiment) -> Experiment:
    """A model whose matrix products take most of the step."""
    return lesson.with_values(
        name="wide",
        model__hidden=[WIDTH, WIDTH],
        model__in_features=WIDTH,
        data__batch_size=BATCH,
    )


def measure_large(
    lesson: Experiment, cpus: Sequence[int], seconds: float, narrator: Narrator
) -> TimingResult:
    """The wide model's engines, and the machine's rate beside them."""
    return measure(
        wide(lesson),
        engines=LARGE,
        conditions=Conditions(cpus=tuple(cpus), seconds=seconds, seed=SEED),
        certification=None,  # speed alone is asked here; parity has its own run
        on_progress=partial(show, narrator),
    )


def fastest(timings: dict[str, EngineTiming], names: Iterable[str]) -> str:
    """The engine with the shortest step; the first where none was measured."""
    names = list(names)
    measured = [name for name in names if timings[name].step_s is not None]
    return min(measured, key=lambda name: timings[name].step_s.median) if measured else names[0]  # type: ignore[union-attr]  # measured ones have it


def speed_targets(timings: dict[str, EngineTiming], quiet: Sequence[bool]) -> list[Target]:
    """The targets that compare step times."""
    best = fastest(timings, BEST_TORCH)
    asked: list[tuple[str, str, str, float]] = [
        ("best PyTorch engine no slower than flax:scan", best, "flax:scan", 1.0),
        ("best PyTorch engine 10 times faster than torch:lesson", best, "torch:lesson", 1 / 10),
        ("best PyTorch engine 1.8 times faster than Keras on JAX", best, "peer:keras-jax", 1 / 1.8),
        ("torch:eager within 3 % of a hand-written loop", "torch:eager", "handwritten:torch", 1.03),
        ("flax:jit within 3 % of a hand-written loop", "flax:jit", "handwritten:flax", 1.03),
    ]
    return [
        ratio_target(
            name, summary.ratio_of(timings[subject], timings[reference], SEED, quiet), most
        )
        for name, subject, reference, most in asked
    ]


def ratio_target(name: str, ratio: Ratio, at_most: float) -> Target:
    """A target on the ratio of two step times."""
    outcome: Outcome = "could not be measured"
    if ratio.median is not None:
        outcome = "met" if ratio.median <= at_most else "missed"
    return Target(
        name,
        ratio.engine,
        ratio.reference,
        at_most,
        None,
        ratio.median,
        ratio.low,
        ratio.high,
        outcome,
        ratio.reason,
    )


def memory_targets(timings: dict[str, EngineTiming]) -> list[Target]:
    """The targets on the most memory that a process has held."""
    pairs = [("torch:eager", "handwritten:torch"), ("flax:jit", "handwritten:flax")]
    return [memory_target(timings[subject], timings[reference]) for subject, reference in pairs]


def memory_target(subject: EngineTiming, reference: EngineTiming) -> Target:
    """Peak memory of a session's process over that of the hand-written loop's."""
    name = f"peak memory of {subject.engine} within 10 % of a hand-written loop's"
    ours, theirs = subject.peak_memory_bytes, reference.peak_memory_bytes
    figure = ours / theirs if ours and theirs else None
    outcome: Outcome = "could not be measured"
    if figure is not None:
        outcome = "met" if figure <= 1.1 else "missed"
    reason = "" if figure is not None else subject.reason or reference.reason
    return Target(
        name, subject.engine, reference.engine, 1.1, None, figure, None, None, outcome, reason
    )


def product_targets(large: TimingResult) -> list[Target]:
    """The share of the machine's own matrix-product rate that each framework's best reaches."""
    timings = {timing.engine: timing for timing in large.engines}
    found = []
    for framework in ("torch", "flax"):
        best = timings[fastest(timings, [name for name in LARGE if name.startswith(framework)])]
        figure = None
        if best.flops_per_s is not None and large.roofline is not None:
            figure = best.flops_per_s / large.roofline.flops_per_s
        outcome: Outcome = "could not be measured"
        if figure is not None:
            outcome = "met" if figure >= 0.8 else "missed"
        found.append(
            Target(
                f"{framework}: 80 % of the matrix-product rate at width {WIDTH}, batch {BATCH}",
                best.engine,
                "matrix-product rate",
                None,
                0.8,
                figure,
                None,
                None,
                outcome,
                best.reason,
            )
        )
    return found


def line_of(target: dict[str, Any]) -> str:
    """`met     0.871 (0.852 to 0.903), at most 1.00   best PyTorch engine ...`."""
    limit = (
        f"at most {target['at_most']:.2f}"
        if target["at_most"] is not None
        else f"at least {target['at_least']:.2f}"
    )
    if target["figure"] is None:
        return f"{target['outcome']}: {target['name']}: {target['reason']}"
    figure, *ends = (
        significant(value) if value else ""
        for value in (target[n] for n in ("figure", "low", "high"))
    )
    interval = f" ({ends[0]} to {ends[1]})" if all(ends) else ""
    found = f"{target['outcome']:7} {figure}{interval}, {limit}"
    return f"{found}   {target['name']} ({target['subject']})"


if __name__ == "__main__":
    run_command(main)
