"""`twofold predict` and `twofold evaluate`: a trained model at work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from twofold.engines.session import Session
    from twofold.problem.description import Categories
    from twofold.problem.state import Array
    from twofold.runs.model_file import Model

MODEL = typer.Argument(help="A model.safetensors that twofold train wrote.", metavar="MODEL")
ENGINE = typer.Option(help="The engine to answer in; default the one that trained.", metavar="E")


def predict(
    model: Annotated[Path, MODEL],
    table: Annotated[
        Path, typer.Argument(help="A table with the columns of the training.", metavar="TABLE")
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Write to this CSV file; default here.", metavar="FILE"),
    ] = None,
    engine: Annotated[str | None, ENGINE] = None,
) -> None:
    """Answer for every row of a table: names of classes, or numbers in original units.

    Columns are found by their names; others are ignored. With a target of 0 and 1 the answer is
    the probability of 1.
    """
    from twofold.files import require_writable, write_text
    from twofold.problem.answers import answers

    require_writable("--out", out)
    session, trained = _opened(model, engine)
    parts = _logits(session, trained, table)
    names = trained.description.targets or _numbered_names(session.problem.out_features)
    texts: list[str] = []
    rows = 0
    for logits in parts:
        texts.append(as_csv(names, answers(session.problem, logits), with_names=not texts))
        rows += len(logits)
    text = "".join(texts)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
        typer.echo(f"written: {out} ({rows:,} rows)", err=True)


def evaluate(
    model: Annotated[Path, MODEL],
    table: Annotated[
        Path | None,
        typer.Argument(
            help="A table with the target as well; default the experiment's own test rows.",
            metavar="TABLE",
        ),
    ] = None,
    engine: Annotated[str | None, ENGINE] = None,
) -> None:
    """Score a trained model: accuracy or R^2 on a table, or on its experiment's test rows."""
    import numpy as np

    from twofold.engines.training import evaluate as in_chunks
    from twofold.errors import DataError
    from twofold.problem.data import prepare
    from twofold.problem.new_rows import NewTable
    from twofold.runs.answering import metric

    session, trained = _opened(model, engine)
    if table is None:
        test = prepare(trained.experiment).test
        if test.rows == 0:
            raise DataError(f"{model}: its experiment has no test rows; give a table")
        logits, targets = in_chunks(session, test.inputs), test.targets
        where = "the experiment's test rows"
    else:
        logits = np.concatenate(list(_logits(session, trained, table)))
        targets = NewTable(table, trained.experiment, trained.description).targets()
        where = str(table)
    name, value = metric(trained, logits, targets)
    typer.echo(f"{name} {value:.4f} on {len(logits):,} rows of {where} ({session.engine})")


def _opened(path: Path, engine: str | None) -> tuple[Session, Model]:
    from twofold.backends.programs import keep_programs
    from twofold.engines.registry import find_engine
    from twofold.runs import model_file
    from twofold.runs.answering import open_model

    trained = model_file.load(path)
    name = engine or trained.engine
    owner, description = find_engine(name)
    if not description.processes:
        keep_programs(owner)
    return open_model(trained, name), trained


def _logits(session: Session, trained: Model, table: Path) -> Iterator[Array]:
    """The logits of a table's rows, all at once or in the pieces in which it is read."""
    from twofold.engines.training import evaluate as in_chunks
    from twofold.problem.new_rows import NewTable

    unseen: dict[str, Categories] = {}
    for inputs, others in NewTable(table, trained.experiment, trained.description).in_pieces():
        for each in others:
            unseen[each.column] = each.joined(unseen.get(each.column))
        yield in_chunks(session, inputs)
    for line in unseen_lines(tuple(unseen.values())):
        typer.echo(line, err=True)


def unseen_lines(unseen: Sequence[Categories]) -> list[str]:
    """What is said of texts that no training row had."""
    lines = []
    for column in unseen:
        rows = sum(count for _, count in column.unseen)
        texts = ", ".join(repr(text) for text, _ in column.unseen[:5])
        more = ", ..." if len(column.unseen) > 5 else ""
        lines.append(
            f"note: column {column.column!r}: {rows:,} rows have a text that no training row had: "
            f"{texts}{more}"
        )
    return lines


def _numbered_names(outputs: int) -> tuple[str, ...]:
    return ("prediction",) if outputs == 1 else tuple(f"prediction {n}" for n in range(outputs))


def as_csv(names: Sequence[str], found: Array, *, with_names: bool = True) -> str:
    """Answers (rows,) or (rows, columns) as CSV with a line of names; numbers keep every bit."""
    import csv
    import io

    columns = found.reshape(len(found), -1)
    named = list(names) if len(names) == columns.shape[1] else _numbered_names(columns.shape[1])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if with_names:
        writer.writerow(named)
    writer.writerows(
        [repr(v) if isinstance(v, float) else v for v in row] for row in columns.tolist()
    )
    return text.getvalue()
