"""Where the seconds of a start go: importing, opening, tracing, compiling, the first run."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from twofold.cli.time_details import seconds
from twofold.timing.result import ColdStart, TimingResult

PARTS = ("import", "open", "trace", "compile", "first run", "total")


def print_starts(result: TimingResult, console: Console, *, narrow: bool) -> None:
    """A row for each start of each engine that was measured; nothing if there is none.

    A narrow terminal gets the parts without their sum, which other tables have.
    """
    rows = list(_starts(result))
    if not rows:
        return
    parts = PARTS[:-1] if narrow else PARTS
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=narrow)
    table.add_column("engine", no_wrap=True)
    table.add_column("cache", no_wrap=True)
    for part in parts:
        table.add_column(part, justify="right", no_wrap=True)
    for engine, cache, start in rows:
        table.add_row(engine, cache, *_cells(start)[: len(parts)])
    console.print(table)
    console.print(f"[dim]{_legend([start for *_, start in rows])}[/]")


def _starts(result: TimingResult) -> Iterator[tuple[str, str, ColdStart]]:
    """Engine, state of the compile cache and start, an engine's starts one below the other."""
    for engine in result.engines:
        if engine.status == "measured" and engine.cold_start is not None:
            yield engine.engine, "empty", engine.cold_start
            if engine.warm_start is not None:
                yield "", "full", engine.warm_start


def _cells(start: ColdStart) -> tuple[str, ...]:
    """The parts and their sum; those that hold all where nobody looked into them."""
    opening, first_run = start.opening_s, start.first_run_s
    return (
        seconds(start.import_s),
        seconds(start.open_s if opening is None else opening),
        _known(start.trace_s),
        _known(start.compile_s),
        seconds(start.first_step_s if first_run is None else first_run),
        seconds(start.total_s),
    )


def _known(part: float | None) -> str:
    if part is None:
        return "-"
    return seconds(part) if part else "0"


def _legend(starts: list[ColdStart]) -> str:
    lines = [
        "cache: of compiled programs; trace: Python to graph; compile: graph to program",
        "open, first run: without the tracing and compiling in them",
    ]
    if any(start.first_run_s is None for start in starts):
        lines.append("-: not known; it is counted in open and first run")
    return "\n".join(lines)
