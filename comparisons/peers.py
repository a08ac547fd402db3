"""The lesson's experiment through other trainers, beside the engines.

    python -m comparisons.peers [--quick] [--threads N] [--seconds S] [--out FOLDER]

Keras 3 on PyTorch and on JAX, Lightning, skorch and scikit-learn, where the extra `peers` is
installed: same data, the same initial values where the peer takes them, the same harness. Writes
`peers-N-threads.json`.
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
from twofold.environment import package_versions
from twofold.errors import TwofoldError
from twofold.experiment import Experiment
from twofold.results import write_json
from twofold.timing import summary
from twofold.timing.measure import checked_cpus

SCHEMA: Final = "twofold.peers/1"
REFERENCE: Final = "torch:eager"
COMPARED: Final = (
    REFERENCE,
    "torch:compile-step",
    "flax:scan",
    "peer:keras-torch",
    "peer:keras-jax",
    "peer:lightning",
    "peer:skorch",
    "peer:scikit-learn",
)
PACKAGES: Final = ("keras", "lightning", "skorch", "scikit-learn")
UNLIKE: Final = {
    "peer:scikit-learn": "own initial values, Adam with an L2 penalty, no dropout",
    "peer:keras-torch": "own order of batches and dropout masks",
    "peer:keras-jax": "own order of batches and dropout masks",
    "peer:lightning": "own order of batches and dropout masks",
    "peer:skorch": "own order of batches and dropout masks",
}


def main(arguments: list[str] | None = None) -> int:
    """Measure all peers that are installed; returns the exit code."""
    narrator = Narrator()
    try:
        given = parse(arguments, "python -m comparisons.peers", "Other trainers, measured.")
        cpus = checked_cpus(given.threads)
        report = measure_peers(cpus, given.seconds, narrator)
        folder: Path = given.out or default_folder(given.quick)
        path = write_json(folder / f"peers-{len(cpus)}-threads.json", report)
    except TwofoldError as error:
        narrator.fail(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        narrator.fail("interrupted; nothing is stored")
        return 130
    narrator.say(f"Results: {path}")
    return 0


def measure_peers(cpus: Sequence[int], seconds: float, narrator: Narrator) -> dict[str, Any]:
    """One interleaved run, in the schema `twofold.peers/1`."""
    narrator.heading(f"peers: the lesson's model, {len(cpus)} threads")
    experiment = Experiment.load("lesson")
    rounds = measure_loops(COMPARED, experiment, cpus, seconds, narrator)
    timings = [summary.engine_timing(run, 0, rounds.quiet) for run in rounds.runs]
    for timing in timings:
        narrator.say(say_timing(timing))
    reference = next(timing for timing in timings if timing.engine == REFERENCE)
    return {
        "schema": SCHEMA,
        "experiment": experiment.model_dump(mode="json"),
        "environment": {**describe(cpus, rounds), "peers": package_versions(PACKAGES)},
        "unlike": UNLIKE,
        "timings": [timing.to_json() for timing in timings],
        "reference": REFERENCE,
        "ratios": [
            asdict(summary.ratio_of(timing, reference, 0, rounds.quiet))
            for timing in timings
            if timing is not reference
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
