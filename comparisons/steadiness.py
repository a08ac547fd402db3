"""How steady is an engine's speed? The profile behind the misses of the timing's calibration.

    python -m comparisons.steadiness [--threads N] [--seconds S] [--engines LIST] [--out FOLDER]

One process of each engine, one after the other, timed block by block without a pause: how many
blocks are slow, how long it stays so, and by how much the medians of stretches of 1 and 5 seconds
differ. An engine that stays for seconds at one of two speeds cannot be told from one that is 5 %
slower until it has changed its speed many times. Writes `steadiness-N-threads.json`.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from comparisons.calibration import bring_up
from comparisons.folders import add_folder_options, chosen_folder
from comparisons.narrator import Narrator
from twofold.commands import run_command
from twofold.errors import TwofoldError
from twofold.report.wording import duration
from twofold.results import environment
from twofold.results.json_files import write_json
from twofold.spec.experiment import Experiment
from twofold.timing.conditions import checked_cpus
from twofold.timing.measure import checked_engines
from twofold.timing.process import ProcessWorker

SCHEMA: Final = "twofold.steadiness/1"
NAME: Final = "steadiness"
ENGINES: Final = "torch:eager,torch:compile-step,flax:jit,flax:scan"
SLOW: Final = 1.15
"""A block is slow if it takes this many times the step of the fast ones (10th percentile)."""
STRETCHES_S: Final = (1.0, 5.0)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and store; returns the exit code."""
    given = parse(arguments)
    narrator = Narrator()
    try:
        cpus = checked_cpus(given.threads)
        engines = checked_engines(given.engines.split(","))
        narrator.heading(f"one process after the other, {given.experiment}, {len(cpus)} threads")
        series = {name: blocks_of(name, given, cpus, narrator) for name in engines}
        result = {
            "schema": SCHEMA,
            "environment": {**environment.describe(), "threads": len(cpus)},
            "experiment": given.experiment,
            "engines": {name: {**figures(own), "blocks_s": own} for name, own in series.items()},
        }
        folder = chosen_folder(given)
        path = write_json(folder / f"{NAME}-{len(cpus)}-threads.json", result)
    except TwofoldError as error:
        narrator.fail(f"error: {error}")
        return error.exit_code
    for line in table(result["engines"]):
        narrator.say(line)
    narrator.say(f"written: {path}")
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m comparisons.steadiness")
    parser.add_argument("--engines", default=ENGINES, help="default %(default)s")
    parser.add_argument("--experiment", default="digits")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each engine")
    add_folder_options(parser)
    given = parser.parse_args(arguments)
    if not given.seconds >= max(STRETCHES_S):
        parser.error(f"--seconds: {given.seconds} given; allowed is {max(STRETCHES_S):g} or more")
    return given


def blocks_of(
    engine: str, given: argparse.Namespace, cpus: Sequence[int], narrator: Narrator
) -> list[tuple[float, float]]:
    """Seconds of each block and of a step in it, one block after the other.

    Raises TwofoldError if the engine cannot run.
    """
    text = Experiment.load(given.experiment).model_dump_json()
    worker = ProcessWorker(engine, text, cpus)
    found = list[tuple[float, float]]()
    try:
        (ready,) = bring_up([worker], narrator)
        assert ready.run.steps_per_block is not None  # set by the warm-up
        start = time.monotonic()
        while time.monotonic() - start < given.seconds:
            block = worker.block(ready.run.steps_per_block)
            found.append((block.seconds, block.seconds / block.steps))
    finally:
        worker.close()
    return found


def figures(blocks: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """What the table shows of an engine's blocks (seconds of the block, seconds of a step).

    `slow`: the share of slow blocks. `stay_s`: how long it stays fast or slow, on average.
    `stretches`: for stretches of some seconds, the largest median of one over the smallest, less 1.
    """
    steps = [step for _, step in blocks]
    fast = sorted(steps)[len(steps) // 10]
    slow = [step > SLOW * fast for step in steps]
    changes = sum(before != after for before, after in itertools.pairwise(slow))
    return {
        "median_s": statistics.median(steps),
        "fast_s": fast,
        "slow": sum(slow) / len(slow),
        "stay_s": sum(seconds for seconds, _ in blocks) / (changes + 1),
        "stretches": {f"{length:g}": unlike(blocks, length) for length in STRETCHES_S},
    }


def unlike(blocks: Sequence[tuple[float, float]], length_s: float) -> float:
    """The largest median of a stretch over the smallest, less 1; stretches do not overlap."""
    medians, own, lasted = list[float](), list[float](), 0.0
    for seconds, step in blocks:
        own.append(step)
        lasted += seconds
        if lasted >= length_s:
            medians.append(statistics.median(own))
            own, lasted = [], 0.0
    return max(medians) / min(medians) - 1 if medians else 0.0


def table(engines: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """An engine a line."""
    lines = [
        f"{'':20} {'step':>9} {'fast':>9} {'slow blocks':>12} {'stays for':>10} "
        + " ".join(f"{length:g} s apart by".rjust(15) for length in STRETCHES_S)
    ]
    for name, own in engines.items():
        apart = " ".join(f"{share:>15.1%}" for share in own["stretches"].values())
        lines.append(
            f"{name:20} {duration(own['median_s']):>9} {duration(own['fast_s']):>9} "
            f"{own['slow']:>12.0%} {duration(own['stay_s']):>10} {apart}"
        )
    return lines


if __name__ == "__main__":
    run_command(main)
