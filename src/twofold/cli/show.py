"""`twofold show`: an experiment with everything resolved, and its model's parameter counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from twofold.problem.problem import Problem
    from twofold.problem.summary import ModelSummary


def show(
    spec: Annotated[
        str | None, typer.Argument(help="A built-in experiment or a TOML file.", metavar="SPEC")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field; may be repeated."),
    ] = None,
    json_schema: Annotated[
        bool, typer.Option("--json-schema", help="Print the JSON Schema of specs, for editors.")
    ] = False,
) -> None:
    """Print a resolved spec and its parameter counts.

    The spec is TOML, the summary of its model stands in comments, so that the
    output is a spec itself: twofold show digits --set seed=1 > mine.toml
    """
    from twofold.spec import toml

    if json_schema:
        import json

        typer.echo(json.dumps(toml.json_schema(), indent=2))
        return
    if spec is None:
        raise typer.BadParameter("give a built-in experiment or a TOML file", param_hint="SPEC")
    from twofold.problem.data import prepare
    from twofold.problem.summary import summarize

    problem = prepare(toml.load(spec, changes or ()))
    typer.echo(toml.dump(problem.experiment))
    comments = [*_rendered(summarize(problem)), "", *_sizes(problem)]
    typer.echo("\n".join(f"# {line}".rstrip() for line in comments))


def _rendered(summary: ModelSummary) -> list[str]:
    """The summary as lines of plain text, narrow enough for 80 columns."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=True)
    table.add_column("name", footer="total", no_wrap=True)
    table.add_column("layer")
    table.add_column("input", justify="right")
    table.add_column("output", justify="right")
    table.add_column("parameters", footer=f"{summary.parameters:,}", justify="right")
    for layer in summary.layers:
        table.add_row(
            layer.name,
            layer.kind,
            f"(batch, {layer.in_features})",
            f"(batch, {layer.out_features})",
            f"{layer.parameters:,}" if layer.parameters else "",
        )
    console = Console(width=76, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    return [line for line in capture.get().splitlines() if line.strip()]


def _sizes(problem: Problem) -> list[str]:
    from twofold.problem.micro_batches import parts_of

    steps = problem.steps_per_epoch
    lines = [
        f"{problem.train.rows:,} training rows, {problem.test.rows:,} test rows",
        f"{steps:,} steps an epoch, {problem.total_steps:,} steps in all",
    ]
    count, rows = problem.experiment.training.micro_batches, problem.experiment.data.batch_size
    if count > 1:
        most = parts_of(rows, count)[0]
        lines.append(f"batches of {rows:,} rows in {count:,} parts of {most.stop:,} or fewer")
    return lines
