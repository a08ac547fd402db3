"""Run every mutant in every host; see the package's docstring."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from comparisons.evidence.mutants import catalogue
from comparisons.evidence.mutants.hosts import HOSTS
from comparisons.evidence.mutants.mutant import Mutant
from comparisons.evidence.mutants.table import page
from comparisons.evidence.mutants.trial import Outcome, run
from comparisons.folders import RUNS, STORED, add_folder_options
from twofold.commands import run_command
from twofold.files import write_text
from twofold.results import environment
from twofold.results.json_files import read_json, write_json

SCHEMA: Final = "twofold.mutants/1"
FOLDER: Final = STORED / "mutants"
PAGE: Final = Path("comparisons") / "MUTANTS.md"


def main(arguments: list[str] | None = None) -> int:
    """Run the mutants and write results and table; 0 if the ladder caught every one."""
    parser = argparse.ArgumentParser(prog="python -m comparisons.mutants")
    parser.add_argument("--only", help="mutants whose name or theme contains this", default="")
    parser.add_argument("--hosts", help="comma-separated", default="torch,flax")
    add_folder_options(parser)
    parser.add_argument("--page", type=Path, help=f"default: {PAGE}, or beside results not stored")
    parser.add_argument(
        "--table", action="store_true", help="write the table of stored results, run nothing"
    )
    options = parser.parse_args(arguments)
    stored_ones = options.store or (options.table and options.out is None)
    options.out = options.out or (FOLDER if stored_ones else RUNS / FOLDER.name)
    options.page = options.page or (PAGE if stored_ones else options.out / PAGE.name)
    if not options.table:
        for name in options.hosts.split(","):
            _run_host(name, catalogue.find(options.only), options.out)
    stored = [read_json(path, SCHEMA) for path in sorted(options.out.glob("*.json"))]
    options.page.parent.mkdir(parents=True, exist_ok=True)
    write_text(options.page, page(stored))
    rows = [row for result in stored for row in result["mutants"]]
    missed = [row for row in rows if row["theme"] != "control" and not row["caught"]]
    return 1 if missed else 0


def _run_host(name: str, mutants: tuple[Mutant, ...], folder: Path) -> None:
    """Run mutants and store their rows; those of other mutants stay as they are stored."""
    path = folder / f"{name}.json"
    kept = read_json(path, SCHEMA)["mutants"] if path.exists() else []
    rows: list[dict[str, Any]] = []
    for mutant in mutants:
        outcome = run(mutant, HOSTS[name])
        rows.append(row_of(outcome))
        seen = "caught" if outcome.caught else "not caught"
        print(f"{name} {mutant.name}: {seen}", flush=True)
        write_json(
            path,
            {
                "schema": SCHEMA,
                "host": name,
                "engine": HOSTS[name].engine,
                "environment": environment.describe(),
                "mutants": together(kept, rows),
            },
        )


def together(kept: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Stored and new rows in the order of the catalogue; new ones take the place of stored ones.

    A stored row whose mutant is no longer in the catalogue is dropped.
    """
    by_name = {row["name"]: row for row in (*kept, *rows)}
    names = [mutant.name for mutant in (*catalogue.MUTANTS, *catalogue.CONTROLS)]
    return [by_name[name] for name in names if name in by_name]


def row_of(outcome: Outcome) -> dict[str, Any]:
    """One mutant's outcome as plain JSON types; an infinite ratio is stored as "inf"."""
    mutant = outcome.mutant
    return {
        "name": mutant.name,
        "theme": "control" if mutant in catalogue.CONTROLS else mutant.theme,
        "description": mutant.description,
        "experiment": mutant.base,
        "caught": outcome.caught,
        "sightings": {
            seen.precision: {
                "rung": seen.rung,
                "ratio": None if seen.ratio is None else str(seen.ratio),
                "note": seen.note,
            }
            for seen in outcome.sightings
        },
        "peers": {
            peer: {"on the rung": same, "on any rung": anywhere}
            for peer, (same, anywhere) in outcome.peers.items()
        },
    }


if __name__ == "__main__":
    run_command(main)
