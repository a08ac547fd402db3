"""`twofold outcome`: does the choice of framework change the final metric?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.options import listed

if TYPE_CHECKING:
    from rich.console import Console

    from twofold.spec.experiment import Experiment
    from twofold.studies.outcome import OutcomeResult


def outcome(
    spec: Annotated[
        str, typer.Argument(help="A built-in experiment or a TOML file.", metavar="SPEC")
    ],
    seeds: Annotated[int, typer.Option(help="Seeds for each engine.", metavar="K")] = 20,
    margin: Annotated[
        float | None,
        typer.Option(
            help="The largest difference that does not matter; default 0.01 of accuracy, "
            "0.02 of R^2.",
            metavar="M",
        ),
    ] = None,
    engines: Annotated[
        str | None,
        typer.Option(
            help="Engines, comma-separated; default torch:eager,flax:jit.", metavar="LIST"
        ),
    ] = None,
    together: Annotated[
        bool,
        typer.Option("--together", help="Train all seeds of an engine in one step, by vmap."),
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field; may be repeated."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write the result to this file.", metavar="FILE")
    ] = None,
) -> None:
    """Train many seeds with each framework's own random numbers and compare the final metric.

    Two one-sided Welch tests, with a margin that is set before the runs, say: equivalent, different
    or undecided.
    Exit codes: 0 all well, 2 bad input, or a training that diverges with every seed.
    """
    from rich.console import Console

    from twofold.files import require_writable
    from twofold.results.json_files import write_json
    from twofold.spec.experiment import Experiment
    from twofold.studies.outcome import ENGINES

    experiment = Experiment.load(spec, tuple(changes or ()))
    require_writable("--json", json)
    asked = listed(engines)
    result = _measure(experiment, seeds, margin, ENGINES if asked is None else asked, together)
    print_result(result, Console(highlight=False))
    if json is not None:
        write_json(json, result.to_json(), non_finite="refuse")
        typer.echo(f"written: {json}", err=True)
    if result.all_diverged:
        raise typer.Exit(2)


def _measure(
    experiment: Experiment,
    seeds: int,
    margin: float | None,
    engines: tuple[str, ...],
    together: bool,
) -> OutcomeResult:
    from rich.console import Console

    from twofold.studies.outcome import measure

    progress = Console(stderr=True, highlight=False)
    with progress.status(f"{experiment.name}: preparing the data") as status:
        return measure(
            experiment,
            seeds=seeds,
            margin=margin,
            engines=engines,
            together=together,
            on_progress=lambda engine, number: status.update(
                f"{experiment.name}: {engine}, seed {number} of {seeds}"
            ),
        )


def print_result(result: OutcomeResult, console: Console) -> None:
    """Each engine's mean and spread, then the verdict on every two."""
    from statistics import fmean, stdev

    from rich.markup import escape

    name = result.experiment.name
    console.print(f"[bold]{name}: test {result.metric}, margin {result.margin:g}[/]")
    for sample in result.samples:
        values = sample.finished
        lost = len(sample.values) - len(values)
        words = f"{len(values)} seeds"
        if len(values) > 1:
            words += f", mean {fmean(values):.4f}, standard deviation {stdev(values):.4f}"
        console.print(f"  {sample.engine:14} {words}" + (f", {lost} diverged" if lost else ""))
        if sample.certified is not None:
            console.print(f"    {sample.certified}")
    console.print(f"  {'without inputs':14} {result.baseline:.4f}")
    if result.all_diverged:
        from twofold.parity.judging.verdict import range_advice

        console.print(
            "every run of every engine left the range of its numbers, so the training itself "
            f"diverges: {escape(range_advice(result.experiment))}"
        )
    for pair in result.pairs:
        console.print(f"{pair.left} and {pair.right}: [bold]{pair.verdict}[/]: {pair.reason}")
        if pair.comparison is not None:
            console.print(
                f"  p of equivalence {pair.comparison.p_equivalence:.2g}, "
                f"of no difference {pair.comparison.p_equal:.2g}"
            )
        for difference in pair.differences:
            console.print(f"  their own {difference.words}")
        for exchanged in pair.exchanged:
            console.print(f"  {exchanged.words}")
