"""What each way of feeding batches costs, apart from training.

    python -m comparisons.feeding [--quick] [--threads N] [--seconds S] [--out FOLDER]

Brings the lesson's batches to the device, each way in a process of its own, in one interleaved run.
Writes `feeding-N-threads.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from comparisons.loops.interleaved import compare_loops, run_script
from comparisons.narrator import Narrator
from twofold.commands import run_command

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
    return run_script(arguments, "feeding", "What feeding batches costs.", measure_feeds)


def measure_feeds(cpus: Sequence[int], seconds: float, narrator: Narrator) -> dict[str, Any]:
    """One interleaved run, in the schema `twofold.feeding/1`; a step is a batch here."""
    narrator.heading(f"feeding the lesson's batches, {len(cpus)} threads")
    return {"schema": SCHEMA, **compare_loops(FEEDS, REFERENCE, cpus, seconds, narrator)}


if __name__ == "__main__":
    run_command(main)
