"""`twofold sweep`: step times over batch size, width and depth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.commands import INTERRUPTED

if TYPE_CHECKING:
    from twofold.spec.experiment import Experiment

OUT = Path("results") / "sweep.json"


def sweep(
    spec: Annotated[
        str, typer.Argument(help="A built-in experiment or a TOML file.", metavar="SPEC")
    ] = "lesson",
    batch: Annotated[str, typer.Option(help="Batch sizes.", metavar="LIST")] = "16,64,256",
    width: Annotated[str, typer.Option(help="Hidden units.", metavar="LIST")] = "32,128,512",
    depth: Annotated[str, typer.Option(help="Hidden layers.", metavar="LIST")] = "2",
    engines: Annotated[
        str | None,
        typer.Option(help="Engines, comma-separated; default the quick ones.", metavar="LIST"),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Processors and threads for each engine; default all.", metavar="N"),
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="Seconds of rounds at each point.", metavar="S", min=0.1)
    ] = 2.0,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Time engines that have not passed parity, too.")
    ] = False,
    out: Annotated[
        Path, typer.Option(help="Result file; a sweep that it holds is continued.", metavar="FILE")
    ] = OUT,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for the charts; default that of --out.")
    ] = None,
) -> None:
    """Time engines over batch size, width and depth.

    Each point is stored as soon as it is measured: run the command again to continue an interrupted
    sweep. Parity is checked once, at the smallest point.

    Exit codes: 0 all well, 1 an engine diverges, 2 bad input, 3 an engine could not run, 130
    interrupted.
    """
    from twofold.cli.time import asked_engines, parse_numbers
    from twofold.engines import registry
    from twofold.files import require_writable
    from twofold.results import environment
    from twofold.spec.experiment import Experiment
    from twofold.studies.advice.calibrating import fleet_on
    from twofold.studies.sweep import Axes, Sweep, experiment_at, quick_engines, run_sweep
    from twofold.studies.sweep_charts import write_charts
    from twofold.timing.conditions import checked_cpus

    if out == OUT:
        out.parent.mkdir(exist_ok=True)
    require_writable("--out", out)
    names = list(asked_engines(engines) or quick_engines(registry.default_engines()))
    axes = Axes(
        parse_numbers("--batch", batch),
        parse_numbers("--width", width),
        parse_numbers("--depth", depth),
    )
    places, cpus = axes.places, checked_cpus(threads)
    experiment = Experiment.load(spec)
    header = {
        "environment": {**environment.describe(), "threads": len(cpus)},
        "experiment": experiment.model_dump(mode="json"),
        "engines": names,
        "threads": len(cpus),
        "seconds_a_point": seconds,
        "unchecked": unchecked,
    }
    stored = Sweep.at(out, header)
    left = [place for place in places if place not in stored.done]
    typer.echo(f"{len(left)} of {len(places)} points to measure: {', '.join(names)}", err=True)
    if left and not unchecked:
        _require_parity(experiment_at(experiment, places[0]), names, cpus)
    fleet, numbers = fleet_on(cpus), iter(range(1, len(left) + 1))
    interrupted = False
    try:
        run_sweep(
            stored,
            experiment,
            places,
            fleet,
            names,
            seconds,
            lambda place, entry: _say(f"{next(numbers)}/{len(left)} {place}", entry),
        )
    except KeyboardInterrupt:
        interrupted = True
        typer.echo("interrupted; the points above are stored: run again to continue", err=True)
    finally:
        fleet.close()
    if stored.points:
        for path in write_charts(out, figures or out.absolute().parent):
            typer.echo(f"written: {path}", err=True)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(3 if fleet.failures else 0)


def _require_parity(experiment: Experiment, engines: list[str], cpus: tuple[int, ...]) -> None:
    """Refuse engines that do not pass parity.

    Raises ParityDiverges, EngineFailed, or NothingShown where the experiment shows no parity.
    """
    from twofold.errors import EngineFailed, NothingShown, ParityDiverges
    from twofold.timing.measure import certified_engines

    gate = certified_engines(
        experiment, engines, cpus, lambda at: typer.echo(f"certifying {at.engine}", err=True)
    )
    for entry in gate.refused:
        kinds = {"diverges": ParityDiverges, "out of range": NothingShown, "vacuous": NothingShown}
        kind = kinds.get(entry.status, EngineFailed)
        raise kind(f"{entry.engine}: {entry.reason}; leave it out, or give --unchecked")


def _say(where: str, entry: dict[str, Any]) -> None:
    """A line for each ratio of a point: who is ahead."""
    from twofold.studies.sweep import ratios_of

    ratios = ratios_of(entry)
    if not ratios:
        steps = [each for each in entry["engines"] if each["step_s"]]
        best = min(steps, key=lambda each: each["step_s"]["median"], default=None)
        typer.echo(f"{where}: {best['engine'] if best else 'nothing could be measured'}")
    for ratio in ratios:
        typer.echo(f"{where}: {_ahead(ratio)}")


def _ahead(ratio: dict[str, Any]) -> str:
    if ratio["median"] is None:
        return f"{ratio['outcome']}: {ratio['reason']}"
    if ratio["outcome"] in ("faster", "slower"):
        return (
            f"{ratio['engine']} {ratio['outcome']} than {ratio['reference']}, "
            f"ratio {ratio['median']:.2f}"
        )
    return f"{ratio['engine']} and {ratio['reference']}: {ratio['outcome']}"
