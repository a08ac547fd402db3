"""A parity report as a person reads it in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from twofold.parity.assertions import rung_story
from twofold.parity.judging.verdict import ParityReport, Rung, conclusion

STYLES = {
    "certified": "green",
    "explained": "yellow",
    "diverges": "bold red",
    "not run": "red",
    "out of range": "magenta",
    "vacuous": "magenta",
}


def print_report(report: ParityReport, console: Console) -> None:
    """One table for each precision, then every explanation and every failure in full."""
    for precision in dict.fromkeys(rung.precision for rung in report.rungs):
        rungs = [rung for rung in report.rungs if rung.precision == precision]
        console.print(_table(f"{report.experiment.name}, {precision}", rungs))
    console.print("[dim]figures: largest |computed - oracle| / bound; up to 1 is certified[/]\n")
    _print_explanations(report, console)
    for rung in report.rungs:
        if not rung.passed:
            _print_failure(rung, console)
    for sentence in report.not_exercised:
        console.print(f"[yellow]not exercised[/]: {escape(sentence)}")
    console.print(escape(summary_line(report)))
    console.print()


def summary_line(report: ParityReport) -> str:
    """The whole report in a line."""
    counts = dict.fromkeys(STYLES, 0)
    for rung in report.rungs:
        counts[rung.verdict] += 1
    parts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return f"{report.experiment.name}: {conclusion(report)}: {parts}"


def _table(title: str, rungs: list[Rung]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("rung", no_wrap=True)
    engines = list(dict.fromkeys(rung.engine for rung in rungs))
    for engine in engines:
        table.add_column(engine, no_wrap=True)
    by_place = {(rung.rung, rung.engine): rung for rung in rungs}
    for name in dict.fromkeys(rung.rung for rung in rungs):
        cells = (by_place.get((name, engine)) for engine in engines)
        table.add_row(name, *(_cell(rung) for rung in cells))
    return table


def _cell(rung: Rung | None) -> str:
    if rung is None:
        return ""
    if rung.verdict == "certified":
        words = "equal" if rung.worst_ratio is None else f"{rung.worst_ratio:.2g}"
    elif rung.verdict == "explained":
        words = "explained"
    elif rung.verdict == "diverges":
        ratio = "" if rung.worst_ratio is None else f" {rung.worst_ratio:.2g}"
        words = f"DIVERGES{ratio}"
    else:
        words = rung.verdict
    return f"[{STYLES[rung.verdict]}]{words}[/]"


def _print_explanations(report: ParityReport, console: Console) -> None:
    """Each known difference once, with the rungs that show it."""
    shown: dict[str, list[Rung]] = {}
    for rung in report.rungs:
        if rung.explanation is not None:
            shown.setdefault(rung.explanation.cause, []).append(rung)
    for cause, rungs in shown.items():
        first = rungs[0].explanation
        assert first is not None
        console.print(f"[yellow]explained[/]: {escape(cause)}")
        console.print(f"  source: {escape(first.source)}")
        for rung in rungs:
            if rung.explanation is not None:
                console.print(
                    escape(
                        f"  {rung.engine} {rung.precision}, {rung.rung}: "
                        f"ratio {rung.explanation.ratio_without:.3g} without the model, "
                        f"{rung.worst_ratio or 0:.2g} with it; {rung.explanation.size}"
                    )
                )
        console.print(f"  consequence: {escape(first.consequence)}")


def _print_failure(rung: Rung, console: Console) -> None:
    """Everything known about a rung that failed or could not be run."""
    style = STYLES[rung.verdict]
    _, *details = rung_story(rung)
    head = f"{rung.engine} {rung.precision}, {rung.rung}"
    console.print(f"[{style}]{rung.verdict}[/]: {escape(head)}: {escape(rung.note)}")
    for line in details:
        console.print(escape(line), soft_wrap=True)
