"""`twofold train`: train in one engine to the end, and leave a model in a folder."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.processes import Coordinator, Process, Processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from twofold.engines.session import Session
    from twofold.engines.training import TrainingResult
    from twofold.engines.validation import Validation
    from twofold.runs.metrics import Line


def train(
    spec: Annotated[
        str, typer.Argument(help="A built-in experiment or a TOML file.", metavar="SPEC")
    ],
    engine: Annotated[
        str | None,
        typer.Option(
            help="The engine that trains; twofold doctor lists them. Default: PyTorch's quickest "
            "for so many steps.",
            metavar="E",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The run's folder; default runs/NAME-BACKEND-ENGINE.", metavar="DIR"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder.")
    ] = False,
    every_steps: Annotated[
        int | None,
        typer.Option(
            "--checkpoint-steps", help="Write a checkpoint after every N steps.", metavar="N"
        ),
    ] = None,
    every_seconds: Annotated[
        float,
        typer.Option(
            "--checkpoint-seconds",
            help="And at the end of an epoch when the last one is this old.",
            metavar="S",
        ),
    ] = 60.0,
    in_parts: Annotated[
        bool | None,
        typer.Option(
            "--checkpoint-parts/--no-checkpoint-parts",
            help="Each process writes its part of a checkpoint. Default: where the engine's state "
            "lies in parts.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field; may be repeated."),
    ] = None,
    processes: Processes = None,
    coordinator: Coordinator = None,
    process: Process = None,
) -> None:
    """Train to the end, score the test rows, and write the model.

    The folder then has model.safetensors (for twofold predict), metrics.jsonl, result.json and
    curves.svg. A run that was stopped, in whatever way, goes on with --resume and the same spec,
    engine and --checkpoint-steps: it ends with the same bits as one that never stopped.

    Exit codes: 0 trained, 2 bad input or a training that left the range of its numbers, 3 the
    engine could not run, 130 interrupted.
    """
    from rich.console import Console

    from twofold.backends.programs import keep_programs
    from twofold.cli.processes import enter, folder_of
    from twofold.commands import INTERRUPTED
    from twofold.engines import registry
    from twofold.problem.data import prepare
    from twofold.runs.run import run
    from twofold.spec.experiment import Experiment

    experiment = Experiment.load(spec, tuple(changes or ()))
    if engine is None and resume:
        engine = _engine_of_run(experiment.name, output)
    if engine is not None:
        registry.require_framework(registry.find_engine(engine)[0])
    problem = prepare(experiment)
    if engine is None:
        choice = registry.default_engine(problem, problem.total_steps)
        engine = choice.engine
        typer.echo(f"engine: {engine}: {choice.reason}", err=True)
    owner, description = registry.find_engine(engine)
    if not description.processes:
        keep_programs(owner)
    # Only now: reading a large table may take long, and nothing in JAX has begun.
    with _interruptions(processes) as stop_if_interrupted:
        world = enter((engine,), processes, coordinator, process)
        folder = output or Path("runs") / f"{experiment.name}-{engine.replace(':', '-')}"
        console = Console(stderr=True, highlight=False, quiet=not world.first)
        with console.status(f"{experiment.name}: opening {engine}"):
            session = registry.open_session(problem, engine)
        stop_if_interrupted()
        try:
            with folder_of(world, folder, resume=resume) as place:
                start = partial(
                    run,
                    session,
                    place,
                    resume=resume,
                    every_steps=every_steps,
                    every_seconds=every_seconds,
                    in_parts=in_parts,
                    shared=folder,
                )
                result = _trained(session, start, console, stop_if_interrupted)
        except KeyboardInterrupt:
            typer.echo(f"interrupted; go on with: --resume --output {folder}", err=True)
            raise typer.Exit(INTERRUPTED) from None
        if world.first:
            _draw(folder, console)
        for line in summary(result, folder):
            typer.echo(line)
        if result.outcome != "finished":
            raise typer.Exit(2)


def _interruptions(processes: int | None) -> AbstractContextManager[Callable[[], None]]:
    """Let interruptions wait until the function given here is called, in a process on its own.

    One of several processes may wait for another that has ended: it must not wait for a boundary.
    """
    from twofold.commands import interruptions_wait
    from twofold.engines.world import this_world

    if processes in (None, 1) and this_world().size == 1:
        return interruptions_wait()
    return nullcontext(lambda: None)


def _engine_of_run(name: str, output: Path | None) -> str | None:
    """The engine of the run to go on with: in the folder given, else the newest in runs/."""
    from twofold.runs.folder import RunFolder

    folders = [output] if output else Path("runs").glob(f"{name}-*")
    headers = [header for each in folders if (header := RunFolder(each).header).is_file()]
    if not headers:
        return None
    return RunFolder(max(headers, key=lambda header: header.stat().st_mtime).parent).engine()


def _trained(
    session: Session,
    start: Callable[..., TrainingResult],
    console: Console,
    stop_if_interrupted: Callable[[], None],
) -> TrainingResult:
    """Train with a bar of progress on the terminal, and notes above it; `start` wants `events`."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from twofold.runs.run import Events

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("steps", total=session.problem.total_steps)

        def on_line(line: Line) -> None:
            loss = "not finite" if line.loss is None else f"{line.loss:.4g}"
            validated = line.validation_loss
            more = "" if validated is None else f", validation {validated:.4g}"
            words = f"epoch {line.epoch}, loss {loss}{more}, step"
            bar.update(task, completed=line.step, description=words)

        return start(events=Events(on_line, console.print, stop_if_interrupted))


def _draw(folder: Path, console: Console) -> None:
    """The curve of the loss as a picture, if the libraries that draw are there."""
    import importlib.util

    from twofold.files import write_text
    from twofold.runs import metrics
    from twofold.runs.folder import RunFolder

    missing = [name for name in ("altair", "vl_convert") if not importlib.util.find_spec(name)]
    if missing:
        console.print(
            f"no picture of the curve: {', '.join(missing)} not installed; "
            "install with: pip install 'twofold[guide]'"
        )
        return
    from twofold.report.run_chart import chart
    from twofold.report.style import to_svg

    place = RunFolder(folder)
    lines = metrics.read(place.metrics)
    training = [(line.step, line.loss) for line in lines]
    validation = [(line.step, line.validation_loss) for line in lines]
    write_text(place.curves, to_svg(chart(training, validation)))


def summary(result: TrainingResult, folder: Path) -> list[str]:
    """What became of the training, in lines for a person."""
    length = f"{result.steps:,} steps in {result.training_seconds:.1f} s"
    if result.score is not None:
        score = result.score
        first = (
            f"test {score.name} {score.value:.4f} (ignoring the inputs: {score.baseline:.4f}) "
            f"on {score.rows:,} rows; {length}"
        )
    elif result.outcome == "finished":
        first = f"no test metric: {result.note or 'the experiment has no test rows'}; {length}"
    else:
        first = (
            "the training left the range of its numbers: a loss or logit was not finite; "
            f"{length}; lower optimizer.learning_rate, or set optimizer.clip_norm"
        )
    validated = [] if result.validation is None else [_best_epoch(result, result.validation)]
    model = ["model", "result"] if result.outcome == "finished" else ["result"]
    names = {"model": "model.safetensors", "result": "result.json"}
    return [first, *validated, *(f"{each}: {folder / names[each]}" for each in model)]


def _best_epoch(result: TrainingResult, found: Validation) -> str:
    """Which epoch's model was kept, and why the training ended where it did."""
    patience = result.experiment.training.patience
    end = f", stopped after {patience} without a better one" if found.stopped else ""
    return (
        f"best epoch {found.epoch} of {len(result.epochs)}{end}: validation loss "
        f"{found.loss:.4g} on {found.rows:,} rows"
    )
