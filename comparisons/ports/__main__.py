"""Judge the cases, store the answers, write the page; see the package's docstring."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from comparisons.folders import RUNS, STORED, add_folder_options
from comparisons.ports.case import Case, judged
from comparisons.ports.page import page
from twofold import environment
from twofold.commands import run_command
from twofold.files import write_text
from twofold.results import read_json, write_json

SCHEMA: Final = "twofold.ports/1"
NAME: Final = "ports"
PAGE: Final = Path("comparisons") / "PORTS.md"
GROUPS: Final = ("layers", "optimizers", "models")


def main(arguments: list[str] | None = None) -> int:
    """Judge and write; 0 if everything was judged, 1 if the judge refused something."""
    parser = argparse.ArgumentParser(prog="python -m comparisons.ports")
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help=", ".join(GROUPS))
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--table", action="store_true", help="only write the page")
    parser.add_argument("--again", action="store_true", help="judge anew what is stored")
    add_folder_options(parser)
    given = parser.parse_args(arguments)
    stored = given.store or (given.table and given.out is None)
    folder = given.out or (STORED if stored else RUNS) / NAME
    for group in () if given.table else given.groups or ("layers", "optimizers"):
        _run(folder / f"{group}.json", _cases(group), given.only, again=given.again)
    results = [read_json(path, SCHEMA) for path in sorted(folder.glob("*.json"))]
    write_text(PAGE if stored else folder / PAGE.name, page(results))
    rows = [row for result in results for row in result["rows"].values()]
    return 1 if any(row["outcome"] == "refused" for row in rows) else 0


def _cases(group: str) -> Iterator[Case]:
    if group == "layers":
        from comparisons.ports import layers

        yield from layers.cases()
    elif group == "optimizers":
        from comparisons.ports import optimizers

        yield from optimizers.cases()
    else:
        from comparisons.ports import models

        yield from models.cases()


def _run(path: Path, cases: Iterator[Case], only: str, *, again: bool) -> None:
    rows: dict[str, Any] = read_json(path, SCHEMA)["rows"] if path.exists() else {}
    for case in cases:
        key = f"{case.group}: {case.name}: {case.arguments}"
        if only not in key or (key in rows and not again):
            continue
        rows[key] = row = judged(case)
        result = {"schema": SCHEMA, "rows": rows, "environment": environment.describe()}
        write_json(path, result)
        print(
            f"{key}: {row['outcome']}, {row['ratio']}, {row['seconds']} s; {row['rung']} "
            f"{row['place']} {row['cause']} {row['note']}",
            flush=True,
        )
        gc.collect()


if __name__ == "__main__":
    run_command(main)
