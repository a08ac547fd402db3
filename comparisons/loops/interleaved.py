"""Engines and other loops measured together: what the scripts that do so share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from comparisons.loops.worker import COMMAND, LOOPS
from comparisons.narrator import Narrator
from twofold import environment
from twofold.experiment import Experiment
from twofold.report.wording import duration
from twofold.timing.clock import SystemClock
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
    parser.add_argument("--out", type=Path, help="folder for the result")
    given = parser.parse_args(arguments)
    given.seconds = given.seconds or (QUICK_SECONDS if given.quick else SECONDS)
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
