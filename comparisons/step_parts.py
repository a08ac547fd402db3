"""Where does a step go? Each engine's step beside its matrix products and the least a call costs.

    python -m comparisons.step_parts [--quick] [--threads N] [--seconds S] [--out FOLDER]

Three models: tiny, the lesson's, and one of width 1024. The engines of each framework run beside
that framework's own matrix products of the same step, alone. `torch:compile-step` and `flax:scan`
also run beside their floor: a call, or a turn of the loop, that counts and does no more. All of a
model are in one interleaved run. What is left of a step is everything else, of which the optimizer
alone has to move so many bytes. Writes `step-parts-N-threads.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from comparisons.loops.interleaved import SEED, measure_loops, run_script
from comparisons.narrator import Narrator
from comparisons.targets import wide
from comparisons.workload_ratios import StoredRatio, Threads
from twofold.backends.installed import backend_of
from twofold.commands import run_command
from twofold.problem.data import prepare
from twofold.report.wording import counted, duration, significant
from twofold.results import environment
from twofold.results.stored import Measurement, Name, Seconds, Share, Stored
from twofold.spec.experiment import Experiment
from twofold.timing import summary
from twofold.timing.harness import Rounds
from twofold.timing.operations import Work, work_of
from twofold.timing.process import ProcessWorker
from twofold.timing.result import EngineTiming
from twofold.timing.roofline import Roofline
from twofold.timing.timed_engine import rows_per_step, whole_batches

SCHEMA: Final = "twofold.step-parts/1"
ENGINES: Final = (
    "torch:eager",
    "torch:eager-fused",
    "torch:compile-step",
    "torch:compile-epoch",
    "flax:jit",
    "flax:scan",
)
FRAMEWORKS: Final = ("torch", "flax")
FLOORS: Final[Mapping[str, str]] = {
    "torch:compile-step": "floor:torch",
    "flax:scan": "floor:flax",
}
"""What steps as these engines do and computes nothing; the others step in another way."""
NAMES: Final = (*ENGINES, *(f"products:{name}" for name in FRAMEWORKS), *FLOORS.values())
TINY: Final[Mapping[str, Any]] = {
    "name": "tiny",
    "model__in_features": 8,
    "model__hidden": [21],
    "model__out_features": 3,
    "model__dropout": 0.0,
    "data__rows": 4300,
    "data__batch_size": 43,
    "data__test_fraction": 0.0,
}


class StoredModelName(Stored):
    """The experiment, of which only the name is read."""

    name: Name


class StoredPart(Stored):
    """Where one engine's step goes."""

    engine: Name
    products: StoredRatio
    floor: StoredRatio | None
    step_s: Seconds | None
    rate_of_step: Share | None


class StoredModel(Stored):
    """The engines of one model."""

    experiment: StoredModelName
    steps: list[StoredPart]


class StoredParts(Measurement):
    """`twofold.step-parts/1`."""

    environment: Threads
    models: list[StoredModel]


def main(arguments: list[str] | None = None) -> int:
    """Measure and say where the steps go; returns the exit code."""
    return run_script(arguments, "step-parts", "Where a step goes.", measure_all, judge)


def measure_all(cpus: Sequence[int], seconds: float, narrator: Narrator) -> dict[str, Any]:
    """A run for each model, in the schema `twofold.step-parts/1`."""
    lesson = Experiment.load("lesson")
    limits = limits_of(cpus, lesson)
    models = []
    for experiment in (lesson.with_values(**TINY), lesson, wide(lesson)):
        narrator.heading(f"{experiment.name}: where a step goes, {counted(len(cpus), 'thread')}")
        models.append(measure_parts(experiment, cpus, seconds, limits, narrator))
    return {
        "schema": SCHEMA,
        "environment": {**environment.describe(), "threads": len(cpus), "cpus": list(cpus)},
        "roofline": asdict(limits),
        "models": models,
    }


def measure_parts(
    experiment: Experiment,
    cpus: Sequence[int],
    seconds: float,
    limits: Roofline,
    narrator: Narrator,
) -> dict[str, Any]:
    """One model: an interleaved run of its engines and loops."""
    rounds = measure_loops(NAMES, experiment, cpus, seconds, narrator)
    timings = {run.engine: summary.engine_timing(run, SEED, rounds.quiet) for run in rounds.runs}
    problem, _ = whole_batches(prepare(experiment))
    work = work_of(problem, rows_per_step(problem))
    return {
        "experiment": experiment.model_dump(mode="json"),
        "other_cores": rounds.other_cores,
        "quiet_rounds": sum(rounds.quiet),
        "work": asdict(work),
        "steps": [part_of(engine, timings, work, limits, rounds) for engine in ENGINES],
        "timings": [timing.to_json() for timing in timings.values()],
    }


def part_of(
    engine: str,
    timings: Mapping[str, EngineTiming],
    work: Work,
    limits: Roofline,
    rounds: Rounds,
) -> dict[str, Any]:
    """Where one engine's step goes; what was not measured is None."""
    step, products = timings[engine], timings[f"products:{backend_of(engine)}"]
    floor = None
    if engine in FLOORS:
        floor = asdict(summary.ratio_of(timings[FLOORS[engine]], step, SEED, rounds.quiet))
    return {
        "engine": engine,
        "products": asdict(summary.ratio_of(products, step, SEED, rounds.quiet)),
        "floor": floor,
        **rates(step, products, work, limits),
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
    for model in report["models"]:
        narrator.heading(model["experiment"]["name"])
        for part in model["steps"]:
            narrator.say(line_of(part))
    return 0


def line_of(part: Mapping[str, Any]) -> str:
    """`flax:jit: step 26 ms; its products alone take 74 % of that, at 85 % of the rate ...`."""
    products, floor = part["products"], part["floor"]
    if products["median"] is None:
        return f"{part['engine']}: could not be measured: {products['reason']}"
    return (
        f"{part['engine']}: step {duration(part['step_s'])}, "
        f"{percent(part['rate_of_step'])} of the machine's product rate; its products alone take "
        f"{percent(products['median'])} of it, at {percent(part['rate_of_products'])} of the rate"
        f"{_least(floor)}; all bytes of the step, copied, would take {duration(part['traffic_s'])}"
    )


def percent(share: float) -> str:
    """`40.0%`, or `0.382%`: a small share is not told as nothing."""
    return f"{significant(100 * share)}%"


def _least(floor: Mapping[str, Any] | None) -> str:
    """What a call that only counts takes; nothing where an engine has no such call."""
    if floor is None:
        return ""
    if floor["median"] is None:
        return f"; a call that only counts was not measured ({floor['reason']})"
    return f"; a call that only counts takes {percent(floor['median'])} of it"


if __name__ == "__main__":
    run_command(main)
