"""The command line; see the package's documentation for what it can do.

Exit codes: 0 all well, 2 bad input, 3 a study could not run.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from comparisons.claims.ledger import CLAIMS, entries, entry_of, find, studies_of
from comparisons.claims.page import page
from comparisons.claims.store import FILE, load, save
from comparisons.claims.studies import run_apart
from comparisons.claims.view import show_entry, show_list
from twofold.commands import run_command
from twofold.errors import BadInput, ResultError, TwofoldError
from twofold.files import write_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer one command; returns the exit code."""
    given = parser().parse_args(arguments)
    console = Console()
    try:
        results = given.results or default_results(given)
        if given.measure:
            return measure(results, given.only, given.quick, console)
        if given.page:
            return write_page(given.page, results, console)
        if given.only:
            show_entry(entry_of(find(given.only), load(results)), console)
            return 0
        show_list(entries(load(results)), console)
    except ResultError as error:
        where = "" if str(results) in str(error) else f"{results}: "
        Console(stderr=True).print(f"error: {where}{error}", markup=False, highlight=False)
        return error.exit_code
    except TwofoldError as error:
        Console(stderr=True).print(f"error: {error}", markup=False, highlight=False)
        return error.exit_code
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; every study that was finished is stored")
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m comparisons.claims",
        description="What people say about PyTorch and JAX, with measured verdicts.",
    )
    parser.add_argument("--only", metavar="ID", help="one claim, with all its figures")
    parser.add_argument("--measure", action="store_true", help="run the experiments")
    parser.add_argument(
        "--quick", action="store_true", help="short runs at few sizes, stored apart"
    )
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page")
    results = parser.add_mutually_exclusive_group()
    results.add_argument(
        "--results", type=Path, metavar="FILE", help="result file (default: this processor's)"
    )
    results.add_argument(
        "--store", action="store_true", help="the committed result file of this processor"
    )
    return parser


def default_results(given: argparse.Namespace) -> Path:
    """Beside the results of the main job on the same kind of processor.

    What is only read is the committed file where nothing was measured since.
    """
    from comparisons.folders import results_folder

    own = results_folder(quick=given.quick) / FILE
    stored = results_folder(store=True, quick=given.quick) / FILE
    if given.store or not (given.measure or own.exists()):
        return stored
    return own


def measure(results: Path, only: str | None, quick: bool, console: Console) -> int:
    """Run the studies of one claim or of all; each is stored as soon as it is done.

    A study that fails keeps nobody else from running; what it found earlier stays.
    """
    records = load(results)
    names = studies_of([find(only)] if only else CLAIMS)
    failed = 0
    for number, name in enumerate(names, start=1):
        console.print(f"{number}/{len(names)} {name} ...", end=" ", highlight=False)
        try:
            records[name] = run_apart(name, quick)
        except Exception as error:  # whatever breaks in a study, the others go on
            console.print(f"failed: {type(error).__name__}: {error}", style="red", markup=False)
            failed += 1
            continue
        save(results, records)
        console.print(f"{records[name].seconds:.0f} s", highlight=False)
    if only:
        show_entry(entry_of(find(only), records), console)
    else:
        show_list(entries(records), console)
    console.print(f"Results: {results}", highlight=False)
    return 3 if failed else 0


def write_page(path: Path, results: Path, console: Console) -> int:
    """Write the page from stored results. Raises BadInput where there are none."""
    if not path.absolute().parent.is_dir():
        raise BadInput(f"--page {path}: the folder does not exist; create it first")
    records = load(results)
    if not records:
        raise BadInput(
            f"{results}: no results; measure first: python -m comparisons.claims --measure"
        )
    link = os.path.relpath(results.absolute(), path.absolute().parent)
    text = page(records, Path(link).as_posix(), Path(link).as_posix())
    write_text(path, text)
    console.print(f"{path}: {len(CLAIMS)} claims", highlight=False)
    return 0


if __name__ == "__main__":
    run_command(main)
