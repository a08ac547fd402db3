"""Show topics in the terminal, or write all of them as a Markdown page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from comparisons.atlas.side_by_side import NAMES, load
from comparisons.atlas.side_by_side.page import page
from comparisons.atlas.side_by_side.terminal import print_topic
from twofold.commands import run_command
from twofold.files import write_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m comparisons.side_by_side",
        description=__doc__,
    )
    parser.add_argument(
        "topics",
        nargs="*",
        metavar="TOPIC",
        help=f"one or more of: {', '.join(NAMES)}",
    )
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="write the Markdown page there",
    )
    given = parser.parse_args(arguments)
    wrong = [name for name in given.topics if name not in NAMES]
    if wrong:
        parser.error(f"topic: {wrong[0]!r} given; allowed is one of {', '.join(NAMES)}")
    names = tuple(given.topics) or NAMES
    if given.page is not None:
        write_text(given.page, page({name: load(name) for name in names}))
        print(f"wrote {given.page}")
        return 0
    for name in names:
        print_topic(load(name), sys.stdout)
    return 0


if __name__ == "__main__":
    run_command(main)
