"""Does the choice of framework change what training comes to?

    python -m comparisons.outcome [SPEC ...] [--seeds K] [--out FOLDER]

Stores `outcome-SPEC.json`. The margins are those of `twofold.studies.outcome.MARGINS`, stated there
before any run.
"""

from __future__ import annotations

import argparse
import sys
from typing import Final

from rich.console import Console

from comparisons.folders import add_folder_options, chosen_folder
from twofold import Experiment
from twofold.cli.outcome import print_result
from twofold.commands import run_command
from twofold.errors import TwofoldError
from twofold.results.json_files import write_json
from twofold.studies.outcome import measure

SPECS: Final = ("digits", "breast-cancer", "diabetes")
SEEDS: Final = 20


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and store; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m comparisons.outcome")
    parser.add_argument("specs", nargs="*", default=SPECS, help="experiments", metavar="SPEC")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="seeds for each engine")
    add_folder_options(parser)
    given = parser.parse_args(arguments)
    folder = chosen_folder(given)
    console = Console(highlight=False, width=110)
    try:
        for spec in given.specs:
            result = measure(Experiment.load(spec), seeds=given.seeds)
            write_json(folder / f"outcome-{spec}.json", result.to_json(), non_finite="refuse")
            print_result(result, console)
    except TwofoldError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    run_command(main)
