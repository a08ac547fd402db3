"""`twofold diverge`: how far engines drift apart when nothing corrects them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.options import listed

if TYPE_CHECKING:
    from rich.console import Console

    from twofold.spec.experiment import Experiment
    from twofold.studies.distances import Curve
    from twofold.studies.divergence import DivergenceResult


def diverge(
    spec: Annotated[
        str, typer.Argument(help="A built-in experiment or a TOML file.", metavar="SPEC")
    ],
    steps: Annotated[int, typer.Option(help="Training steps.", metavar="N")] = 1000,
    engines: Annotated[
        str | None, typer.Option(help="Engines, comma-separated; default all.", metavar="LIST")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field; may be repeated."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write the result to this file.", metavar="FILE")
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(help="Write a chart to this SVG file.", metavar="FILE")
    ] = None,
) -> None:
    """Let engines train freely and measure how far their parameters drift apart.

    Correct programs drift apart as well, so distances are not judged. The noise floor beside them
    shows how far one engine drifts from itself when only the order of sums changes. Exit code 2 if
    a run leaves the range of its numbers.
    """
    from rich.console import Console

    from twofold.files import require_writable
    from twofold.results.json_files import write_json
    from twofold.spec.experiment import Experiment

    experiment = Experiment.load(spec, tuple(changes or ()))
    require_writable("--json", json)
    require_writable("--chart", chart)
    if chart is not None:
        _require_charts()
    result = _measure(experiment, steps, listed(engines))
    print_result(result, Console(highlight=False))
    if json is not None:
        write_json(json, result.to_json())
        typer.echo(f"written: {json}", err=True)
    if chart is not None:
        _write_chart(chart, result)
        typer.echo(f"written: {chart}", err=True)
    if result.not_finite:
        raise typer.Exit(2)


def _require_charts() -> None:
    import importlib.util

    from twofold.errors import FrameworkMissing

    missing = [name for name in ("altair", "vl_convert") if not importlib.util.find_spec(name)]
    if missing:
        raise FrameworkMissing(
            f"--chart: {', '.join(missing)} not installed; install with: "
            "pip install 'twofold[guide]'"
        )


def _measure(
    experiment: Experiment, steps: int, engines: tuple[str, ...] | None
) -> DivergenceResult:
    from rich.console import Console

    from twofold.studies.divergence import measure

    progress = Console(stderr=True, highlight=False)
    with progress.status(f"{experiment.name}: preparing the data") as status:
        return measure(
            experiment,
            steps=steps,
            engines=engines,
            on_progress=lambda words: status.update(f"{experiment.name}: {words}"),
        )


def _write_chart(path: Path, result: DivergenceResult) -> None:
    from twofold.files import write_text
    from twofold.report.divergence_chart import chart
    from twofold.report.style import to_svg

    write_text(path, to_svg(chart(result.to_json())))


def print_result(result: DivergenceResult, console: Console) -> None:
    """A table of distances at steps a decade apart, then which tensors part first."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from twofold.studies.distances import PARTED

    places = decades(result.steps)
    table = Table(
        title=f"{result.experiment.name}: |difference of parameters| / |parameters|",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("runs")
    for place in places:
        table.add_column(f"step {result.steps[place]:,}", justify="right")
    for curve in result.curves:
        table.add_row(name_of(curve), *(_distance(curve.distance[place]) for place in places))
    console.print(table)
    console.print(f"float64: {result.reference}; noise floor: the same run with its")
    console.print(f"{', '.join(result.symmetries)} permuted, then put back\n")
    for curve in result.curves:
        console.print(f"{name_of(curve)}: {parting_words(curve, PARTED)}")
    for line in _beyond_the_range(result):
        console.print(escape(line))


def _distance(distance: float) -> str:
    return f"{distance:.1e}" if math.isfinite(distance) else "not finite"


def _beyond_the_range(result: DivergenceResult) -> Iterator[str]:
    """Which runs leave the range of their numbers, why, and what helps."""
    from twofold.parity.judging.verdict import range_advice

    if not result.not_finite:
        return
    yield ""
    yield from (run.words for run in result.not_finite)
    if result.beyond_float32 is None:
        yield (
            "in float64 the parameters stay in the range of float32, so the engine or an "
            f"intermediate number is at fault: run twofold parity {result.experiment.name}"
        )
        return
    yield (
        f"the training itself leaves the range of float32: in float64, a parameter is beyond it "
        f"at step {result.beyond_float32:,}; {range_advice(result.experiment)}"
    )


def decades(steps: tuple[int, ...]) -> list[int]:
    """Places of the steps nearest to 1, 10, 100, ..., and of the last."""
    wanted = [10**power for power in range(7) if 10**power < steps[-1]]
    near = [min(range(len(steps)), key=lambda i: abs(steps[i] - want)) for want in wanted]
    return list(dict.fromkeys([*near, len(steps) - 1]))


def name_of(curve: Curve) -> str:
    """`torch:eager from float64`, `torch:eager from flax:jit`, `torch:eager, noise floor`."""
    if curve.kind == "noise floor":
        return f"{curve.left}, noise floor"
    return f"{curve.left} from {curve.right}"


def parting_words(curve: Curve, threshold: float) -> str:
    """Which tensors part first or are the first not to be finite; the farthest if none does."""
    if not curve.partings:
        farthest = max(curve.tensors, key=lambda name: curve.tensors[name][-1])
        return f"not parted at step {curve.steps[-1]:,} (farthest: {farthest})"
    first = curve.partings[0].step
    together = [part.tensor for part in curve.partings if part.step == first]
    at_first = (curve.tensors[name][curve.steps.index(first)] for name in together)
    what = f"above {threshold:g}" if all(map(math.isfinite, at_first)) else "not finite"
    return f"first {what} at step {first:,}: {', '.join(together)}"
