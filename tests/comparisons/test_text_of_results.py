"""Text of results stays text: in Markdown, in the page and in its scripts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest
import vl_convert
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from test_study_findings import DIVERGENCE, FEEDING, OUTCOME, PEERS, TARGETS

from comparisons.claims.page import page as claims_page
from comparisons.claims.store import Record
from comparisons.machines.page import page as machines_page
from comparisons.machines.stored import Machine
from twofold.report import guide
from twofold.report.evidence import MODELS, SCHEMAS, Evidence
from twofold.report.markdown import escape, escaped
from twofold.report.page import render_page
from twofold.report.style import to_svg, vega_lite_version
from twofold.report.wording import cell
from twofold.results.stored import checked, printable

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
ALLOWED = {"p", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
DECIDING = {"schema", "status", "outcome", "verdict", "kind", "time_utc"}
"""Fields that code decides by: another text there is another result."""
NASTY = (
    "![x](http://evil.example/a.png)",
    "[x](javascript:alert(1))",
    "<!--<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\n\n# heading\n\n",
    "\n- item\n\n> quote\n\n---\n",
    "a | b | c |\n|---|---|---|",
    "`code` ``more``` ~~~",
    "**bold** _em_ ~~gone~~ \\",
    "[x]: http://evil.example",
    "&lt;b&gt; &#60;b&#62; <b>b</b>",
    "<http://evil.example>",
    "1. one",
    "# h",
    "===",
    "\u2028\u2029\x00\x1b[31m\u202e",
    "\ud800",
    "$x$ \\[1\\]",
)
ODD = st.one_of(
    st.sampled_from(NASTY),
    st.text(alphabet="![]()<>#|`*_~\\-=+:&\"'/ \n\tab1.$", min_size=1, max_size=30),
    st.text(min_size=1, max_size=20),
)
ONCE = settings(
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def infected(value: Any, text: str, field: str = "") -> Any:
    """The result with a text added to every text, and to every name that is data."""
    if isinstance(value, dict):
        data = field in ("versions", "unlike", "accuracy")
        return {
            f"{key}{text}" if data else key: infected(item, text, key)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [infected(item, text, field) for item in value]
    return f"{value}{text}" if isinstance(value, str) and field not in DECIDING else value


def read(kind: str, result: dict[str, Any]) -> dict[str, Any]:
    return checked(result, MODELS[kind], kind)


def with_text(evidence: Evidence, text: str) -> Evidence:
    """All kinds of results, with a text at the end of every text in them."""
    every: dict[str, tuple[Any, ...]] = {kind: evidence.of_kind(kind) for kind in SCHEMAS}
    every |= {"outcome": (OUTCOME,), "divergence": (DIVERGENCE,), "feeding": (FEEDING,)}
    every |= {"peers": (PEERS,), "targets": (TARGETS,)}
    return Evidence(
        **{
            kind: tuple(read(kind, infected(one, text)) for one in results)
            for kind, results in every.items()
        }
    )


def structure(markdown: str) -> Counter[str]:
    """How many elements of each kind a Markdown text has, and where its links lead."""
    tokens = [one for token in PARSER.parse(markdown) for one in (token, *(token.children or ()))]
    found = Counter(token.type for token in tokens if token.type not in ("text", "softbreak"))
    found.update(
        f"{name}={token.attrs[name]}"
        for token in tokens
        for name in ("src", "href")
        if name in token.attrs
    )
    return found


@pytest.fixture
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guide, "_charts", lambda *_: {})


@pytest.mark.usefixtures("no_charts")
@ONCE
@given(text=ODD)
@example(text=NASTY[0])
def test_no_text_changes_what_the_guide_is_made_of(evidence: Evidence, text: str) -> None:
    plain = structure(guide.compose(with_text(evidence, "x")).markdown)
    assert structure(guide.compose(with_text(evidence, text)).markdown) == plain


@ONCE
@given(text=ODD)
def test_no_text_changes_what_the_page_of_machines_is_made_of(
    evidence: Evidence, text: str
) -> None:
    def of(added: str) -> Counter[str]:
        stored = with_text(evidence, added)
        steady = {"median_s": 1e-4, "fast_s": 1e-4, "slow": 0.5, "stay_s": 2.0}
        steadiness = {
            "environment": {"threads": 2},
            "engines": {f"flax:jit{added}": steady | {"stretches": {"1": 0.5}}},
        }
        machines = [
            Machine(printable(f"{name}{added}"), name, stored, steadiness=(steadiness,))
            for name in ("one", "two")
        ]
        return structure(machines_page(machines, "results"))

    assert of(text) == of("x")


@ONCE
@given(text=ODD)
def test_no_text_changes_what_the_page_of_claims_is_made_of(text: str) -> None:
    def of(added: str) -> Counter[str]:
        findings = {"conditions": f"by hand{added}", "equal": {f"torch:eager{added}": True}}
        environment = {"processor": f"P{added}", "system": f"S{added}", "cores_usable": 2}
        environment |= {"versions": {f"torch{added}": f"1{added}"}}
        records = {"repeated run": Record(findings, environment, 1.0, False)}
        return structure(claims_page(records, "results/x/claims.json", "results/x/claims.json"))

    assert of(text) == of("x")


@settings(derandomize=True, deadline=None, max_examples=500)
@given(text=ODD)
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    shown = printable(text)
    assume(shown)  # a name has at least one character
    for context in ("{}", "x {} y", "**{}**", "- {}", "| a |\n|---|\n| {} |"):
        line = context.format(cell(escape(text)))
        html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(line)
        words = Words()
        words.feed(html)
        assert set(words.tags) <= ALLOWED
        if context == "x {} y":
            assert "".join(words.text).strip() == f"x {shown} y"


class Words(HTMLParser):
    """The tags, attributes and texts of an HTML document."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_names_that_code_looks_up_stay_what_they_are() -> None:
    names = ("torch:compile-step", "step_s", "not run", "time_utc", "batch 16, width 32", "10 %")
    assert [escape(name) for name in names] == list(names)
    assert escaped({"step_s": [1, None, "a|b"]}) == {"step_s": [1, None, "a\\|b"]}


# The page


def page_of(evidence: Evidence, text: str) -> str:
    made = guide.compose(with_text(evidence, text))
    return render_page(
        made.markdown, made.charts, {name: to_svg(chart) for name, chart in made.charts.items()}
    )


@pytest.mark.parametrize("text", NASTY[:6])
def test_no_text_adds_an_element_to_the_page(evidence: Evidence, text: str) -> None:
    found = Words()
    found.feed(page_of(evidence, text))
    plain = Words()
    plain.feed(page_of(evidence, "x"))
    outside = {"g", "path", "text", "line", "rect", "clippath", "defs", "tspan"}  # of the charts
    count = Counter(tag for tag in found.tags if tag not in outside)
    assert count == Counter(tag for tag in plain.tags if tag not in outside)
    assert count["script"] == 2
    assert not {"img", "iframe", "object", "link", "base", "form"} & set(found.tags)
    assert not [name for _, name, _ in found.attributes if name.startswith("on")]
    links = [value for tag, name, value in found.attributes if (tag, name) == ("a", "href")]
    assert links == ["#what-follows"]


def test_text_in_the_scripts_data_cannot_end_it(evidence: Evidence) -> None:
    page = page_of(evidence, NASTY[2])
    data = re.search(r"const charts = (.*);\n", page)
    assert data is not None
    assert not re.search(r"[<>&]", data[1])
    assert NASTY[2] in json.dumps(json.loads(data[1])["step-time"])


def test_the_policy_names_the_pages_own_scripts_and_nothing_else(evidence: Evidence) -> None:
    page = page_of(evidence, "x")
    found = Words()
    found.feed(page)
    contents = [value for tag, name, value in found.attributes if name == "content"]
    (policy,) = [content for content in contents if content and "src" in content]
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    sums = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{sums[0]}' 'sha256-{sums[1]}'; "
        "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    )
    assert page.index("Content-Security-Policy") < page.index("<script>")


def test_the_charts_program_reaches_the_page_as_it_is(evidence: Evidence) -> None:
    """It holds regular expressions such as `/</g`, which an escape of every `</` would break."""
    code = vl_convert.javascript_bundle(
        "window.vegaEmbed = vegaEmbed;", vl_version=vega_lite_version()
    )
    assert "/</g" in code
    assert f"<script>{code}</script>" in page_of(evidence, "x")
