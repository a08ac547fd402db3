"""Charts of a sweep: who is ahead where, and how step times grow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from twofold.errors import FrameworkMissing
from twofold.files import write_text
from twofold.results.stored import read_result
from twofold.studies.sweep import SCHEMA, StoredSweep

COLOURS: Final = ("#0072B2", "#F7F7F7", "#D55E00")  # Flax ahead, level, PyTorch ahead
CELL_WIDTH: Final = 118  # pixels: the longest name of an engine fits in
CELL_HEIGHT: Final = 56


def write_charts(path: Path, folder: Path) -> list[Path]:
    """Draw the sweep in a file; returns the SVG files. Raises FrameworkMissing without Altair."""
    try:
        from twofold.report.style import to_svg
    except ImportError as error:
        raise FrameworkMissing(
            f"charts: {error.name} not installed; install with: pip install 'twofold[guide]'"
        ) from error
    sweep = read_result(path, SCHEMA, StoredSweep)
    written = []
    for name, chart in (("heat", heat_map(sweep)), ("scaling", scaling_curves(sweep))):
        target = folder / f"{path.stem}-{name}.svg"
        write_text(target, to_svg(chart))
        written.append(target)
    return written


def heat_map(sweep: Mapping[str, Any]) -> dict[str, Any]:
    """Ratio between the best engines of the two frameworks, batch by width, one panel a depth.

    Grey: the ratio could not be measured. The text says who is ahead, "=" where nobody is.
    """
    import altair as alt

    rows = [_cell(point) for point in sweep["points"]]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("batch:O", title="batch size", sort="ascending"),
        y=alt.Y("width:O", title="units of a hidden layer", sort="descending"),
    )
    scale = alt.Scale(domain=[-2, 0, 2], range=list(COLOURS), clamp=True)
    legend = alt.Legend(title="log2 of the step time, Flax / PyTorch", titleLimit=0)
    panel = alt.layer(
        base.mark_rect(color="#bbbbbb"),
        base.mark_rect().encode(color=alt.Color("log2:Q", scale=scale, legend=legend)),
        base.mark_text(fontSize=11, lineBreak="\n").encode(text="label:N"),
    ).properties(width=alt.Step(CELL_WIDTH), height=alt.Step(CELL_HEIGHT))
    chart = panel.facet(column=alt.Column("depth:O", title="hidden layers"))
    return _finished(chart.properties(title="Step time of the best engines: who is ahead"))


def scaling_curves(sweep: Mapping[str, Any]) -> dict[str, Any]:
    """Step time of each engine over the width, one panel for each batch size and depth."""
    import altair as alt

    from twofold.report.style import EngineStyle

    style = EngineStyle(tuple(sweep["engines"]), legend=True)
    rows = [
        {
            "batch": point["batch"],
            "width": point["width"],
            "depth": point["depth"],
            "engine": entry["engine"],
            "step": entry["step_s"]["median"] * 1e3,
        }
        for point in sweep["points"]
        for entry in point["engines"]
        if entry["step_s"]
    ]
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("width:Q", scale=alt.Scale(type="log", base=2), title="units"),
            y=alt.Y("step:Q", scale=alt.Scale(type="log"), title="step, milliseconds"),
            color=style.colour(),
            shape=style.shape(),
        )
        .properties(width=220, height=160)
        .facet(
            column=alt.Column("batch:O", title="batch size"),
            row=alt.Row("depth:O", title="hidden layers"),
        )
    )
    return _finished(chart.properties(title="Step time over width"))


def _cell(point: Mapping[str, Any]) -> dict[str, Any]:
    """One cell of the heat map."""
    from math import log2

    cell = {name: point[name] for name in ("batch", "width", "depth")}
    ratio = point["ratio"]
    if ratio is None or ratio["median"] is None:
        return {**cell, "log2": None, "label": "?"}
    ahead = {"faster": ratio["engine"], "slower": ratio["reference"]}.get(ratio["outcome"])
    size = max(ratio["median"], 1 / ratio["median"])
    label = f"{ahead}\n{size:.2f}x" if ahead else "="
    return {**cell, "log2": log2(ratio["median"]), "label": label}


def _finished(chart: Any) -> dict[str, Any]:
    """The chart as Vega-Lite, in the look of the guide's charts."""
    from twofold.report.style import finish

    return finish(chart)
