"""A report on a pair as a person reads it in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from twofold.port.report import (
    Difference,
    Finding,
    PortReport,
    PortRung,
    difference_head,
    difference_lines,
)
from twofold.port.twins import DIFFERS, SAME

STYLES = {
    "same": "green",
    "explained": "yellow",
    "not exercised": "dim",
    "undecided": "bold yellow",
    "differs": "bold red",
}
SHOWN = 5


def print_report(report: PortReport, console: Console) -> None:
    """The rungs in a table, the first difference, then everything that is not plainly the same."""
    console.print(_table(report))
    console.print(
        f"[dim]ratio: largest |A - B| over the noise of rounding: same up to {SAME:.0f}, differs "
        f"from {DIFFERS:.0f}[/]\n"
    )
    if report.first_difference is not None:
        _print_difference(report.first_difference, console)
    _print_failures(report, console)
    explained: dict[str, list[str]] = {}
    for rung in report.rungs:
        if rung.explanation:
            explained.setdefault(rung.explanation, []).append(f"{rung.rung}{_of(rung)}")
    for text, rungs in explained.items():
        _print_block("explained", "yellow", ", ".join(rungs), text, console)
    _print_narrowings(report, console)
    _print_notes(report, console)
    style = "green" if report.passed else "bold red"
    console.print(Text(report.summary(), style=style))
    console.print()


def _table(report: PortReport) -> Table:
    table = Table(
        title=f"{report.original}  ->  {report.port}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    longest = max((len(f"{rung.rung}{_of(rung)}") for rung in report.rungs), default=0)
    table.add_column("rung", no_wrap=True, min_width=longest)
    table.add_column("verdict", no_wrap=True, min_width=len("not exercised"))
    table.add_column("ratio", justify="right", no_wrap=True, min_width=len("1.2e+10"))
    table.add_column("tensors", justify="right", no_wrap=True, min_width=len("tensors"))
    table.add_column("worst tensor", overflow="ellipsis", no_wrap=True, ratio=1)
    for rung in report.rungs:
        ratio = "" if rung.ratio is None else f"{rung.ratio:.2g}"
        count = str(len(rung.findings)) if rung.findings else ""
        name = f"{rung.rung}{_of(rung)}"
        words = f"[{STYLES[rung.verdict]}]{rung.verdict}[/]"
        table.add_row(name, words, ratio, count, escape(rung.tensor))
    return table


def _of(rung: PortRung) -> str:
    return "" if rung.side == "pair" else f" of the {rung.side}"


def _print_difference(difference: Difference, console: Console) -> None:
    body = "\n".join(difference_lines(difference))
    _print_block("first difference", "bold red", difference_head(difference), body, console)


def _print_failures(report: PortReport, console: Console) -> None:
    """The first rung that fails in full, then the worst tensor of each that follows."""
    failing = [rung for rung in report.rungs if rung.verdict in ("differs", "undecided")]
    for place, rung in enumerate(failing):
        found = sorted(
            (f for f in rung.findings if f.verdict == rung.verdict), key=lambda f: -(f.ratio or 0.0)
        )
        head = f"{rung.rung}{_of(rung)}"
        if len(rung.findings) > 1:
            head += f": {len(found)} of {len(rung.findings)} tensors"
        shown = SHOWN if place == 0 else 1
        lines = [_finding_line(item) for item in found[:shown]]
        if len(found) > shown and place == 0:
            lines.append(f"and {len(found) - shown} more")
        if rung.note:
            lines.append(rung.note)
        _print_block(rung.verdict, STYLES[rung.verdict], head, "\n".join(lines), console)


def _finding_line(found: Finding) -> str:
    name = found.tensor if found.tensor == found.port else f"{found.tensor} | {_short(found.port)}"
    if found.ratio is None:
        return f"{name}: {found.note}"
    at = f"[{', '.join(map(str, found.index))}]" if found.index else ""
    note = f"; {found.note}" if found.note else ""
    a, b = found.original_value or 0.0, found.port_value or 0.0
    values = f"{a:.6g}, the port {b - a:+.2g}"
    return f"{name}{at}: {values}; noise {found.noise:.1g}, ratio {found.ratio:.2g}{note}"


def _short(names: str) -> str:
    first, *rest = names.split(", ")
    return f"{first} and {len(rest)} more" if rest else first


def _print_narrowings(report: PortReport, console: Console) -> None:
    if not report.narrowings:
        return
    lines = {
        f"{item.where} ({item.side}): {item.source} to {item.target}": None
        for item in report.narrowings
    }
    shown = list(lines)[:SHOWN]
    if len(lines) > SHOWN:
        shown.append(f"and {len(lines) - SHOWN} more")
    _print_block("kept in float64", "cyan", "casts inside the models", "\n".join(shown), console)


def _print_notes(report: PortReport, console: Console) -> None:
    notes: dict[str, None] = {}
    for rung in report.rungs:
        if rung.note and rung.verdict not in ("differs", "undecided"):
            notes[f"{rung.rung}{_of(rung)}: {rung.note}"] = None
    for note in notes:
        console.print(Text(note, style="dim"))
    if notes:
        console.print()


def _print_block(kind: str, style: str, head: str, body: str, console: Console) -> None:
    console.print(f"[{style}]{kind}[/]: {escape(head)}")
    if body:
        console.print(Padding(Text(body), (0, 0, 0, 2)))
    console.print()
