"""`twofold export`: a trained model as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from twofold.runs.export import Exported


def export(
    model: Annotated[
        Path, typer.Argument(help="A model.safetensors that twofold train wrote.", metavar="MODEL")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write.", metavar="FILE")],
    format_: Annotated[
        str,
        typer.Option("--format", help="torch-export, onnx or jax-export.", metavar="FORMAT"),
    ],
) -> None:
    """Write a trained model for other programs, if it still computes the same there.

    The file takes inputs of any number of rows, scaled as in training, and gives logits. It is
    loaded again, and its logits on the experiment's test rows are held to the oracle's bounds:
    where one is outside, nothing is written and the exit code is 1.

    It needs: pip install 'twofold[export]'
    """
    from rich.console import Console

    from twofold.files import require_writable
    from twofold.runs import model_file
    from twofold.runs.export import export as written

    require_writable("--out", out)
    trained = model_file.load(model)
    console = Console(stderr=True, highlight=False)
    with console.status(f"writing {format_}, loading it again, comparing"):
        found = written(trained, out, format_)
    for line in summary(found):
        typer.echo(line)


def summary(found: Exported) -> list[str]:
    """What was written and how near it is, in lines for a person."""
    lines = [
        f"written: {found.path} ({found.format} by {found.backend}, {found.size:,} bytes)",
        f"loaded again: worst ratio {found.worst_ratio:.2g} of the oracle's bounds on {found.rows}",
    ]
    if found.vacuous:
        lines.append("the bounds are so wide that this shows nothing")
    return lines
