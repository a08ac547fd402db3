"""All traps as one Markdown page, with the values that were just computed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from comparisons.atlas.traps.check import Result, versions
from comparisons.atlas.traps.code import code_of, shared_code
from comparisons.atlas.traps.outcome import Outcome
from comparisons.atlas.traps.trap import VERIFIED, Trap
from comparisons.atlas.traps.wording import agreement, outcome_text

INTRODUCTION = """\
# Where PyTorch and JAX look the same and are not

{count} traps for a person who moves a model from one framework to the other. Each is code that
runs in this project's tests: both sides, what each of them gives, and a fix after which they
agree. This page is generated, with the values computed on the way:

    python -m comparisons.traps --page {name}

Look one up by what you see: `python -m comparisons.traps --search "loss differs"`. Run one:
`python -m comparisons.traps gelu-tanh-default`.

Verified with {verified}, unless a trap says otherwise; this page was made with {versions}.
"""
ADDRESS = re.compile(r"https://[^\s;]+")
LONGEST_INLINE = 60
ISSUE = re.compile(r"([\w.-]+/[\w.-]+)#(\d+)")


def page(results: Sequence[Result | tuple[Trap, str]], name: str) -> str:
    """The page. A trap that could not run here comes as a pair with the reason."""
    traps = [trap_of(entry) for entry in results]
    parts = [
        INTRODUCTION.format(count=len(traps), name=name, verified=VERIFIED, versions=versions())
    ]
    for theme, group in groupby(traps, key=lambda trap: trap.theme):
        parts.append(f"- **{theme}**: " + ", ".join(f"[{t.id}](#{t.id})" for t in group))
    for theme, entries in groupby(results, key=lambda entry: trap_of(entry).theme):
        parts.append(f"\n## {theme.capitalize()}")
        parts += [section(entry) for entry in entries]
    return "\n".join(parts) + "\n"


def trap_of(entry: Result | tuple[Trap, str]) -> Trap:
    return entry.trap if isinstance(entry, Result) else entry[0]


def section(entry: Result | tuple[Trap, str]) -> str:
    trap = trap_of(entry)
    lines = [f"\n### {trap.id}\n", f"{trap.statement} *({trap.severity})*\n"]
    if shared := shared_code(trap):
        lines += [block(shared)]
    ran = entry if isinstance(entry, Result) else None
    lines += [
        table(trap.pytorch, trap.jax, ran and ran.pytorch, ran and ran.jax),
        f"**Fix.** {trap.fix}\n",
        table(
            trap.pytorch_fixed,
            trap.jax_fixed,
            ran and ran.pytorch_fixed,
            ran and ran.jax_fixed,
        ),
        f"{agreement(trap)}\n"
        if isinstance(entry, Result)
        else f"Not run for this page: {entry[1]}.\n",
    ]
    versions_note = "" if trap.verified == VERIFIED else f" Verified with {trap.verified}."
    return "\n".join([*lines, f"Source: {linked(trap.source)}.{versions_note}"])


def table(
    pytorch: Callable[[], Any] | None,
    jax: Callable[[], Any] | None,
    pytorch_outcome: Outcome | None,
    jax_outcome: Outcome | None,
) -> str:
    """Two columns. GitHub renders the code in a cell because blank lines surround it."""
    cells = (cell(pytorch, pytorch_outcome), cell(jax, jax_outcome))
    heads = "<tr><th>PyTorch</th><th>JAX</th></tr>"
    row = "".join(f'<td valign="top">\n\n{text}\n</td>' for text in cells)
    return f"<table>\n{heads}\n<tr>{row}</tr>\n</table>\n"


def cell(function: Callable[[], Any] | None, outcome: Outcome | None) -> str:
    code = block(code_of(function)) if function else "as before\n"
    if outcome is None:
        return code
    text = outcome_text(outcome)
    if len(text) > LONGEST_INLINE or "`" in text:
        return f"{code}\ngives\n\n```text\n{text}\n```\n"
    return f"{code}\ngives `{text}`\n"


def block(code: str) -> str:
    return f"```python\n{code}\n```\n"


def linked(source: str) -> str:
    """Issues as links to GitHub, addresses as links."""
    return ISSUE.sub(r"[\1#\2](https://github.com/\1/issues/\2)", ADDRESS.sub(r"<\g<0>>", source))
