"""The chart of a stored divergence: distance over steps, both logarithmic."""

from __future__ import annotations

from typing import Any, Final

import altair as alt

from twofold.report.style import Chart, colour, finish

Row = dict[str, Any]

FLOOR: Final = "#9aa0a6"
SAME: Final = "one framework"
OTHER: Final = "across frameworks"
DECADES: Final = [float(f"1e{power}") for power in range(-16, 8)]
PAIR_COLOURS: Final = {SAME: "#56B4E9", OTHER: "#D55E00", "noise floor": FLOOR}


def chart(result: dict[str, Any]) -> Chart:
    """Left: every engine's distance from the float64 run. Right: engines from each other.

    The noise floor stands in both, dashed and grey.
    """
    largest = max((value for row in rows(result) if (value := row["distance"])), default=1.0)
    smallest = min((value for row in rows(result) if (value := row["distance"])), default=1e-8)
    scale = alt.Scale(type="log", domain=[smallest, largest], nice=True)
    left = _panel(_from_float64(result), scale, _engine_colours(result))
    right = _panel(_between(result), scale, dict(PAIR_COLOURS))
    name = str(result["experiment"]["name"])
    chart = alt.hconcat(
        left.properties(title=f"{name}: from the float64 run", width=330, height=300),
        right.properties(title=f"{name}: from each other", width=330, height=300),
    )
    return finish(chart.resolve_scale(color="independent"))


def rows(result: dict[str, Any]) -> list[Row]:
    """One row for each curve and sampled step; zero and null have no place on a log scale."""
    return [
        {
            "kind": curve["kind"],
            "left": curve["left"],
            "curve": f"{number}",
            "pair": _pair(curve),
            "step": step,
            "distance": distance,
        }
        for number, curve in enumerate(result["curves"])
        for step, distance in zip(result["steps"], curve["distance"], strict=True)
        if distance
    ]


def _pair(curve: dict[str, Any]) -> str:
    if curve["kind"] == "noise floor":
        return "noise floor"
    frameworks = {str(curve[side]).partition(":")[0] for side in ("left", "right")}
    return SAME if len(frameworks) == 1 else OTHER


def _engine_colours(result: dict[str, Any]) -> dict[str, str]:
    engines = tuple(c["left"] for c in result["curves"] if c["kind"] == "from float64")
    return {**{engine: colour(engine, engines) for engine in engines}, "noise floor": FLOOR}


def _from_float64(result: dict[str, Any]) -> list[Row]:
    return [
        {**row, "label": row["left"] if row["kind"] == "from float64" else "noise floor"}
        for row in rows(result)
        if row["kind"] != "between engines"
    ]


def _between(result: dict[str, Any]) -> list[Row]:
    return [{**row, "label": row["pair"]} for row in rows(result) if row["kind"] != "from float64"]


def _panel(points: list[Row], scale: Any, colours: dict[str, str]) -> Any:
    shown = {point["label"] for point in points}
    used = {label: tint for label, tint in colours.items() if label in shown}
    base = alt.Chart(alt.InlineData(values=points)).encode(
        x=alt.X(
            "step:Q",
            scale=alt.Scale(type="log"),
            title="training step",
            axis=alt.Axis(values=DECADES, format=","),
        ),
        y=alt.Y(
            "distance:Q",
            scale=scale,
            title="relative distance",
            axis=alt.Axis(values=DECADES, format=".0e"),
        ),
        detail="curve:N",
        color=alt.Color(
            "label:N",
            scale=alt.Scale(domain=list(used), range=list(used.values())),
            legend=alt.Legend(title=None, columns=3),
        ),
        strokeDash=alt.condition(
            alt.datum.label == "noise floor", alt.value([5, 3]), alt.value([1, 0])
        ),
    )
    return base.mark_line(strokeWidth=1.6, opacity=0.9)
