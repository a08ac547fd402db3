"""The lesson's experiment through other trainers, beside the engines.

    python -m comparisons.peers [--quick] [--threads N] [--seconds S] [--out FOLDER]

Keras 3 on PyTorch and on JAX, Lightning, skorch and scikit-learn, where the extra `peers` is
installed: same data, the same initial values where the peer takes them, the same harness. Writes
`peers-N-threads.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from comparisons.loops.interleaved import compare_loops, run_script
from comparisons.narrator import Narrator
from twofold.commands import run_command
from twofold.results.environment import package_versions

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
    return run_script(arguments, "peers", "Other trainers, measured.", measure_peers)


def measure_peers(cpus: Sequence[int], seconds: float, narrator: Narrator) -> dict[str, Any]:
    """One interleaved run, in the schema `twofold.peers/1`."""
    narrator.heading(f"peers: the lesson's model, {len(cpus)} threads")
    report = compare_loops(COMPARED, REFERENCE, cpus, seconds, narrator)
    surroundings = {**report["environment"], "peers": package_versions(PACKAGES)}
    return {"schema": SCHEMA, **report, "environment": surroundings, "unlike": UNLIKE}


if __name__ == "__main__":
    run_command(main)
