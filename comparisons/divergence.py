"""How far do the engines drift apart when they train freely, and is that more than rounding makes?

    python -m comparisons.divergence [SPEC ...] [--steps N] [--engines LIST] [--out FOLDER]

Stores `divergence-SPEC.json` and its chart, `figures/divergence-SPEC.svg`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from rich.console import Console

from comparisons.folders import add_folder_options, chosen_folder
from twofold import Experiment
from twofold.cli.diverge import print_result
from twofold.commands import run_command
from twofold.errors import TwofoldError
from twofold.files import write_text
from twofold.report.divergence_chart import chart
from twofold.report.style import to_svg
from twofold.results.json_files import write_json
from twofold.studies.divergence import measure

SPECS: Final = ("digits", "diabetes")
STEPS: Final = 1000
ENGINES: Final = "torch:eager,flax:jit"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and store; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m comparisons.divergence")
    parser.add_argument("specs", nargs="*", default=SPECS, help="experiments", metavar="SPEC")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps")
    parser.add_argument("--engines", default=ENGINES, help="engines, comma-separated")
    add_folder_options(parser)
    given = parser.parse_args(arguments)
    folder = chosen_folder(given)
    try:
        for spec in given.specs:
            compare_runs(spec, given.steps, given.engines.split(","), folder)
    except TwofoldError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def compare_runs(spec: str, steps: int, engines: list[str], folder: Path) -> None:
    """One experiment: its curves as JSON and as a chart."""
    result = measure(Experiment.load(spec), steps=steps, engines=engines)
    stored = result.to_json()
    write_json(folder / f"divergence-{spec}.json", stored)
    figure = folder / "figures" / f"divergence-{spec}.svg"
    write_text(figure, to_svg(chart(stored)))
    print_result(result, Console(highlight=False, width=110))


if __name__ == "__main__":
    run_command(main)
