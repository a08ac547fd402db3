"""`twofold calibrate`: measure this machine once, so that `twofold advise` need not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from twofold.spec.experiment import Device
    from twofold.studies.advice.calibrate import Calibration


def calibrate(
    engines: Annotated[
        str | None,
        typer.Option(
            help="Engines, comma-separated, or all; default the quickest of each framework.",
            metavar="LIST",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Device: auto, cpu, cuda or mps.", metavar="D")
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(help="Processors and threads for each engine; default all.", metavar="N"),
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="Seconds to spend on measurements.", metavar="S", min=5.0)
    ] = 215.0,
    path: Annotated[
        Path | None, typer.Option(help="Where to keep it; default your cache folder.")
    ] = None,
) -> None:
    """Measure what each engine costs on this machine, for `twofold advise`.

    Exit codes: 0 all well, 2 bad input, 3 an engine could not run, 130 interrupted.
    """
    from rich.console import Console

    from twofold.cli.time import asked_engines
    from twofold.files import require_writable
    from twofold.studies.advice import calibrating, store

    asked = checked_device(device)
    names = asked_engines(engines)
    target = path or store.default_path(asked)
    require_writable("--path", path)
    errors = Console(stderr=True, highlight=False)
    with errors.status("calibrating") as status:

        def show(fraction: float) -> None:
            status.update(f"calibrating, {fraction:.0%} of the time spent")

        found = calibrating.calibrate(
            names,
            device=asked,
            threads=threads,
            budget_s=seconds,
            on_progress=show,
        )
    store.save(found, target)
    console = Console(highlight=False)
    console.print(table_of(found))
    console.print(found.choice.why())
    for engine, reason in found.failures.items():
        typer.echo(f"{engine}: could not be measured: {reason}", err=True)
    for doubt in store.doubts(found, found.environment):
        typer.echo(f"note: {doubt}", err=True)
    typer.echo(f"written: {target} ({found.seconds:.0f} s)", err=True)
    raise typer.Exit(3 if found.failures else 0)


def checked_device(device: str) -> Device:
    """A device by name. Raises BadInput."""
    from typing import get_args

    from twofold.errors import BadInput
    from twofold.spec.experiment import Device as Names

    names: dict[str, Device] = {name: name for name in get_args(Names)}
    if device not in names:
        raise BadInput(f"--device: {device!r} given; allowed is one of {', '.join(names)}")
    return names[device]


def table_of(calibration: Calibration) -> Table:
    """What was fitted, an engine a row."""
    from rich import box
    from rich.table import Table

    from twofold.cli.time_details import seconds

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("engine", no_wrap=True)
    headings = ("points", "start", "compile", "overhead", "GFLOP/s", "error")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for model in calibration.models.values():
        fitted = model.to_json()
        overhead = fitted["overhead_s"]
        table.add_row(
            model.engine,
            str(model.points),
            seconds(model.start_s),
            seconds(model.compile_s[0] + model.compile_s[2] + 3 * model.compile_s[1]),
            seconds(overhead["step"] + 3 * overhead["layers"] + 6 * overhead["slot layers"]),
            f"{largest_rate(calibration, model.engine) / 1e9:.0f}",
            f"{model.spread:.0%}",
        )
    table.caption = (
        "points: workloads measured; error: typical error of a step time; compile and "
        "overhead: fitted, of three layers and AdamW, without dropout; GFLOP/s: of the whole step, "
        "as measured on the workload with the most arithmetic"
    )
    return table


def largest_rate(calibration: Calibration, engine: str) -> float:
    """Operations of matrix products a second, measured where an engine had the most of them."""
    from twofold.studies.advice.workload import TERMS

    products = TERMS.index("products")
    own = [point for point in calibration.points if point.engine == engine]
    largest = max(own, key=lambda point: float(point.workload.terms()[products]))
    return float(largest.workload.terms()[products]) / largest.step_s
