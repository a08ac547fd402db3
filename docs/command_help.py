"""The directive `command-help`: the help of every command, as the command line prints it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from twofold.cli.app import app

WIDTH = 88


class CommandHelp(SphinxDirective):
    """A section for each command."""

    def run(self) -> list[nodes.Node]:
        """The sections, in the order in which `twofold --help` lists the commands."""
        return [section(*found) for found in commands(typer.main.get_command(app), "twofold")]


def section(name: str, text: str) -> nodes.section:
    """The help of one command under its name."""
    made = nodes.section(ids=[nodes.make_id(name)], names=[name])
    made += nodes.title(text=name)
    made += nodes.literal_block(text, text, language="text")
    return made


def commands(command: Any, name: str) -> Iterator[tuple[str, str]]:
    """Each command's full name and help; the commands of a group come after it.

    Typer brings its own copy of click, so that the classes of commands have no public name.
    """
    size = {"max_content_width": WIDTH, "terminal_width": WIDTH}
    context = command.context_class(command, info_name=name, **size)
    yield name, command.get_help(context)
    for below, each in getattr(command, "commands", {}).items():
        yield from commands(each, f"{name} {below}")
