"""Traps on a terminal: a table of many, and one with its two sides next to each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from comparisons.atlas.traps.check import Result, versions
from comparisons.atlas.traps.code import code_of, shared_code
from comparisons.atlas.traps.outcome import Outcome
from comparisons.atlas.traps.trap import Trap
from comparisons.atlas.traps.wording import agreement, outcome_text


def show_list(traps: Sequence[Trap], console: Console) -> None:
    """One row for each trap."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("trap", no_wrap=True)
    table.add_column("theme", no_wrap=True)
    table.add_column("severity", no_wrap=True)
    table.add_column("what differs")
    for trap in traps:
        note = f" (needs {trap.needs.upper()})" if trap.needs != "cpu" else ""
        table.add_row(trap.id, trap.theme, trap.severity, Text(trap.statement + note))
    console.print(table)
    console.print(f"\n{len(traps)} traps. Run one: python -m comparisons.traps <trap>")


def show_result(result: Result, console: Console) -> None:
    """One trap: both sides' code and values, then the fix and what it gives."""
    trap = result.trap
    console.print(Text(trap.id, style="bold"), Text(f"({trap.theme}, {trap.severity})"))
    console.print(Text(trap.statement), "")
    if shared := shared_code(trap):
        console.print(Text("Both use:"), python(shared), "")
    console.print(columns(trap.pytorch, trap.jax, result.pytorch, result.jax), "")
    console.print(Text("Fix: ", style="bold").append(trap.fix, style="not bold"), "")
    fixed = columns(trap.pytorch_fixed, trap.jax_fixed, result.pytorch_fixed, result.jax_fixed)
    console.print(fixed, "")
    for complaint in result.complaints:
        console.print(Text(complaint, style="red"))
    if not result.complaints:
        console.print(Text(agreement(trap)))
    console.print(Text(f"Source: {trap.source}"))
    console.print(Text(f"Verified with {trap.verified}; ran with {versions()}."))


def columns(
    pytorch: Callable[[], Any] | None,
    jax: Callable[[], Any] | None,
    pytorch_outcome: Outcome,
    jax_outcome: Outcome,
) -> Table:
    """Two columns: code above what it gives. A side without code of its own stays as it was."""
    table = Table(expand=True, show_lines=True)
    table.add_column("PyTorch", ratio=1)
    table.add_column("JAX", ratio=1)
    table.add_row(cell(pytorch), cell(jax))
    table.add_row(Text(outcome_text(pytorch_outcome)), Text(outcome_text(jax_outcome)))
    return table


def cell(function: Callable[[], Any] | None) -> RenderableType:
    return python(code_of(function)) if function else Text("as before", style="dim")


def python(code: str) -> RenderableType:
    syntax = Syntax(code, "python", word_wrap=True, background_color="default")
    return Padding(Group(syntax), (0, 1))
