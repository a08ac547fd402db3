"""What each way of feeding batches costs, apart from training.

    python -m comparisons.feeding [--quick] [--threads N] [--seconds S] [--out FOLDER]

Brings the lesson's batches to the device, each way in a process of its own, in one interleaved run.
Writes `feeding-N-threads.json`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from comparisons.compare import default_folder
from comparisons.loops.interleaved import describe, measure_loops, parse, say_timing
from comparisons.narrator import Narrator
from twofold.errors import TwofoldError
from twofold.experiment import Experiment
from twofold.results import write_json
from twofold.timing import summary
from twofold.timing.measure import checked_cpus

SCHEMA: Final = "twofold.feeding/1"
FEEDS: Final = (
    "feed:torch-loader",
    "feed:torch-loader-2-workers",
    "feed:torch-loader-2-persistent-workers",
    "feed:torch-loader-pinned",
    "feed:torch-custom-dataset",
    "feed:torch-indexing",
    "feed:torch-on-device",
    "feed:flax-device-put",
    "feed:flax-prefetch",
    "feed:flax-on-device",
)
REFERENCE: Final = "feed:torch-loader"


def main(arguments: list[str] | None = None) -> int:
    """Measure all ways; returns the exit code."""
    narrator = Narrator()
    try:
        given = parse(arguments, "python -m comparisons.feeding", "What feeding batches costs.")
        cpus = checked_cpus(given.threads)
        report = measure_feeds(cpus, given.seconds, narrator)
        folder: Path = given.out or default_folder(given.quick)
        path = write_json(folder / f"feeding-{len(cpus)}-threads.json", report)
    except TwofoldError as error:
        narrator.fail(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        narrator.fail("interrupted; nothing is stored")
        return 130
    narrator.say(f"Results: {path}")
    return 0


def measure_feeds(cpus: Sequence[int], seconds: float, narrator: Narrator) -> dict[str, Any]:
    """One interleaved run, in the schema `twofold.feeding/1`; a step is a batch here."""
    narrator.heading(f"feeding the lesson's batches, {len(cpus)} threads")
    experiment = Experiment.load("lesson")
    rounds = measure_loops(FEEDS, experiment, cpus, seconds, narrator)
    timings = [summary.engine_timing(run, 0, rounds.quiet) for run in rounds.runs]
    for timing in timings:
        narrator.say(say_timing(timing))
    reference = next(timing for timing in timings if timing.engine == REFERENCE)
    ratios = [
        summary.ratio_of(timing, reference, 0, rounds.quiet)
        for timing in timings
        if timing is not reference
    ]
    return {
        "schema": SCHEMA,
        "experiment": experiment.model_dump(mode="json"),
        "environment": describe(cpus, rounds),
        "feeds": [timing.to_json() for timing in timings],
        "reference": REFERENCE,
        "ratios": [asdict(ratio) for ratio in ratios],
    }


if __name__ == "__main__":
    sys.exit(main())
