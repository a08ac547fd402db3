"""All topics as one Markdown page that GitHub shows in two columns."""

from __future__ import annotations

import re
from collections.abc import Mapping

from comparisons.atlas.side_by_side.topic import (
    Topic,
    Values,
    shared_source,
    shown,
    source_of,
)

HEAD = """# Side by side: PyTorch and JAX/Flax

The same idea in both libraries, from the same inputs. The code below is the source that ran when
this page was made, the values are what it gave, and every row was compared: `same` means equal,
exactly for whole numbers and texts, else to the topic's tolerance; the other rows differ on
purpose, and say why. Each topic runs alone: `python -m comparisons.atlas.side_by_side.autograd`.
This page is made by `python -m comparisons.side_by_side --page comparisons/SIDE_BY_SIDE.md`.
"""


def page(topics: Mapping[str, Topic]) -> str:
    """The page, every topic run and compared. Raises AssertionError."""
    contents = "\n".join(
        f"- [{topic.title}](#{_anchor(topic.title)})"
        for topic in topics.values()
    )
    return "\n".join(
        [
            HEAD,
            contents,
            "",
            *(
                _section(name, each)
                for name, each in topics.items()
            ),
        ]
    )


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(
        " ", "-"
    )


def _section(name: str, topic: Topic) -> str:
    values = topic.run()
    parts = [f"## {topic.title}", " ".join(topic.about.split())]
    if shared := shared_source(topic):
        parts.append(_code(shared))
    parts.append(
        _two_columns(
            source_of(topic.pytorch), source_of(topic.jax)
        )
    )
    if topic.numpy is not None:
        code = _code(source_of(topic.numpy))
        parts.append(
            f"<details><summary>NumPy</summary>\n\n{code}\n\n</details>"
        )
    parts.append(_values(topic, values))
    parts.append(
        f"Source: [`atlas/side_by_side/{name}.py`](atlas/side_by_side/{name}.py)\n"
    )
    return "\n\n".join(parts)


def _code(source: str) -> str:
    return f"```python\n{source}\n```"


def _two_columns(pytorch: str, jax: str) -> str:
    # GitHub renders Markdown inside a table cell when blank lines surround it.
    return (
        "<table>\n<tr><th>PyTorch</th><th>JAX / Flax</th></tr>\n"
        f'<tr><td valign="top">\n\n{_code(pytorch)}\n\n</td>'
        f'<td valign="top">\n\n{_code(jax)}\n\n</td></tr>\n</table>'
    )


def _values(topic: Topic, values: Mapping[str, Values]) -> str:
    titles = {
        "pytorch": "PyTorch",
        "jax": "JAX / Flax",
        "numpy": "NumPy",
    }
    head = ["value", *(titles[each] for each in values), ""]
    lines = [_row(head), _row(["---"] * len(head))]
    for name in values["pytorch"]:
        cells = [
            _cell(values[each][name])
            if name in values[each]
            else ""
            for each in values
        ]
        known = topic.different.get(name)
        lines.append(
            _row([name, *cells, known.why if known else "same"])
        )
    return "\n".join(lines)


def _cell(value: object) -> str:
    return "`" + shown(value).replace("|", "\\|") + "`"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
