"""Where does a wide step go? The profile behind the target at width 1024.

    python -m comparisons.wide_step [--quick] [--threads N] [--seconds S] [--out FOLDER]

The best engines of each framework beside that framework's own matrix products of the same step,
alone, in one interleaved run. The products' time against the machine's rate says how good the
framework's products are; the rest of the step is everything else, of which the optimizer alone has
to move so many bytes. Writes `wide-step-N-threads.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from comparisons.loops.interleaved import SEED, describe, measure_loops, run_script
from comparisons.narrator import Narrator
from comparisons.targets import wide
from twofold.commands import run_command
from twofold.problem.data import prepare
from twofold.report.wording import duration
from twofold.spec.experiment import Experiment
from twofold.timing import summary
from twofold.timing.operations import Work, work_of
from twofold.timing.process import ProcessWorker
from twofold.timing.result import EngineTiming
from twofold.timing.roofline import Roofline
from twofold.timing.timed_engine import rows_per_step, whole_batches

SCHEMA: Final = "twofold.wide-step/1"
PRODUCTS: Final = {
    "torch:compile-step": "products:torch",
    "flax:jit": "products:flax",
    "flax:scan": "products:flax",
}
NAMES: Final = tuple(dict.fromkeys((*PRODUCTS, *PRODUCTS.values())))


def main(arguments: list[str] | None = None) -> int:
    """Measure and say where the step goes; returns the exit code."""
    return run_script(arguments, "wide-step", "Where a wide step goes.", measure_parts, judge)


def measure_parts(cpus: Sequence[int], seconds: float, narrator: Narrator) -> dict[str, Any]:
    """One interleaved run and the machine's limits, in the schema `twofold.wide-step/1`."""
    narrator.heading(f"a wide step and its matrix products, {len(cpus)} threads")
    experiment = wide(Experiment.load("lesson"))
    rounds = measure_loops(NAMES, experiment, cpus, seconds, narrator)
    timings = {run.engine: summary.engine_timing(run, SEED, rounds.quiet) for run in rounds.runs}
    problem, _ = whole_batches(prepare(experiment))
    work, limits = work_of(problem, rows_per_step(problem)), limits_of(cpus, experiment)
    return {
        "schema": SCHEMA,
        "experiment": experiment.model_dump(mode="json"),
        "environment": describe(cpus, rounds),
        "work": asdict(work),
        "roofline": asdict(limits),
        "parts": [
            asdict(summary.ratio_of(timings[products], timings[engine], SEED, rounds.quiet))
            | rates(timings[engine], timings[products], work, limits)
            for engine, products in PRODUCTS.items()
        ],
        "timings": [timing.to_json() for timing in timings.values()],
    }


def limits_of(cpus: Sequence[int], experiment: Experiment) -> Roofline:
    """What the machine can do at best with these processors."""
    worker = ProcessWorker("limits", "{}", cpus)
    try:
        return worker.roofline(experiment.parameter_dtype)
    finally:
        worker.close()


def rates(
    engine: EngineTiming, products: EngineTiming, work: Work, limits: Roofline
) -> dict[str, float | None]:
    """The shares of the machine's product rate, and seconds; None where nothing was measured.

    `traffic_s`: what the step's bytes take at the machine's own copy rate.
    """
    step, alone = engine.step_s, products.step_s
    at_best = work.flops / limits.flops_per_s
    return {
        "step_s": step.median if step else None,
        "products_s": alone.median if alone else None,
        "rate_of_step": at_best / step.median if step else None,
        "rate_of_products": at_best / alone.median if alone else None,
        "traffic_s": work.traffic_bytes / limits.bandwidth_for(work.working_set_bytes),
    }


def judge(report: dict[str, Any], narrator: Narrator) -> int:
    """Say where each step goes."""
    for part in report["parts"]:
        narrator.say(line_of(part))
    return 0


def line_of(part: dict[str, Any]) -> str:
    """`flax:jit: step 26 ms; its products alone take 74 % of that, at 85 % of the rate ...`."""
    if part["median"] is None:
        return f"{part['reference']}: could not be measured: {part['reason']}"
    return (
        f"{part['reference']}: step {duration(part['step_s'])}, "
        f"{part['rate_of_step']:.0%} of the machine's product rate; its products alone take "
        f"{part['median']:.0%} of it, at {part['rate_of_products']:.0%} of the rate; all bytes of "
        f"the step, copied, would take {duration(part['traffic_s'])}"
    )


if __name__ == "__main__":
    run_command(main)
