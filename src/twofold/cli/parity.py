"""`twofold parity`: climb the ladder with every engine and print each rung's verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.processes import Coordinator, Process, Processes

if TYPE_CHECKING:
    from twofold.parity.judging.verdict import ParityReport
    from twofold.spec.experiment import Experiment, Precision


def parity(
    specs: Annotated[
        list[str], typer.Argument(help="Built-in experiments or TOML files.", metavar="SPEC...")
    ],
    engines: Annotated[
        str | None, typer.Option(help="Engines, comma-separated; default all.", metavar="LIST")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Of float32, float64, mixed_bfloat16, comma-separated; default the first two, "
            "and the spec's own.",
            metavar="LIST",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Steps of step-locked training in float32 (a quarter in float64); default 20.",
            metavar="N",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field; may be repeated."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write the report to this file.", metavar="FILE")
    ] = None,
    processes: Processes = None,
    coordinator: Coordinator = None,
    process: Process = None,
) -> None:
    """Certify engines against the oracle.

    Prints every rung. For one that fails it prints the worst element and the likely cause. Exit
    codes: 0 parity holds, 1 it does not, 2 the experiment cannot show it, 3 an engine could not
    run.
    """
    from twofold.cli.processes import enter
    from twofold.cli.time import asked_engines
    from twofold.engines import registry
    from twofold.files import require_writable
    from twofold.spec.experiment import Experiment

    precisions = _precisions(precision)
    experiments = [Experiment.load(spec, tuple(changes or ())) for spec in specs]
    asked = [asked_engines(engines, each) for each in experiments]
    require_writable("--json", json)
    named = dict.fromkeys(name for names in asked for name in names or ())
    world = enter(tuple(named), processes, coordinator, process)
    reports = [
        _certify(each, names or registry.default_engines(each), precisions, steps)
        for each, names in zip(experiments, asked, strict=True)
    ]
    if json is not None and world.first:
        _write(json, reports)
    raise typer.Exit(_exit_code(reports))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _precisions(text: str | None) -> tuple[Precision, ...] | None:
    from twofold.errors import SpecError
    from twofold.spec.experiment import PARAMETER_DTYPES

    if text is None:
        return None
    asked = _listed(text)
    unknown = [name for name in asked if name not in PARAMETER_DTYPES]
    if unknown or not asked:
        raise SpecError(f"--precision: {text!r} given; allowed is {', '.join(PARAMETER_DTYPES)}")
    return tuple(name for name in PARAMETER_DTYPES if name in asked)


def _certify(
    experiment: Experiment,
    engines: tuple[str, ...],
    precisions: tuple[Precision, ...] | None,
    steps: int | None,
) -> ParityReport:
    from rich.console import Console

    from twofold.cli.parity_view import print_report
    from twofold.engines.world import this_world
    from twofold.parity.certify import certify
    from twofold.parity.judging.subject import DEFAULT_STEPS

    console = Console(highlight=False)
    progress = Console(stderr=True, highlight=False, quiet=not this_world().first)
    with progress.status(f"{experiment.name}: preparing the oracle") as status:
        report = certify(
            experiment,
            engines=engines,
            precisions=precisions,
            steps=DEFAULT_STEPS if steps is None else steps,
            on_rung=lambda rung: status.update(
                f"{experiment.name}: {rung.engine} {rung.precision}, {rung.rung}: {rung.verdict}"
            ),
        )
    print_report(report, console)
    return report


def _write(path: Path, reports: list[ParityReport]) -> None:
    from twofold.results.json_files import write_json

    plain = [report.to_json() for report in reports]
    if len(plain) == 1:
        write_json(path, plain[0])
    else:
        write_json(path, {"schema": "twofold.parity-list/1", "reports": plain})
    typer.echo(f"written: {path}", err=True)


def _exit_code(reports: list[ParityReport]) -> int:
    """That of the gravest report: what diverges, what could not run, what shows nothing."""
    from twofold.parity.judging.verdict import EXIT_CODES

    codes = {EXIT_CODES[report.outcome] for report in reports}
    return 1 if 1 in codes else max(codes)
