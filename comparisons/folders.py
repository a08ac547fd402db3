"""Where the results of a run go: to a folder that git ignores, unless they are to be stored.

A checkout in which something was measured is then as clean as before. `--store` writes to the
committed results of this kind of processor, for those who mean to commit them.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Final

from twofold.results import environment

RUNS: Final = Path("results")
"""Git ignores it."""
STORED: Final = Path("comparisons") / "results"
"""What is committed, with a folder for each kind of processor."""


def processor_slug() -> str:
    """The kind of processor, such as `amd-epyc`."""
    processor = str(environment.describe()["processor"])
    return re.sub(r"[^a-z0-9]+", "-", processor.lower()).strip("-") or "unknown"


def results_folder(*, store: bool = False, quick: bool = False) -> Path:
    """One folder for each kind of processor; quick runs apart, so that they replace nothing."""
    name = processor_slug()
    return (STORED if store else RUNS) / (f"{name}-quick" if quick else name)


def add_folder_options(parser: argparse.ArgumentParser) -> None:
    """`--out FOLDER` and `--store`, of which one may be given."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help=f"where results go; default: a folder for this processor in {RUNS}, ignored by git",
    )
    group.add_argument(
        "--store", action="store_true", help=f"write to {STORED} instead, which is committed"
    )


def chosen_folder(given: argparse.Namespace, *, quick: bool = False) -> Path:
    """The folder that the options of `add_folder_options` ask for."""
    out: Path | None = given.out
    return out or results_folder(store=given.store, quick=quick)
