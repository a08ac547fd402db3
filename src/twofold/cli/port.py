"""`twofold port`: judge a pair that a person's own file defines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.port_weights import convert, map_weights

if TYPE_CHECKING:
    from twofold.port.report import PortReport

COULD_NOT_RUN = 3

port = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Judge a port of your own: is it the same function, and if not, where does it part?",
    epilog="Exit codes: 0 the same function, 1 it differs, 2 bad input, 3 it could not be decided.",
)


port.command("map")(map_weights)
port.command()(convert)


@port.command()
def check(
    file: Annotated[Path, typer.Argument(help="A Python file that defines pair().")],
    steps: Annotated[int, typer.Option(help="Optimizer steps to judge.", min=0)] = 3,
    forward: Annotated[
        bool, typer.Option("--forward", help="Only the forward pass, no gradients.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(help="Write the report to this file.", metavar="FILE")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the report as Markdown.", metavar="FILE")
    ] = None,
) -> None:
    """Judge the pair that FILE's pair() returns, in a process of its own.

    pair() returns a twofold.port.Pair.
    """
    from rich.console import Console

    from twofold.cli.port_view import print_report
    from twofold.files import require_writable, write_text
    from twofold.port.child import judge_file
    from twofold.results.json_files import write_json

    require_writable("--json", json)
    require_writable("--markdown", markdown)
    progress = Console(stderr=True, highlight=False)
    with progress.status(f"{file}: starting") as status:
        report = judge_file(
            file,
            steps=steps,
            gradients=not forward,
            on_rung=lambda rung, verdict: status.update(f"{file}: {rung}: {verdict}"),
        )
    print_report(report, Console(highlight=False))
    if json is not None:
        write_json(json, report.to_json())
        typer.echo(f"written: {json}", err=True)
    if markdown is not None:
        write_text(markdown, report.to_markdown())
        typer.echo(f"written: {markdown}", err=True)
    raise typer.Exit(_exit_code(report))


def _exit_code(report: PortReport) -> int:
    if any(rung.verdict == "differs" for rung in report.rungs):
        return 1
    return 0 if report.passed else COULD_NOT_RUN
