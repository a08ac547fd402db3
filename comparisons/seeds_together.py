"""Is training many seeds at once, by vmap, faster than training them one after another?

    python -m comparisons.seeds_together [SPEC ...] [--seeds K] [--rounds R] [--out FOLDER]

One process; in every round each way trains an epoch of all seeds, in random order. Both ways start
from each framework's own draws (`rng = "native"`), as `twofold outcome` does. Stores
`seeds-together.json`: milliseconds for a seed and step, and the ratio of both ways round by round.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, Final

import numpy as np

from comparisons.folders import add_folder_options, chosen_folder
from twofold import Experiment, open_session, prepare
from twofold.commands import run_command
from twofold.engines.seeds import open_seeds
from twofold.errors import TwofoldError
from twofold.problem.problem import Problem
from twofold.results import environment
from twofold.results.json_files import write_json

SCHEMA: Final = "twofold.seeds-together/1"
SPECS: Final = ("diabetes", "digits")
SEEDS: Final = (2, 20)
ROUNDS: Final = 11
TOGETHER: Final = {"torch": "torch: vmap", "flax": "flax: vmap and jit"}
ONE_BY_ONE: Final = {"torch": "torch:eager", "flax": "flax:jit"}
TURNS: Final = 0  # seed of the order of the ways

Way = Callable[[], object]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and store; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m comparisons.seeds_together")
    parser.add_argument("specs", nargs="*", default=SPECS, help="experiments", metavar="SPEC")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="how many at once")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    add_folder_options(parser)
    given = parser.parse_args(arguments)
    folder = chosen_folder(given)
    try:
        cases = [
            measure(spec, seeds, given.rounds) for spec in given.specs for seeds in given.seeds
        ]
        result = {"schema": SCHEMA, "environment": environment.describe(), "cases": cases}
        path = write_json(folder / "seeds-together.json", result, non_finite="refuse")
    except TwofoldError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"Results: {path}")
    return 0


def problems_of(experiment: Experiment, seeds: int) -> tuple[Problem, ...]:
    """The same data with as many seeds."""
    problem = prepare(experiment)
    return tuple(
        replace(problem, experiment=experiment.model_copy(update={"seed": experiment.seed + n}))
        for n, experiment in enumerate([problem.experiment] * seeds)
    )


def measure(spec: str, seeds: int, rounds: int) -> dict[str, Any]:
    """All ways on one experiment, interleaved."""
    experiment = Experiment.load(spec).with_values(rng="native")
    problems = problems_of(experiment, seeds)
    steps = problems[0].steps_per_epoch
    ways = ways_of(problems, steps)
    for way in ways.values():
        way()  # compiles
    random = np.random.default_rng(TURNS)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name in random.permutation(list(ways)):
            start = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - start)
    case: dict[str, Any] = {
        "experiment": experiment.model_dump(mode="json"),
        "seeds": seeds,
        "steps": steps,
        "seconds": seconds,
        "ratios": {framework: _ratios(seconds, framework) for framework in TOGETHER},
    }
    _print(spec, case)
    return case


def ways_of(problems: Sequence[Problem], steps: int) -> dict[str, Way]:
    """What is timed: an epoch of every seed, one after another and together."""

    def one_by_one(engine: str) -> Way:
        sessions = [open_session(problem, engine) for problem in problems]

        def run() -> None:
            for session in sessions:
                session.run(steps)
                session.synchronize()

        return run

    seeds = [problem.experiment.seed for problem in problems]
    torch_seeds, flax_seeds = (open_seeds(problems[0], seeds, name) for name in TOGETHER)
    return {
        ONE_BY_ONE["torch"]: one_by_one(ONE_BY_ONE["torch"]),
        TOGETHER["torch"]: lambda: torch_seeds.run(steps),
        ONE_BY_ONE["flax"]: one_by_one(ONE_BY_ONE["flax"]),
        TOGETHER["flax"]: lambda: flax_seeds.run(steps),
    }


def _ratios(seconds: dict[str, list[float]], framework: str) -> dict[str, float]:
    """How many times as fast together is: median, least and largest over the rounds."""
    pairs = zip(seconds[ONE_BY_ONE[framework]], seconds[TOGETHER[framework]], strict=True)
    ratios = [alone / together for alone, together in pairs]
    return {"median": median(ratios), "least": min(ratios), "largest": max(ratios)}


def _print(spec: str, case: dict[str, Any]) -> None:
    seeds, steps = case["seeds"], case["steps"]
    print(f"{spec}, {seeds} seeds, {steps} steps a round, {len(case['seconds'])} ways")
    for name, times in case["seconds"].items():
        print(f"  {name:20} {1e6 * median(times) / seeds / steps:8.1f} us for a seed and step")
    for framework, ratio in case["ratios"].items():
        words = f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['largest']:.2f})"
        print(f"  {framework}: together {words} times as fast")


if __name__ == "__main__":
    run_command(main)
