"""A timing result as a person reads it in a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self, final

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from twofold.cli.time_details import print_details, rounded, unit
from twofold.cli.time_starts import print_starts
from twofold.timing.protocol import Progress as Stage
from twofold.timing.result import EngineTiming, Ratio, TimingResult
from twofold.timing.statistics import RESOLUTION_OF_ONE_PROCESS

OUTCOME_STYLES = {
    "faster": "green",
    "slower": "yellow",
    "not distinguishable": "dim",
    "could not be measured": "red",
}
WIDE = 100
PHASES = {
    "parity": "certifying {engine}",
    "cold start": "cold start of {engine}",
    "warm-up": "warming up {engine}",
    "rounds": "timing all engines in turn",
    "warm cache": "{engine} again, with a full compile cache",
    "limits": "measuring what the machine can do at best",
}


@final
class ProgressLine:
    """A bar that says what is going on; plain lines when nobody watches."""

    def __init__(self, name: str, console: Console) -> None:
        self._name, self._console = name, console
        self._said = ""
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task(name, total=1.0)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, stage: Stage) -> None:
        """Bring the bar to a stage, or print the stage once."""
        words = f"{self._name}: {PHASES[stage.phase].format(engine=stage.engine)}"
        if self._console.is_terminal:
            self._progress.update(self._task, description=words, completed=stage.fraction)
        elif words != self._said:
            self._console.print(words, soft_wrap=True)
        self._said = words


def print_result(result: TimingResult, console: Console, steps: int | None = None) -> None:
    """The conditions, the tables, then every warning and every reason.

    `steps`: how many a result takes; None for those of the experiment.
    """
    narrow = console.width < WIDE
    console.print(f"[bold]{escape(result.experiment.name)}[/]: {escape(_conditions(result))}")
    console.print(_table(result, narrow=narrow))
    console.print(f"[dim]{_legend(result)}[/]")
    if result.reference is not None:
        print_starts(result, console, narrow=narrow)
        print_details(result, console, steps or result.steps or 1, narrow=narrow)
    if result.unchecked:
        console.print(
            "[yellow]unchecked[/]: parity was not checked; engines may compute different things"
        )
    for engine in result.engines:
        if engine.status != "measured":
            console.print(f"[red]{engine.engine}: {engine.status}[/]: {escape(engine.reason)}")
    withheld = {ratio.reason for ratio in result.ratios if _is_withheld(result, ratio)}
    for reason in sorted(withheld - {_own_reason(warning) for warning in result.warnings}):
        console.print(f"[red]no ratio[/]: {escape(reason)}")
    for warning in result.warnings:
        console.print(f"[yellow]note[/]: {escape(warning)}")


def _is_withheld(result: TimingResult, ratio: Ratio) -> bool:
    """Whether both engines were measured, and yet there is no ratio."""
    measured = {engine.engine for engine in result.engines if engine.status == "measured"}
    return ratio.median is None and {ratio.engine, ratio.reference} <= measured


def _own_reason(warning: str) -> str:
    """The reason within a warning such as "No ratios: REASON."."""
    return warning.partition(": ")[2].removesuffix(".") if warning.startswith("No ratio") else ""


def _conditions(result: TimingResult) -> str:
    """Machine, threads and rounds in a line."""
    about = result.environment
    threads = f"{about['threads']} thread{'s' if about['threads'] != 1 else ''}"
    rows = next((e.rows_per_step for e in result.engines if e.rows_per_step), None)
    batch = f"batch {rows:g}, " if rows else ""
    if result.batch_sizes:
        batch = f"batches of {', '.join(map(str, result.batch_sizes))} in turn, "
    return (
        f"{result.experiment.precision}, {batch}{threads} on {about['processor']}, "
        f"{result.rounds} rounds in {result.seconds:.0f} s, {_processes(result)}"
    )


def _processes(result: TimingResult) -> str:
    several = f"{result.processes} processes an engine"
    words = "one process an engine" if result.processes == 1 else several
    return words if result.world == 1 else f"{words}, {result.world} where they share batches"


def _table(result: TimingResult, *, narrow: bool) -> Table:
    """One row for each engine; a narrow terminal gets ratios without their interval."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("engine", no_wrap=True)
    table.add_column("cold start", justify="right", no_wrap=True)
    table.add_column("step (95 % interval)", justify="right", no_wrap=True)
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("outcome")
    for engine in result.engines:
        table.add_row(engine.engine, *_figures(engine), *_comparison(engine, result, narrow=narrow))
    return table


def _figures(engine: EngineTiming) -> tuple[str, str]:
    if engine.status != "measured" or engine.cold_start is None or engine.step_s is None:
        return "", ""
    step = engine.step_s
    scale, name = unit(step.median)
    low, middle, high = (rounded(x * scale) for x in (step.low, step.median, step.high))
    return f"{engine.cold_start.total_s:.1f} s", f"{middle} ({low}-{high}) {name}"


def _comparison(engine: EngineTiming, result: TimingResult, *, narrow: bool) -> tuple[str, str]:
    if engine.engine == result.reference:
        return "1", "reference"
    ratio = result.ratio(engine.engine)
    if engine.status != "measured" or ratio is None:
        return "", f"[red]{'refused' if engine.status == 'diverges' else engine.status}[/]"
    return _ratio(ratio, narrow=narrow), f"[{OUTCOME_STYLES[ratio.outcome]}]{_outcome(ratio)}[/]"


def _ratio(ratio: Ratio, *, narrow: bool) -> str:
    if ratio.median is None or ratio.low is None or ratio.high is None:
        return ""
    if narrow:
        return f"{ratio.median:.2f}"
    return f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"


def _outcome(ratio: Ratio) -> str:
    """The outcome with its size: "2.4x faster"."""
    if ratio.median is None or ratio.outcome not in ("faster", "slower"):
        return ratio.outcome
    size = 1 / ratio.median if ratio.outcome == "faster" else ratio.median
    return f"{size:.2f}x {ratio.outcome}" if size < 10 else f"{size:.0f}x {ratio.outcome}"


def _legend(result: TimingResult) -> str:
    cold = "cold start: import, open and first step, compiling included, empty compile cache"
    if result.reference is None:
        return cold
    ratio = f"ratio: step time over that of {result.reference}, paired round by round"
    return "\n".join([cold, ratio, *_left_out(result)])


def _left_out(result: TimingResult) -> list[str]:
    """What an interval cannot hold where each engine had one process."""
    if result.processes > 1:
        return []
    return [
        "intervals do not include how processes of one engine differ, so a ratio within "
        f"{RESOLUTION_OF_ONE_PROCESS:.0%} of 1 shows no difference; --processes 8 measures that"
    ]
