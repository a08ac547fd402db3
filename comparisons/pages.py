"""Write every page of the stored results again: one command after `make compare --store`.

    python -m comparisons.pages [--results FOLDER] [--shown NAME] [--root FOLDER]

The guide of each stored machine, `comparisons/GUIDE.md` with its figures (the guide of one
machine), MACHINES.md, PORTS.md, SPEED.md, CLAIMS.md of the same machine, and the excerpt in
README.md. Nothing is measured. Exit codes: 0 all written, 2 a result or a folder that cannot be
used.
"""

from __future__ import annotations

import argparse
import os
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from comparisons import speed_page
from comparisons.claims.page import page as claims_page
from comparisons.claims.store import FILE as CLAIMS_FILE
from comparisons.claims.store import load as load_claims
from comparisons.compare import timing_line
from comparisons.folders import STORED
from comparisons.machines.page import page as machines_page
from comparisons.machines.stored import load_machines
from comparisons.narrator import Narrator
from comparisons.ports import page as ports_page
from twofold.commands import run_command
from twofold.errors import BadInput, TwofoldError
from twofold.files import write_text
from twofold.report import advice, guide, speed_advice
from twofold.report.evidence import Evidence, experiment_name, load
from twofold.report.markdown import escape
from twofold.report.wording import counted

SHOWN: Final = "amd-epyc"
"""The folder of results that GUIDE.md, CLAIMS.md and the README's excerpt are made of."""
EXCERPT_OF: Final = "lesson"
WIDTH: Final = 118
BEGIN: Final = "<!-- excerpt: written by `python -m comparisons.pages` -->"
END: Final = "<!-- end of the excerpt -->"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write all pages; returns the exit code."""
    given = parser().parse_args(arguments)
    narrator = Narrator()
    try:
        for path in write_pages(given.root, given.results, given.shown):
            narrator.say(str(path))
    except TwofoldError as error:
        narrator.fail(f"error: {error}")
        return error.exit_code
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m comparisons.pages", description="Every page of the stored results again."
    )
    parser.add_argument("--results", type=Path, default=STORED, metavar="FOLDER")
    parser.add_argument(
        "--shown", default=SHOWN, metavar="NAME", help=f"the machine shown (default: {SHOWN})"
    )
    parser.add_argument(
        "--root", type=Path, default=Path(), metavar="FOLDER", help="where README.md is"
    )
    return parser


def write_pages(root: Path, results: Path, shown: str) -> Iterator[Path]:
    """Write the pages one by one. Raises BadInput and ResultError."""
    machine, pages = results / shown, root / "comparisons"
    evidence = load(machine)
    machines, claims = load_machines(results), load_claims(machine / CLAIMS_FILE)
    readme = with_excerpt(_read(root / "README.md"), evidence, shown)
    for one in machines:
        if one.evidence != Evidence():
            yield guide.write_guide(results / one.folder)
    yield guide.write_guide(machine, pages)
    link = Path(os.path.relpath(results.absolute(), pages.absolute())).as_posix()
    yield _write(pages / "MACHINES.md", machines_page(machines, link))
    if (results / ports_page.NAME).is_dir():
        yield ports_page.write(results, pages / ports_page.FILE)
    timed = speed_page.folders_with_speed(results)
    if timed:
        yield _write(pages / speed_page.FILE, speed_page.page(timed))
    if claims:
        file = f"{link}/{shown}/{CLAIMS_FILE}"
        yield _write(pages / "CLAIMS.md", claims_page(claims, file, file))
    yield _write(root / "README.md", readme)


def with_excerpt(readme: str, evidence: Evidence, shown: str) -> str:
    """The README with the excerpt of a stored run between its markers. Raises BadInput."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    text = f"{BEGIN}\n{excerpt(evidence, shown)}\n{END}"
    changed, number = pattern.subn(lambda _: text, readme)
    if number != 1:
        raise BadInput(f"README.md: {number} excerpts found; needed is one, from {BEGIN} to {END}")
    return changed


def excerpt(evidence: Evidence, shown: str) -> str:
    """What a run of the main job says of one experiment, and in short; every figure is stored."""
    timing = next((one for one in evidence.timing if experiment_name(one) == EXCERPT_OF), None)
    if timing is None:
        raise BadInput(f"{shown}: no timing of {EXCERPT_OF} is stored; run make compare first")
    found = guide.find(evidence)
    lines = [
        f"timing: {EXCERPT_OF}",
        *(f"  {timing_line(entry)}" for entry in timing["engines"]),
        *(f"  note: {warning}" for warning in timing["warnings"]),
        "",
        "in short",
        f"  Computing the same thing? {advice.same_thing(found.parity)}",
        f"  Shortest step? {speed_advice.shortest_step(found.timing)}",
    ]
    body = "\n".join(wrapped for line in lines for wrapped in _wrapped(line)).replace("```", "'''")
    return f"{_where(timing['environment'], shown)}\n\n```text\n{body}\n```"


def _where(environment: dict[str, Any], shown: str) -> str:
    """The machine and the day, in lines as long as the README's."""
    processor = escape(environment.get("processor") or "an unknown processor")
    cores = environment.get("cores_usable")
    day = environment.get("time_utc", "on an unknown day")[:10]
    text = (
        f"A stored run: {processor}, {counted(cores, 'core') if cores else ''}, processor only, "
        f"{day} ([its guide](comparisons/GUIDE.md), "
        f"[its results](comparisons/results/{quote(shown)})):"
    )
    return "\n".join(textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False))


def _wrapped(line: str) -> list[str]:
    """A line of the excerpt, continued four spaces further in where it is long."""
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from error


def _write(path: Path, text: str) -> Path:
    write_text(path, text)
    return path


if __name__ == "__main__":
    run_command(main)
