"""Topics in a terminal: two columns of source, NumPy below, then the values."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table

from comparisons.atlas.side_by_side.topic import (
    Topic,
    Values,
    shared_source,
    shown,
    source_of,
)

TITLES = {
    "pytorch": "PyTorch",
    "jax": "JAX / Flax",
    "numpy": "NumPy",
}


def print_topic(topic: Topic, stream: TextIO) -> None:
    """Run a topic and print it; two columns where the terminal is wide enough."""
    values = topic.run()
    console = Console(file=stream)
    console.rule(topic.title)
    console.print(Padding(" ".join(topic.about.split()), (1, 0)))
    if shared := shared_source(topic):
        console.print(_code(shared))
    sources = {
        name: source_of(column)
        for name, column in topic.columns.items()
    }
    width = max(
        len(line)
        for name in ("pytorch", "jax")
        for line in sources[name].split("\n")
    )
    if console.width >= 2 * width + 7:
        both = Table(
            *(TITLES[name] for name in ("pytorch", "jax")),
            expand=False,
        )
        both.add_row(
            _code(sources["pytorch"]), _code(sources["jax"])
        )
        console.print(both)
    else:
        for name in ("pytorch", "jax"):
            console.print(TITLES[name], style="bold")
            console.print(_code(sources[name]))
    if "numpy" in sources:
        console.print(TITLES["numpy"], style="bold")
        console.print(_code(sources["numpy"]))
    console.print(_table(topic, values))


def _code(source: str) -> Syntax:
    return Syntax(
        source,
        "python",
        background_color="default",
        word_wrap=False,
    )


def _table(topic: Topic, values: dict[str, Values]) -> Table:
    table = Table("value", *(TITLES[name] for name in values), "")
    for name in values["pytorch"]:
        cells = [
            shown(values[each][name])
            if name in values[each]
            else ""
            for each in values
        ]
        known = topic.different.get(name)
        table.add_row(
            name, *cells, known.why if known else "same"
        )
    return table
