"""The guide as one web page that needs nothing else: text, styles, charts and Vega inside."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from itertools import pairwise

import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token

from twofold.report.style import Chart, vega_lite_version

FIGURE = re.compile(r'<p><img src="figures/(?P<name>[\w-]+)\.svg" alt="(?P<alt>[^"]*)" ?/?></p>')


def render_page(markdown: str, charts: dict[str, Chart], svgs: dict[str, str]) -> str:
    """The Markdown as HTML, each figure an interactive chart over its own SVG.

    The SVG stays where scripts are off.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    _give_headings_ids(tokens)
    html = parser.renderer.render(tokens, parser.options, {})
    body = FIGURE.sub(lambda match: _figure(match, svgs), html)
    templates = Environment(
        loader=PackageLoader("twofold.report"), undefined=StrictUndefined, autoescape=True
    )
    return templates.get_template("page.html.jinja").render(
        body=body,
        specifications=_for_script(json.dumps(charts, sort_keys=True, ensure_ascii=True)),
        bundle=_for_script(_bundle()),
    )


def _give_headings_ids(tokens: list[Token]) -> None:
    """Ids as GitHub gives them, so that a link to a heading works in both places."""
    for heading, text in pairwise(tokens):
        if heading.type == "heading_open":
            plain = re.sub(r"[^\w\s-]", "", text.content.lower())
            heading.attrSet("id", plain.strip().replace(" ", "-"))


def _figure(match: re.Match[str], svgs: dict[str, str]) -> str:
    name, alt = match["name"], match["alt"]
    return (
        f'<figure id="figure-{name}" role="img" aria-label="{alt}">'
        f'<div class="chart" data-chart="{name}">{svgs[name]}</div></figure>'
    )


def _for_script(text: str) -> str:
    """Text that cannot end the script element it stands in."""
    return text.replace("</", "<\\/")


@lru_cache(maxsize=1)
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed, as carried by vl-convert."""
    return str(
        vl_convert.javascript_bundle(
            "window.vegaEmbed = vegaEmbed;", vl_version=vega_lite_version()
        )
    )
