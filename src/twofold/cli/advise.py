"""`twofold advise`: which engine to use for an experiment, from this machine's calibration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.commands import INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Console

    from twofold.spec.experiment import Experiment
    from twofold.studies.advice.advise import Advice

MEASURED_ENGINES = 3


def advise(
    spec: Annotated[
        str, typer.Argument(help="A built-in experiment or a TOML file.", metavar="SPEC")
    ],
    steps: Annotated[
        int | None,
        typer.Option(help="Steps to train; default those of SPEC.", metavar="N", min=1),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Device: auto, cpu, cuda or mps; default SPEC's.")
    ] = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Time the best candidates and compare with the prediction."),
    ] = False,
    calibration: Annotated[
        Path | None, typer.Option(help="A file that `twofold calibrate` wrote.", metavar="FILE")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field; may be repeated."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write the advice to this file.", metavar="FILE")
    ] = None,
) -> None:
    """Say which engine is soonest to a result, and how sure that is.

    Exit codes: 0 all well, 2 bad input, 3 an engine could not run, 130 interrupted.
    """
    from rich.console import Console

    from twofold.cli.calibrate import checked_device
    from twofold.engines import registry
    from twofold.files import require_writable
    from twofold.problem.data import prepare
    from twofold.results import environment
    from twofold.spec.experiment import Experiment
    from twofold.studies.advice import store
    from twofold.studies.advice.advise import advise as ask
    from twofold.studies.advice.workload import workload_of
    from twofold.timing.timed_engine import whole_batches

    require_writable("--json", json)
    experiment = Experiment.load(spec, tuple(changes or ()))
    if device is not None:
        experiment = experiment.with_values(device=checked_device(device))
    known = store.load(calibration or store.default_path(experiment.device))
    problem = prepare(experiment)
    workload = workload_of(whole_batches(problem)[0])
    found = ask(known.predictors, workload, steps or problem.total_steps, known.workloads)
    console = Console(highlight=False)
    print_advice(experiment, found, console)
    console.print(f"[dim]{known.choice.why()}[/]")
    missing = [name for name in registry.default_engines() if name not in known.models]
    if missing:
        console.print(
            f"[dim]not calibrated: {', '.join(missing)} (twofold calibrate --engines LIST)[/]"
        )
    here = {**environment.describe(), "threads": known.environment.get("threads")}
    for doubt in store.doubts(known, here):
        console.print(f"[yellow]note[/]: {doubt}")
    if json is not None:
        from twofold.results.json_files import write_json

        write_json(json, found.to_json(), non_finite="refuse")
    if measure:
        _check(experiment, found, console)


def print_advice(experiment: Experiment, advice: Advice, console: Console) -> None:
    """What to use, then every engine's prediction."""
    from rich import box
    from rich.table import Table

    from twofold.cli.time_details import seconds

    best = advice.best
    console.print(
        f"[bold]{experiment.name}[/], {advice.steps:,} steps: use [bold]{best.engine}[/] "
        f"({advice.sureness}: soonest in {best.chance:.0%} of what the model says is possible)"
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("engine", no_wrap=True)
    for heading in ("cold start", "step", "result", "90 % within", "soonest"):
        table.add_column(heading, justify="right", no_wrap=True)
    for item in advice.predictions:
        table.add_row(
            item.engine,
            seconds(item.cold_start_s),
            seconds(item.step_s),
            seconds(item.result_s),
            f"{seconds(item.low)} to {seconds(item.high)}",
            f"{item.chance:.0%}",
        )
    console.print(table)
    console.print("[dim]predicted from this machine's calibration, nothing was run[/]")
    for trait in advice.outside:
        console.print(f"[yellow]note[/]: outside of what was calibrated: {trait}")


def _check(experiment: Experiment, advice: Advice, console: Console) -> None:
    """Time the best candidates and compare."""
    from twofold.cli.time import FAILED, watched
    from twofold.cli.time_details import seconds
    from twofold.timing.conditions import Conditions

    candidates = [item.engine for item in advice.predictions[:MEASURED_ENGINES]]
    result = watched(experiment, candidates, Conditions(seconds=10.0))
    times = {}
    for engine in result.engines:
        pace = engine.pace
        if pace is None:
            console.print(f"[red]{engine.engine}: {engine.status}[/]: {engine.reason}")
            continue
        predicted = next(item for item in advice.predictions if item.engine == engine.engine)
        off = predicted.step_s / pace.step_s.median - 1
        times[engine.engine] = pace.time_to(advice.steps)
        console.print(
            f"{engine.engine}: step measured {seconds(pace.step_s.median)}, predicted "
            f"{seconds(predicted.step_s)} ({off:+.0%}); result measured "
            f"{seconds(times[engine.engine])}, predicted {seconds(predicted.result_s)}"
        )
    for warning in result.warnings:
        console.print(f"[yellow]note[/]: {warning}")
    if times:
        first = min(times, key=lambda name: times[name])
        held = "the advice holds" if first == advice.best.engine else "the advice was wrong"
        console.print(f"Soonest as measured: [bold]{first}[/]; {held}.")
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(0 if times else FAILED)
