"""`twofold experiments`: the built-in experiments, a line each."""

from __future__ import annotations


def experiments() -> None:
    """List the built-in experiments."""
    from rich.console import Console
    from rich.table import Table

    from twofold.spec import toml

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("what it is")
    for name in toml.builtin_names():
        table.add_row(name, toml.summary_line(name))
    console = Console(highlight=False)
    console.print(table)
    console.print("\nSee one with: twofold show NAME", style="dim")
