"""The commands of the command line, registered.

Only typer is imported here and in the command modules; what a command needs, it imports when it
runs. Plain help instead of rich help keeps `--help` far below the time of `import torch`.
"""

from __future__ import annotations

from typing import Annotated

import typer

import twofold
from twofold.cli.advise import advise
from twofold.cli.calibrate import calibrate
from twofold.cli.diverge import diverge
from twofold.cli.doctor import doctor
from twofold.cli.experiments import experiments
from twofold.cli.export import export
from twofold.cli.outcome import outcome
from twofold.cli.parity import parity
from twofold.cli.port import port
from twofold.cli.predict import evaluate, predict
from twofold.cli.show import show
from twofold.cli.sweep import sweep
from twofold.cli.time import time
from twofold.cli.train import train

app = typer.Typer(
    name="twofold",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="One spec of a network, native in PyTorch and in Flax/Optax: certified equal, and timed.",
    epilog="Exit codes: 0 all well, 1 parity diverges, 2 bad input, 3 an engine could not run.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"twofold {twofold.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


app.command()(doctor)
app.command()(experiments)
app.command()(show)
app.command()(parity)
app.command()(time)
app.command()(train)
app.command()(predict)
app.command()(evaluate)
app.command()(export)
app.command()(sweep)
app.command()(calibrate)
app.command()(advise)
app.command()(diverge)
app.command()(outcome)
app.add_typer(port, name="port")
