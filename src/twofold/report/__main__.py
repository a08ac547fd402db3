"""Write the guide of stored results again, offline: python -m twofold.report FOLDER [--out DIR]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from twofold.commands import run_command
from twofold.errors import TwofoldError
from twofold.report.guide import write_guide


def main() -> int:
    """Write the guide and say where it is; 2 when there are no results to read."""
    parser = argparse.ArgumentParser(prog="python -m twofold.report", description=__doc__)
    parser.add_argument("results", type=Path, help="folder with the stored results")
    parser.add_argument("--out", type=Path, help="folder for the guide (default: the results')")
    arguments = parser.parse_args()
    try:
        print(write_guide(arguments.results, arguments.out))
    except TwofoldError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    run_command(main)
