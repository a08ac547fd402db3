"""`twofold time`: time engines side by side and say which differences are real."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.commands import INTERRUPTED

if TYPE_CHECKING:
    from twofold.spec.experiment import Experiment
    from twofold.timing.conditions import Conditions
    from twofold.timing.result import TimingResult

DIVERGES, NOTHING_SHOWN, FAILED = 1, 2, 3


def time(
    spec: Annotated[
        str, typer.Argument(help="A built-in experiment or a TOML file.", metavar="SPEC")
    ],
    engines: Annotated[
        str | None, typer.Option(help="Engines, comma-separated; default all.", metavar="LIST")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Processors and threads for each engine; default all.", metavar="N"),
    ] = None,
    cpus: Annotated[
        str | None,
        typer.Option(help="Processors to measure on, such as 0,2-3; default all.", metavar="LIST"),
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="Seconds of rounds, after the warm-up.", metavar="S")
    ] = 20.0,
    steps: Annotated[
        int | None,
        typer.Option(help="Steps to a result; default those of SPEC.", metavar="N", min=1),
    ] = None,
    batch_sizes: Annotated[
        str | None,
        typer.Option(
            help="Take batches of these sizes in turn: the cost of changing shapes.",
            metavar="LIST",
        ),
    ] = None,
    warm_cache: Annotated[
        bool,
        typer.Option(
            "--warm-cache/--no-warm-cache", help="Start once more with a full compile cache."
        ),
    ] = True,
    processes: Annotated[
        int,
        typer.Option(help="Processes of each engine: intervals then hold how these differ."),
    ] = 1,
    world: Annotated[
        int,
        typer.Option(
            help="Processes that share each batch, in the engines that can; others are one.",
            metavar="N",
        ),
    ] = 1,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field; may be repeated."),
    ] = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Time engines that have not passed parity, too.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(help="Write the result to this file.", metavar="FILE")
    ] = None,
) -> None:
    """Time engines side by side: cold start, step time, ratio.

    An engine that does not pass parity is not timed. Exit codes: 0 all well, 1 an engine diverges,
    2 bad input, or an experiment that leaves its range or shows no parity, 3 an engine could not
    run, 130 interrupted.
    """
    from rich.console import Console

    from twofold.cli.time_view import print_result
    from twofold.files import require_writable
    from twofold.spec.experiment import Experiment
    from twofold.timing.conditions import Conditions

    experiment = Experiment.load(spec, tuple(changes or ()))
    names = asked_engines(engines, experiment)
    require_writable("--json", json)
    conditions = Conditions(
        threads=threads,
        cpus=parse_numbers("--cpus", cpus) if cpus is not None else None,
        seconds=seconds,
        batch_sizes=parse_numbers("--batch-sizes", batch_sizes) if batch_sizes else (),
        warm_start=warm_cache,
        processes=processes,
        world=world,
    )
    result = watched(experiment, names, conditions, checked=not unchecked)
    _refuse_if_nothing_can_run(result)
    if json is not None:
        from twofold.results.json_files import write_json

        write_json(json, result.to_json(), non_finite="refuse")
    print_result(result, Console(highlight=False), steps=steps)
    if json is not None:
        typer.echo(f"written: {json}", err=True)
    raise typer.Exit(exit_code(result))


def exit_code(result: TimingResult) -> int:
    """The command's answer; an engine nobody asked for by name may lack its framework."""
    statuses = {engine.status for engine in result.engines}
    if result.interrupted:
        return INTERRUPTED
    if "failed" in statuses:
        return FAILED
    if "diverges" in statuses:
        return DIVERGES
    return NOTHING_SHOWN if statuses & {"out of range", "vacuous"} else 0


def asked_engines(text: str | None, *experiments: Experiment) -> tuple[str, ...] | None:
    """The engines named, all known and with their frameworks; None for the default.

    "all" is for all that can express the experiments.

    Raises BadInput.
    """
    from twofold.engines import registry
    from twofold.errors import BadInput

    if text is None:
        return None
    if text.strip() == "all":
        return registry.default_engines(*experiments)
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise BadInput(
            f"--engines: {text!r} given; allowed is all, or a list such as torch:eager,flax:jit"
        )
    registry.require_engines(names, *experiments)
    return names


def parse_numbers(option: str, text: str) -> tuple[int, ...]:
    """Whole numbers such as "0,2-3". Raises BadInput."""
    from twofold.errors import BadInput

    found: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not (first.isdecimal() and (last.isdecimal() if dash else True)):
            raise BadInput(f"{option}: {text!r} given; allowed are numbers such as 0,2-3")
        found += range(int(first), int(last or first) + 1)
    return tuple(dict.fromkeys(found))


def _refuse_if_nothing_can_run(result: TimingResult) -> None:
    from twofold.errors import DeviceUnavailable

    if all(engine.status == "unavailable" for engine in result.engines):
        reasons = dict.fromkeys(engine.reason for engine in result.engines)
        raise DeviceUnavailable("\n".join(reasons))


def watched(
    experiment: Experiment,
    engines: Sequence[str] | None,
    conditions: Conditions,
    *,
    checked: bool = True,
) -> TimingResult:
    """`twofold.timing.measure`, and a line that shows how far it is."""
    from rich.console import Console

    from twofold.cli.time_view import ProgressLine
    from twofold.timing.measure import CERTIFIED, measure

    with ProgressLine(experiment.name, Console(stderr=True, highlight=False)) as line:
        return measure(
            experiment,
            engines=engines,
            conditions=conditions,
            certification=CERTIFIED if checked else None,
            on_progress=line.show,
        )
