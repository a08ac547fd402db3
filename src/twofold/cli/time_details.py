"""The second half of a timing result: further figures, and the soonest engine by steps."""

from __future__ import annotations

import itertools

from rich import box
from rich.console import Console
from rich.table import Table

from twofold.timing.breakeven import soonest
from twofold.timing.result import EngineTiming, TimingResult

RATES = ("rows/s", "GFLOP/s")


def print_details(result: TimingResult, console: Console, steps: int, *, narrow: bool) -> None:
    """A row for each engine that was measured, then the time to a result."""
    console.print(_table(result, steps, narrow=narrow))
    console.print(f"[dim]{_legend(result, steps)}[/]")
    line = soonest_line(result)
    if line:
        console.print(line)


def soonest_line(result: TimingResult) -> str:
    """Which engine is first, by the number of steps; only engines that can be told apart."""
    if result.batch_sizes:
        return ""
    paces = [engine.pace for engine in result.engines if engine.pace is not None]
    order = soonest(paces)
    parts = [f"{order[0][1].engine} from the start"] if order else []
    for (_, before), (first, pace) in itertools.pairwise(order):
        if not result.told_apart(before.engine, pace.engine):
            parts.append("after that, engines are too close to tell apart")
            break
        parts.append(f"{pace.engine} from about {_two_figures(first):,} steps on")
    return f"Soonest to a result: {', '.join(parts)}." if parts else ""


def _table(result: TimingResult, steps: int, *, narrow: bool) -> Table:
    """One row for each engine that was measured; columns without any figure are left out.

    A narrow terminal has no room for the two rates, which follow from the step time.
    """
    measured = [engine for engine in result.engines if engine.status == "measured"]
    rows = [_cells(engine, steps, fixed=not result.batch_sizes) for engine in measured]
    headings = [name for name in rows[0] if any(row[name] for row in rows)]
    headings = [name for name in headings if not (narrow and name in RATES)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=narrow)
    table.add_column("engine", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for engine, cells in zip(measured, rows, strict=True):
        table.add_row(engine.engine, *(cells[name] for name in headings))
    return table


def _cells(engine: EngineTiming, steps: int, *, fixed: bool) -> dict[str, str]:
    warm, pace = engine.warm_start, engine.pace
    return {
        "warm start": seconds(warm.total_s) if warm else "",
        "rows/s": f"{engine.rows_per_s:,.0f}" if engine.rows_per_s else "",
        "GFLOP/s": rounded(engine.flops_per_s / 1e9) if engine.flops_per_s else "",
        "of limit": f"{engine.roofline_share:.0%}" if engine.roofline_share else "",
        "memory": f"{engine.peak_memory_bytes / 2**20:.0f} MiB" if engine.peak_memory_bytes else "",
        "recompiled": "" if engine.recompilations is None else str(engine.recompilations),
        "result": seconds(pace.time_to(steps)) if pace and fixed else "",
    }


def _legend(result: TimingResult, steps: int) -> str:
    lines = [
        "warm start: as the cold start, with a full compile cache; memory: peak of the process"
    ]
    if result.roofline is not None:
        limit = rounded(result.roofline.flops_per_s / 1e9)
        lines.append(
            f"of limit: share of what the machine allows ({limit} GFLOP/s in NumPy's products, or "
            "memory)"
        )
    if not result.batch_sizes:
        lines.append(
            f"result: seconds from nothing to the end of {steps:,} steps, all compiling included"
        )
    return "\n".join(lines)


def unit(value: float) -> tuple[float, str]:
    """The factor and the name of the unit in which seconds read well."""
    if value < 1e-3:
        return 1e6, "us"
    return (1e3, "ms") if value < 1 else (1.0, "s")


def seconds(value: float) -> str:
    """Seconds in the unit in which they read well."""
    scale, name = unit(value)
    return f"{rounded(value * scale)} {name}"


def rounded(value: float) -> str:
    """Three figures or so."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _two_figures(value: float) -> int:
    return int(float(f"{value:.2g}"))
