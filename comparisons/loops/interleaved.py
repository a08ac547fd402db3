"""Engines and other loops measured together: what the scripts that do so share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from comparisons.folders import add_folder_options, chosen_folder
from comparisons.loops.worker import COMMAND, LOOPS
from comparisons.narrator import Narrator
from comparisons.options import require_above_zero
from twofold.errors import TwofoldError
from twofold.report.wording import duration
from twofold.results import environment
from twofold.results.json_files import write_json
from twofold.spec.experiment import Experiment
from twofold.timing import summary
from twofold.timing.clock import SystemClock
from twofold.timing.conditions import checked_cpus
from twofold.timing.harness import Rounds, measure_rounds
from twofold.timing.load import busy_seconds
from twofold.timing.process import ProcessWorker
from twofold.timing.protocol import Progress
from twofold.timing.result import EngineTiming

SECONDS: Final = 20.0
QUICK_SECONDS: Final = 3.0
SEED: Final = 0


def parse(arguments: list[str] | None, program: str, description: str) -> argparse.Namespace:
    """The command line: `quick`, `threads`, `seconds`, `out`."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--quick", action="store_true", help="a few seconds, to try it out")
    parser.add_argument("--threads", type=int, help="processors and threads for each")
    parser.add_argument("--seconds", type=float, help="how long the rounds of a run take")
    add_folder_options(parser)
    given = parser.parse_args(arguments)
    if given.seconds is None:
        given.seconds = QUICK_SECONDS if given.quick else SECONDS
    require_above_zero(parser, given, "seconds")
    return given


def measure_loops(
    names: Sequence[str],
    experiment: Experiment,
    cpus: Sequence[int],
    seconds: float,
    narrator: Narrator,
) -> Rounds:
    """Engines and loops, each in a process of its own, in one interleaved run."""
    text = experiment.model_dump_json()
    workers = [
        ProcessWorker(name, text, cpus, command=COMMAND)
        if name in LOOPS
        else ProcessWorker(name, text, cpus)
        for name in names
    ]
    return measure_rounds(
        workers,
        seconds=seconds,
        seed=SEED,
        clock=SystemClock(),
        busy_seconds=partial(busy_seconds, cpus),
        cores=len(cpus),
        on_progress=partial(show, narrator),
    )


def compare_loops(
    names: Sequence[str],
    reference: str,
    cpus: Sequence[int],
    seconds: float,
    narrator: Narrator,
) -> dict[str, Any]:
    """The lesson in engines and loops: timings, and each one's ratio to the reference."""
    lesson = Experiment.load("lesson")
    rounds = measure_loops(names, lesson, cpus, seconds, narrator)
    timings = [summary.engine_timing(run, SEED, rounds.quiet) for run in rounds.runs]
    for timing in timings:
        narrator.say(say_timing(timing))
    of_reference = next(timing for timing in timings if timing.engine == reference)
    others = [timing for timing in timings if timing is not of_reference]
    ratios = [summary.ratio_of(other, of_reference, SEED, rounds.quiet) for other in others]
    return {
        "experiment": lesson.model_dump(mode="json"),
        "environment": describe(cpus, rounds),
        "timings": [timing.to_json() for timing in timings],
        "reference": reference,
        "ratios": [asdict(ratio) for ratio in ratios],
    }


def run_script(
    arguments: list[str] | None,
    name: str,
    description: str,
    report: Callable[[Sequence[int], float, Narrator], dict[str, Any]],
    judge: Callable[[dict[str, Any], Narrator], int] = lambda _, __: 0,
) -> int:
    """Run `comparisons.NAME`: measure, write `NAME-N-threads.json`; returns the exit code.

    `judge` says what the stored report means and gives the code.
    """
    narrator = Narrator()
    try:
        given = parse(arguments, f"python -m comparisons.{name}", description)
        cpus = checked_cpus(given.threads)
        folder = chosen_folder(given, quick=given.quick)
        result = report(cpus, given.seconds, narrator)
        path = write_json(folder / f"{name}-{len(cpus)}-threads.json", result)
    except TwofoldError as error:
        narrator.fail(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        narrator.fail("interrupted; nothing is stored")
        return 130
    code = judge(result, narrator)
    narrator.say(f"Results: {path}")
    return code


def describe(cpus: Sequence[int], rounds: Rounds) -> dict[str, Any]:
    """The machine, and how quiet it was."""
    return {
        **environment.describe(),
        "threads": len(cpus),
        "cpus": list(cpus),
        "other_cores": rounds.other_cores,
        "rounds": len(rounds.quiet),
        "quiet_rounds": sum(rounds.quiet),
    }


def show(narrator: Narrator, at: Progress) -> None:
    """Progress on the terminal."""
    narrator.update(f"{at.phase} {at.engine or ''}".strip(), fraction=at.fraction)


def say_timing(timing: EngineTiming) -> str:
    """`torch:eager   step 912 µs`."""
    if timing.step_s is None:
        return f"{timing.engine:24} could not be measured: {timing.reason}"
    return f"{timing.engine:24} step {duration(timing.step_s.median)}"
