"""The guide as one web page that needs nothing else: text, styles, charts and Vega inside."""

from __future__ import annotations

import base64
import hashlib
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


START = """
const charts = CHARTS;
for (const place of document.querySelectorAll("[data-chart]")) {
  vegaEmbed(place, charts[place.dataset.chart], { renderer: "svg", actions: false, ast: true });
}
"""
"""`ast`: Vega interprets expressions instead of compiling them, so the page needs no eval."""
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


def render_page(markdown: str, charts: dict[str, Chart], svgs: dict[str, str]) -> str:
    """The Markdown as HTML, each figure an interactive chart over its own SVG.

    The SVG stays where scripts are off. The page's policy lets only its own two scripts run, by
    their checksums, and lets nothing be fetched (W3C, Content Security Policy Level 3).
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    _give_headings_ids(tokens)
    html = parser.renderer.render(tokens, parser.options, {})
    body = FIGURE.sub(lambda match: _figure(match, svgs), html)
    templates = Environment(
        loader=PackageLoader("twofold.report"), undefined=StrictUndefined, autoescape=True
    )
    scripts = (_bundle(), START.replace("CHARTS", _as_script(charts)))
    return templates.get_template("page.html.jinja").render(
        body=body,
        scripts=scripts,
        policy=POLICY.format(scripts=" ".join(f"'{_checksum(script)}'" for script in scripts)),
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


def _as_script(value: object) -> str:
    """A value as JSON that cannot end or confuse the script element it stands in."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _checksum(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


@lru_cache(maxsize=1)
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed, as carried by vl-convert."""
    code = str(
        vl_convert.javascript_bundle(
            "window.vegaEmbed = vegaEmbed;", vl_version=vega_lite_version()
        )
    )
    # In program text only these can confuse the element; "</" alone may be part of an expression.
    return re.sub(r"<(?=/?script|!--)", r"\\x3c", code, flags=re.IGNORECASE)
