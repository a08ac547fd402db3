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
    """Print a resolved spec, its parameter counts, and the columns and classes of its data.

    The spec is TOML, the summary of model and data stands in comments, so that the
    output is a spec itself: twofold show digits --set seed=1 > mine.toml
    """
    from twofold.spec import toml
    from twofold.spec.experiment import Experiment

    if json_schema:
        import json

        typer.echo(json.dumps(toml.json_schema(Experiment), indent=2))
        return
    if spec is None:
        raise typer.BadParameter("give a built-in experiment or a TOML file", param_hint="SPEC")
    from twofold.cli.show_data import data_lines
    from twofold.problem.data import prepare
    from twofold.problem.summary import summarize

    problem = prepare(Experiment.load(spec, changes or ()))
    typer.echo(toml.dump(problem.experiment))
    model = [*_rendered(summarize(problem)), "", *_sizes(problem), *_optimizing(problem)]
    comments = [*model, "", *data_lines(problem)]
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
    most = "at most" if problem.experiment.training.patience is not None else "in all"
    between = "" if problem.validation is None else f"{problem.validation.rows:,} validation rows, "
    lines = [
        f"{problem.train.rows:,} training rows, {between}{problem.test.rows:,} test rows",
        f"{steps:,} steps an epoch, {problem.total_steps:,} steps {most}",
    ]
    count, rows = problem.experiment.training.micro_batches, problem.experiment.data.batch_size
    if count > 1:
        first = parts_of(rows, count)[0]
        lines.append(f"batches of {rows:,} rows in {count:,} parts of {first.stop:,} or fewer")
    return lines


def _optimizing(problem: Problem) -> list[str]:
    """What a schedule makes of the learning rate, and what does not decay."""
    from twofold.parity.oracle.arithmetic import arithmetic_for
    from twofold.parity.oracle.schedule import learning_rate
    from twofold.problem.problem import initial_parameters

    lines, optimizer = [], problem.experiment.optimizer
    if optimizer.schedule.kind != "constant":
        steps = sorted({0, problem.total_steps // 2, problem.total_steps - 1})
        arithmetic = arithmetic_for("float32")
        rates = [float(learning_rate(optimizer, step, arithmetic).value) for step in steps]
        words = [f"{rate:.4g} at step {step:,}" for step, rate in zip(steps, rates, strict=True)]
        lines.append(f"learning rate {', '.join(words)} (counted from 0)")
    if optimizer.weight_decay > 0 and not optimizer.decay_biases:
        arrays = initial_parameters(problem).values()
        decay = sum(array.size for array in arrays if array.ndim > 1)
        total = sum(array.size for array in arrays)
        lines.append(f"{decay:,} of {total:,} parameters decay")
    return lines
