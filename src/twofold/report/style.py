"""How the guide's charts look: colours and shapes of engines, type, background, rendering.

Colours are those of Okabe and Ito (2008), told apart with the common colour blindnesses; each
backend keeps to its own side of the palette and each engine has a shape of its own. The background
is opaque, so that a chart reads the same on a light and on a dark page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import altair as alt
import vl_convert

from twofold.backends.installed import backend_of, backends

Chart = dict[str, Any]

INK: Final = "#222222"
MUTED: Final = "#5f6368"
OTHER: Final = ("#CC79A7", "#000000", "#999999")
"""For a backend that is not installed here, or brings no palette."""
SHAPES: Final = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


@dataclass(frozen=True)
class EngineStyle:
    """The channels that tell engines apart, with the same scale in every panel."""

    engines: tuple[str, ...]
    legend: bool = False

    def colour(self) -> Any:
        """The colour channel."""
        colours = [colour(engine, self.engines) for engine in self.engines]
        scale = alt.Scale(domain=list(self.engines), range=colours)
        return alt.Color("engine:N", scale=scale, legend=self._legend())

    def shape(self) -> Any:
        """The shape channel."""
        shapes = [SHAPES[i % len(SHAPES)] for i in range(len(self.engines))]
        scale = alt.Scale(domain=list(self.engines), range=shapes)
        return alt.Shape("engine:N", scale=scale, legend=self._legend())

    def offset(self) -> Any:
        """The channel that sets engines apart within a row."""
        return alt.YOffset("engine:N", scale=alt.Scale(domain=list(self.engines)))

    def _legend(self) -> Any:
        return alt.Legend(title=None) if self.legend else None


def colour(engine: str, engines: tuple[str, ...]) -> str:
    """The colour of an engine among those of its backend."""
    backend = backend_of(engine)
    own = [name for name in engines if backend_of(name) == backend]
    palette = palette_of(backend)
    return palette[own.index(engine) % len(palette)]


def palette_of(backend: str) -> tuple[str, ...]:
    """The colours of a backend's engines."""
    return next((owner.palette for owner in backends() if owner.name == backend), ()) or OTHER


def finish(chart: Any) -> Chart:
    """The chart's Vega-Lite specification, in the look that all charts share."""
    styled = (
        chart.configure(background="#ffffff", font="sans-serif", padding=12)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK,
            titleColor=INK,
            labelFontSize=11,
            titleFontSize=11,
            titleFontWeight="normal",
            gridColor="#e4e4e4",
            domainColor=MUTED,
            tickColor=MUTED,
            labelLimit=220,
        )
        .configure_title(color=INK, fontSize=13, anchor="start")
        .configure_legend(labelColor=INK, labelFontSize=12, orient="top", symbolSize=80)
    )
    specification: Chart = styled.to_dict()
    return specification


def vega_lite_version() -> str:
    """Major and minor version of the Vega-Lite that Altair writes for, such as "6.4"."""
    return ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])


def to_svg(chart: Chart) -> str:
    """The chart as SVG."""
    return str(vl_convert.vegalite_to_svg(chart, vl_version=vega_lite_version()))
