"""The ledger in a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from comparisons.claims.ledger import Entry
from comparisons.claims.wording import figure_text

STYLES: Final = {
    "confirmed": "green",
    "refuted": "red",
    "depends": "yellow",
    "not testable here": "dim",
    "not measured yet": "dim",
}
WIDTH: Final = 80


def show_list(found: Sequence[Entry], console: Console) -> None:
    """One line or a few for each claim."""
    table = Table(box=None, pad_edge=False, width=min(console.width, WIDTH))
    table.add_column("verdict", width=17)
    table.add_column("claim")
    for entry in found:
        style = STYLES[entry.verdict]
        table.add_row(f"[{style}]{entry.verdict}[/]", entry.claim.sentence)
    console.print(table)


def show_entry(entry: Entry, console: Console) -> None:
    """A claim with its reason and all its figures."""
    console.print(f"[bold]{entry.claim.id}[/]: [{STYLES[entry.verdict]}]{entry.verdict}[/]")
    lines = [entry.claim.sentence]
    if entry.judgement is None:
        lines.append(entry.missing)
    else:
        lines.append(entry.judgement.because)
        lines += [f"Flips {flip}." for flip in entry.judgement.flips]
    for line in lines:
        console.print(wrapped(line, indent=""), markup=False, highlight=False)
    for figure in entry.judgement.figures if entry.judgement else ():
        console.print(wrapped(figure_text(figure), indent="  "), markup=False, highlight=False)


def wrapped(text: str, indent: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  " if indent else ""
    )
