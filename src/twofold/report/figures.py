"""The guide's charts; the same chart gives the SVG and the interactive one of the web page."""

from __future__ import annotations

import math
from typing import Any, Final

import altair as alt

from twofold.report import wording
from twofold.report.parity_findings import ParityFindings, RungFinding, is_finite, unique
from twofold.report.style import INK, MUTED, Chart, EngineStyle, finish
from twofold.report.time_to_result import MeasuredEngine
from twofold.report.timing_findings import ExperimentTiming, UnmeasuredEngine

Row = dict[str, Any]

SMALLEST_RATIO: Final = 1e-4
"""Ratios below this are drawn here: a logarithmic axis has no place for 0."""
MICROSECONDS: Final = (
    "datum.value < 1e3 ? datum.value + ' µs' : "
    "datum.value < 1e6 ? datum.value / 1e3 + ' ms' : datum.value / 1e6 + ' s'"
)


def step_time_chart(timing: tuple[ExperimentTiming, ...]) -> Chart | None:
    """Step time of each engine with its interval, one panel for each experiment."""
    measured = [engine for item in timing for engine in item.measured]
    if not measured:
        return None
    lowest = min(engine.low for engine in measured) * 1e6
    highest = max(engine.high for engine in measured) * 1e6
    scale = alt.Scale(type="log", domain=[lowest * 0.8, highest * 4], nice=False)  # room for labels
    style = EngineStyle(_all_engines(timing))
    panels = [_step_time_panel(item, scale, style, item is timing[-1]) for item in timing]
    return finish(alt.vconcat(*panels, spacing=14))


def _step_time_panel(item: ExperimentTiming, scale: Any, style: EngineStyle, last: bool) -> Any:
    rows = [_step_time_row(engine, scale.domain[0]) for engine in item.engines]
    measured = [row for row in rows if "step" in row]
    title = "step time, logarithmic scale; bar: interval of the median"
    values = powers_of_ten(*scale.domain)
    axis = alt.Axis(
        title=title if last else None, labels=last, values=values, labelExpr=MICROSECONDS
    )
    y = alt.Y("engine:N", sort=[row["engine"] for row in rows], title=None)

    def x(field: str) -> Any:
        return alt.X(f"{field}:Q", scale=scale, axis=axis)

    everything = alt.Chart(alt.InlineData(values=rows), title=item.experiment).encode(y=y)
    base = alt.Chart(alt.InlineData(values=measured)).encode(y=y, color=style.colour())
    return alt.layer(
        everything.mark_text(align="left", dx=9, color=INK, fontSize=11).encode(
            x=x("label_at"), text="label:N"
        ),
        base.mark_rule(strokeWidth=4, opacity=0.45).encode(x=x("low"), x2="high:Q"),
        base.mark_point(filled=True, size=70, opacity=1).encode(
            x=x("step"), shape=style.shape(), tooltip=["engine:N", "label:N", "interval:N"]
        ),
    ).properties(width=520, height=25 * len(rows))


def _step_time_row(engine: MeasuredEngine | UnmeasuredEngine, left: float) -> Row:
    if isinstance(engine, UnmeasuredEngine):
        label = f"could not be measured: {engine.status}"
        return {"engine": engine.engine, "label_at": left, "label": label}
    return {
        "engine": engine.engine,
        "step": engine.step * 1e6,
        "low": engine.low * 1e6,
        "high": engine.high * 1e6,
        "label_at": engine.high * 1e6,
        "label": wording.duration(engine.step),
        "interval": wording.interval(engine.low, engine.high),
    }


def time_to_result_chart(timing: tuple[ExperimentTiming, ...]) -> Chart | None:
    """Time to the end of n steps by engine: cold start, then step after step."""
    shown = [item for item in timing if item.measured]
    if not shown:
        return None
    style = EngineStyle(_all_engines(timing))
    panels = [_time_panel(item, item.steps, style) for item in shown]
    rows = [alt.hconcat(*panels[i : i + 2], spacing=12) for i in range(0, len(panels), 2)]
    return finish(alt.vconcat(*rows, spacing=18))


def _time_panel(item: ExperimentTiming, own_steps: int | None, style: EngineStyle) -> Any:
    last = _last_step(item, own_steps)
    times = [engine.time_to(steps) for engine in item.measured for steps in (1, last)]
    x = alt.X(
        "steps:Q",
        scale=alt.Scale(type="log", domain=[1, last], nice=False),
        axis=alt.Axis(
            title="training steps", format="~s", values=powers_of_ten(1, last), grid=False
        ),
    )
    y = alt.Y(
        "seconds:Q",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(
            title="seconds to the result", format="~g", values=powers_of_ten(min(times), max(times))
        ),
    )
    layers = [
        *_own_steps_layer(own_steps, x),
        *_line_layers(item, last, x, y, style),
        *_break_even_layers(item, x, y),
    ]
    title = item.experiment + (f", its own {own_steps:,} steps" if own_steps else "")
    return alt.layer(*layers).properties(title=title, width=235, height=210)


def _own_steps_layer(own_steps: int | None, x: Any) -> list[Any]:
    if own_steps is None:
        return []
    data = alt.InlineData(values=[{"steps": own_steps}])
    return [alt.Chart(data).mark_rule(strokeDash=[3, 3], color=MUTED).encode(x=x)]


def _line_layers(item: ExperimentTiming, last: float, x: Any, y: Any, style: EngineStyle) -> Any:
    lines = [point for engine in item.measured for point in _line(engine, last)]
    heights = label_heights({engine.engine: engine.time_to(last) for engine in item.measured})
    labels = [{"engine": name, "steps": last, "seconds": at} for name, at in heights.items()]
    tooltip = [
        "engine:N",
        alt.Tooltip("steps:Q", format=",.0f"),
        alt.Tooltip("seconds:Q", format=".3g"),
    ]
    at = {"x": x, "y": y}
    ends = alt.Chart(alt.InlineData(values=labels))
    return [
        alt.Chart(alt.InlineData(values=lines))
        .mark_line(strokeWidth=2.5)
        .encode(tooltip=tooltip, color=style.colour(), **at),
        ends.mark_point(filled=True, size=55, opacity=1, xOffset=9).encode(
            color=style.colour(), shape=style.shape(), **at
        ),
        ends.mark_text(align="left", dx=17, fontSize=11, color=INK).encode(text="engine:N", **at),
    ]


def _line(engine: MeasuredEngine, last: float, pieces: int = 40) -> list[Row]:
    numbers = [last ** (i / pieces) for i in range(pieces + 1)]
    return [{"engine": engine.engine, "steps": n, "seconds": engine.time_to(n)} for n in numbers]


def _break_even_layers(item: ExperimentTiming, x: Any, y: Any) -> list[Any]:
    points = []
    for even in item.break_evens:
        if even.high is None:  # the step times cannot be told apart: there may be no such point
            continue
        starter = item.named(even.starter)
        seconds = starter.time_to(even.steps)
        points.append(
            {"steps": even.steps, "seconds": seconds, "label": f"{wording.steps(even.steps)} steps"}
        )
    if not points:
        return []
    base = alt.Chart(alt.InlineData(values=points)).encode(x=x, y=y)
    text = base.mark_text(align="right", dx=-8, dy=-8, color=INK, fontSize=11)
    return [
        base.mark_point(size=70, color=INK, fill="white", opacity=1, strokeWidth=1.8),
        text.encode(text="label:N"),
    ]


def _last_step(item: ExperimentTiming, own_steps: int | None) -> float:
    """A power of ten beyond the last break-even and the experiment's own training."""
    farthest = max([*(even.steps for even in item.break_evens), own_steps or 1, 1000])
    return float(10 ** math.ceil(math.log10(farthest * 3)))


def label_heights(ends: dict[str, float], gap: float = 1.9) -> dict[str, float]:
    """Heights for labels on a logarithmic axis: in order, each at least `gap` times the last."""
    placed: dict[str, float] = {}
    floor = 0.0
    for name, height in sorted(ends.items(), key=lambda end: (end[1], end[0])):
        placed[name] = max(height, floor)
        floor = placed[name] * gap
    return placed


def parity_chart(parity: ParityFindings) -> Chart | None:
    """How much of its bound each rung uses, by precision; 1 is the bound."""
    points = [point for rung in parity.rungs for point in _parity_points(rung)]
    if not points:
        return None
    style = EngineStyle(parity.engines, legend=True)
    largest = max([10.0, *(point["ratio"] * 2 for point in points)])
    rungs = list(unique(point["rung"] for point in points))
    panels: list[Any] = []
    for precision in parity.precisions:
        own = [point for point in points if point["precision"] == precision]
        panel = _parity_panel(own, rungs, largest, style, labels=not panels)
        panels.append(panel.properties(title=precision, width=250, height=40 * len(rungs)))
    return finish(alt.hconcat(*panels, spacing=16))


def _parity_points(rung: RungFinding) -> list[Row]:
    row = {
        "rung": rung.rung,
        "engine": rung.engine,
        "precision": rung.precision,
        "experiment": rung.experiment,
        "verdict": rung.verdict,
    }
    ratios = {"judged": rung.worst_ratio, "without explanation": rung.ratio_without}
    return [
        row | {"kind": kind, "exact": ratio, "ratio": max(ratio or 0.0, SMALLEST_RATIO)}
        for kind, ratio in ratios.items()
        if is_finite(ratio)
    ]


def _parity_panel(
    points: list[Row], rungs: list[str], largest: float, style: EngineStyle, labels: bool
) -> Any:
    x = alt.X(
        "ratio:Q",
        scale=alt.Scale(type="log", domain=[SMALLEST_RATIO, largest], nice=False),
        axis=alt.Axis(
            title="worst |computed − oracle| / bound",
            format="~g",
            values=powers_of_ten(SMALLEST_RATIO, largest),
        ),
    )
    y = alt.Y(
        "rung:N",
        title=None,
        scale=alt.Scale(domain=rungs),
        axis=alt.Axis(labels=labels, ticks=False, domain=False),
    )
    tooltip = ["engine:N", "experiment:N", "rung:N", "verdict:N", "kind:N", "exact:Q"]
    layers = [_bound_rule(x)]
    for kind, filled in (("judged", True), ("without explanation", False)):
        own = alt.InlineData(values=[point for point in points if point["kind"] == kind])
        mark = alt.Chart(own).mark_point(filled=filled, size=45, opacity=0.95)
        layers.append(
            mark.encode(
                x=x,
                y=y,
                yOffset=style.offset(),
                color=style.colour(),
                shape=style.shape(),
                tooltip=tooltip,
            )
        )
    return alt.layer(*layers)


def _bound_rule(x: Any) -> Any:
    data = alt.InlineData(values=[{"ratio": 1.0}])
    return alt.Chart(data).mark_rule(color=INK, strokeWidth=1.5).encode(x=x)


def powers_of_ten(low: float, high: float) -> list[float]:
    """The powers of ten from `low` to `high`: the ticks of a logarithmic axis."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [float(f"1e{exponent}") for exponent in range(first, last + 1)]


def _all_engines(timing: tuple[ExperimentTiming, ...]) -> tuple[str, ...]:
    return unique(engine.engine for item in timing for engine in item.engines)
