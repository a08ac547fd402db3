"""Write the page of all stored machines: `python -m comparisons.machines`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from comparisons.folders import STORED
from comparisons.machines.page import page
from comparisons.machines.stored import load_machines
from comparisons.narrator import Narrator
from twofold.commands import run_command
from twofold.errors import BadInput, TwofoldError
from twofold.files import write_text
from twofold.report.wording import counted

PAGE: Final = Path("comparisons") / "MACHINES.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page; returns the exit code, 2 for what cannot be read or written."""
    given = parser().parse_args(arguments)
    narrator = Narrator()
    try:
        number = write_page(given.results, given.page)
    except TwofoldError as error:
        narrator.fail(f"error: {error}")
        return error.exit_code
    narrator.say(f"{given.page}: {counted(number, 'machine')}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m comparisons.machines",
        description="What holds on every machine measured, and what flips; nothing is measured.",
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FOLDER",
        default=STORED,
        help=f"the folder with a folder of results for each machine (default: {STORED})",
    )
    parser.add_argument("--page", type=Path, metavar="FILE", default=PAGE, help=f"default: {PAGE}")
    return parser


def write_page(results: Path, path: Path) -> int:
    """Write the page from all stored machines; returns their number.

    Raises BadInput where nothing is stored or the page's folder does not exist, ResultError for a
    file that cannot be read or written, or has another schema.
    """
    if not path.absolute().parent.is_dir():
        raise BadInput(f"--page {path}: the folder does not exist; create it first")
    machines = load_machines(results)
    link = Path(os.path.relpath(results.absolute(), path.absolute().parent)).as_posix()
    write_text(path, page(machines, link))
    return len(machines)


if __name__ == "__main__":
    run_command(main)
