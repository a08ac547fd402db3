"""`twofold port map` and `twofold port convert`: which weight is which, and weights carried."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

COULD_NOT_DECIDE = 3


def map_weights(
    file: Annotated[Path, typer.Argument(help="A Python file that defines pair().")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write the mapping to this file.", metavar="TOML"),
    ] = None,
) -> None:
    """Find the port's weight for each weight of the original; print the mapping as TOML.

    Read it, edit it, commit it, and give it to the pair: Pair(..., weights="weights.toml").
    Exit code 3 if something is left open.
    """
    from twofold.files import require_writable, write_text
    from twofold.port.child import map_file

    require_writable("--output", output)
    found = map_file(file)
    if output is None:
        typer.echo(found["toml"], nl=False)
    else:
        write_text(output, found["toml"])
        typer.echo(f"written: {output}", err=True)
    typer.echo(f"{found['links']} links", err=True)
    for side, names in zip(("original", "port"), found["left_over"], strict=True):
        _say_left_over(f"left over in the {side}", names)
    for doubt in found["doubts"]:
        typer.echo(f"to look at: {doubt}", err=True)
    _end(found["open"])


def convert(
    file: Annotated[Path, typer.Argument(help="A Python file that defines pair().")],
    state: Annotated[Path, typer.Argument(help="Weights as a safetensors file.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Write the weights here.", metavar="FILE")
    ],
    back: Annotated[
        bool, typer.Option("--back", help="From the port's weights to the original's.")
    ] = False,
) -> None:
    """Convert weights of the original into those of the port, bit for bit where none are added.

    Exit code 3 if something is left open in the mapping.
    """
    from twofold.files import require_writable
    from twofold.port.child import convert_file

    require_writable("--output", output)
    done = convert_file(file, state, output, back=back)
    typer.echo(f"written: {output}, {done['tensors']} tensors", err=True)
    _say_left_over("not converted, because no partner was found", done["left_over"])
    _end(done["open"])


def _say_left_over(what: str, names: Sequence[str]) -> None:
    if names:
        typer.echo(f"{what}: {', '.join(names)}", err=True)


def _end(still_open: int) -> None:
    if still_open:
        typer.echo(
            f"{still_open} choices are open: no candidate makes the forwards agree",
            err=True,
        )
        raise typer.Exit(COULD_NOT_DECIDE)
