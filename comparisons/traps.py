"""The command line; see the package's documentation for what it can do.

Exit codes: 0 all well, 1 a trap is no longer what it says, 2 bad input.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from comparisons.atlas.traps.check import cannot_run, check
from comparisons.atlas.traps.page import page
from comparisons.atlas.traps.registry import THEMES, find, select
from comparisons.atlas.traps.trap import Trap
from comparisons.atlas.traps.view import show_list, show_result
from twofold.commands import run_command
from twofold.errors import BadInput, TwofoldError
from twofold.files import write_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer one command; returns the exit code."""
    given = parser().parse_args(arguments)
    console = Console()
    try:
        if given.traps:
            return run([find(trap_id) for trap_id in given.traps], console)
        traps = select(given.theme, given.severity, given.search)
        if given.page:
            return write_page(traps, given.page, console)
    except TwofoldError as error:
        Console(stderr=True).print(f"error: {error}", markup=False, highlight=False)
        return error.exit_code
    show_list(traps, console)
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m comparisons.traps",
        description="Where PyTorch and JAX look alike and compute different things.",
    )
    parser.add_argument("traps", nargs="*", metavar="TRAP", help="ids of traps to run")
    parser.add_argument("--theme", help=f"only those of a theme: {', '.join(THEMES)}")
    parser.add_argument("--severity", choices=("silent wrong result", "error", "slow"))
    parser.add_argument("--search", default="", metavar="WORDS", help="what you see going wrong")
    parser.add_argument("--page", type=Path, metavar="FILE", help="run them and write a page")
    return parser


def run(traps: Sequence[Trap], console: Console) -> int:
    code = 0
    for trap in traps:
        if reason := cannot_run(trap):
            console.print(f"{trap.id}: {reason}", highlight=False)
            continue
        result = check(trap)
        show_result(result, console)
        code = max(code, 1 if result.complaints else 0)
    return code


def write_page(traps: Sequence[Trap], path: Path, console: Console) -> int:
    """Run the traps and write them as a page; no page where one of them became obsolete."""
    if not path.absolute().parent.is_dir():
        raise BadInput(f"--page {path}: the folder does not exist; create it first")
    results = [(trap, reason) if (reason := cannot_run(trap)) else check(trap) for trap in traps]
    complaints = [
        text for entry in results if not isinstance(entry, tuple) for text in entry.complaints
    ]
    for complaint in complaints:
        console.print(complaint, style="red", markup=False)
    if complaints:
        return 1
    write_text(path, page(results, path.as_posix()))
    console.print(f"{path}: {len(results)} traps")
    return 0


if __name__ == "__main__":
    run_command(main)
