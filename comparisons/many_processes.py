"""Is a training that several processes share the training of one?

    python -m comparisons.many_processes [--engines E,E] [--worlds N,N] [--kills K] [--out FOLDER]
    python -m comparisons.many_processes --page comparisons/PROCESSES.md

The ladder of `twofold parity`, climbed in worlds of several sizes by every engine of processes; and
trainings in which one process is killed at a random moment, and which then go on. Stores
`many-processes.json`. Nothing is timed: so many processes on so few cores test what is computed,
not how fast. What the file holds of other engines and worlds stays. Exit codes: 0 all as it should
be, 1 not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from comparisons.evidence.processes import kills, ladders
from comparisons.evidence.processes.page import page
from comparisons.folders import add_folder_options, chosen_folder, results_folder
from twofold.commands import run_command
from twofold.errors import BadInput, TwofoldError
from twofold.files import write_text
from twofold.results import environment
from twofold.results.json_files import read_json, write_json

SCHEMA: Final = "twofold.many-processes/1"
FILE: Final = "many-processes.json"
WORLDS: Final = (
    ("torch:ddp", (1, 2, 3, 4)),
    ("flax:sharded", (1, 2, 4)),
    ("flax:sharded-weights", (1, 2, 4)),
)
KILLS: Final = 3
KILLED_WORLD: Final = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Climb, kill, print and store; returns the exit code."""
    given = _parser().parse_args(arguments)
    folder: Path = chosen_folder(given)
    if given.page is not None:
        stored = read_json(results_folder(store=True) / FILE, SCHEMA)
        write_text(given.page, page(stored))
        print(given.page)
        return 0
    unknown = set(given.engines) - {name for name, _ in WORLDS}
    if unknown:
        allowed = ", ".join(name for name, _ in WORLDS)
        print(f"error: --engines: {min(unknown)!r} given; allowed are {allowed}", file=sys.stderr)
        return BadInput.exit_code
    asked = [(name, given.worlds or worlds) for name, worlds in WORLDS if name in given.engines]
    try:
        for engine, worlds in asked:
            for size in worlds:
                _store(folder, "ladders", ladders.climb(engine, size, given.steps))
            found = [kills.kill_and_go_on(engine, KILLED_WORLD, n) for n in range(given.kills)]
            _store(folder, "kills", found)
        result = read_json(folder / FILE, SCHEMA)
    except TwofoldError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"Results: {folder / FILE}")
    return 0 if all(each["holds"] for each in (*result["ladders"], *result["kills"])) else 1


def _store(folder: Path, part: str, found: Sequence[dict[str, Any]]) -> None:
    """Put what was found in the place of what was stored of the same engines and worlds."""
    path = folder / FILE
    result = read_json(path, SCHEMA) if path.exists() else {"ladders": [], "kills": []}
    now = {_subject(each) for each in found}
    kept = [each for each in result[part] if _subject(each) not in now]
    together = sorted((*kept, *found), key=_subject)
    whole = {"schema": SCHEMA, "environment": environment.describe()}
    write_json(path, {**whole, **result, part: together}, non_finite="refuse")


def _subject(found: dict[str, Any]) -> tuple[str, int]:
    return found["engine"], found["processes"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m comparisons.many_processes")
    names = [name for name, _ in WORLDS]
    parser.add_argument("--engines", type=lambda text: text.split(","), default=names)
    parser.add_argument("--worlds", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--steps", type=int, default=ladders.STEPS)
    parser.add_argument("--kills", type=int, default=KILLS, help="kills of each engine")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page, measure nothing")
    add_folder_options(parser)
    return parser


if __name__ == "__main__":
    run_command(main)
