"""Judge the cases, store the answers, write the page; see the package's docstring."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from comparisons.folders import RUNS, STORED, add_folder_options
from comparisons.ports import page
from comparisons.ports.case import Case, judged
from comparisons.ports.page import NAME, SCHEMA
from twofold.commands import run_command
from twofold.results import environment
from twofold.results.json_files import read_json, write_json

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
    results = folder.parent
    page.write(results, results.parent / page.FILE if stored else folder / page.FILE)
    rows = [row for result in page.load(folder) for row in result["rows"].values()]
    return 1 if any(row["outcome"] == "refused" for row in rows) else 0


def _cases(group: str) -> Iterator[Case]:
    if group == "layers":
        from comparisons.ports import functions, linen_layers, nnx_layers

        for module in (nnx_layers, linen_layers, functions):
            yield from module.cases()
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
        result = {"schema": SCHEMA, "rows": rows, "environment": _environment()}
        write_json(path, result)
        print(
            f"{key}: {row['outcome']}, {row['ratio']}, {row['seconds']} s; {row['rung']} "
            f"{row['place']} {row['cause']} {row['note']}",
            flush=True,
        )
        gc.collect()


def _environment() -> dict[str, Any]:
    """This machine, the version of Transformers if it is there, and how XLA compiles."""
    import jax

    few = bool(jax.config.read("jax_disable_most_optimizations"))
    found = environment.describe()
    versions = {**found["versions"], **environment.package_versions(("transformers",))}
    return {**found, "versions": versions, "xla_optimizations": "few" if few else "all"}


if __name__ == "__main__":
    run_command(main)
