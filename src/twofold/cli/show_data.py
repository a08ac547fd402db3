"""What `twofold show` says of a problem's data: columns, target, classes, and what was done."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from twofold.problem.metrics import METRIC_OF_LOSS, baseline_of, why_no_score
from twofold.problem.row_maps import mapped_file

if TYPE_CHECKING:
    from twofold.problem.description import Categories
    from twofold.problem.problem import Problem

MOST_NAMES: Final = 24
WIDTH: Final = 76


def data_lines(problem: Problem) -> list[str]:
    """The lines that describe the data, each narrow enough for 80 columns."""
    sentences = [*_columns(problem), *_done(problem), *_telling(problem), _without_inputs(problem)]
    sentences += _mapped(problem)
    return [line for words in sentences for line in textwrap.wrap(words, WIDTH)]


def _mapped(problem: Problem) -> list[str]:
    """That the rows are not in memory, how many bytes they are, and where they lie."""
    if not problem.is_mapped:
        return []
    batches = [each for each in (problem.train, problem.validation, problem.test) if each]
    size = sum(batch.inputs.nbytes + batch.targets.nbytes for batch in batches)
    folder = mapped_file(problem.train.inputs).parent
    return [f"in a memory map: {size:,} bytes of rows in {folder}"]


def _columns(problem: Problem) -> list[str]:
    found = problem.description
    lines = []
    if found.inputs:
        lines.append(f"input columns ({len(found.inputs):,}): {_listed(found.inputs)}")
    if found.targets:
        lines.append(f"target: {_listed(found.targets)}{_units(problem)}")
    if found.classes:
        lines.append(f"classes ({len(found.classes):,}): {_listed(_counted(problem), '; ')}")
    return lines


def _units(problem: Problem) -> str:
    scaling = problem.description.target_scaling
    if scaling is None or len(scaling.mean) > 1:
        return ""
    return f" (mean {scaling.mean[0]:.6g}, standard deviation {scaling.scale[0]:.6g} in training)"


def _counted(problem: Problem) -> list[str]:
    """Each class with its rows, such as "red in 12 training and 3 test rows"."""
    names = problem.description.classes
    batches = {"training": problem.train, "validation": problem.validation, "test": problem.test}
    counts = {
        kind: np.bincount(batch.targets.reshape(-1).astype(np.int64), minlength=len(names))
        for kind, batch in batches.items()
        if batch is not None
    }
    first = _and([f"{count[0]:,} {kind}" for kind, count in counts.items()])
    rest = [_and([f"{count[i]:,}" for count in counts.values()]) for i in range(1, len(names))]
    others = [f"{name} {numbers}" for name, numbers in zip(names[1:], rest, strict=True)]
    return [f"{names[0]} in {first} rows", *others]


def _and(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _done(problem: Problem) -> list[str]:
    """What was dropped, filled in and encoded."""
    found, lines = problem.description, []
    if found.dropped_rows:
        lines.append(f"dropped: {_number(found.dropped_rows, 'row')} with an empty cell")
    for each in found.filled:
        value = "no category" if each.value is None else f"{each.value:.6g}"
        lines.append(
            f"filled in: {_number(each.cells, 'empty cell')} of {each.column} with {value}"
        )
    row = "test row" if problem.validation is None else "validation or test row"
    lines += _categories("one-hot", found.one_hot, "so all zero", row)
    lines += _categories("embedding", found.embedded, "so in the row of other texts", row)
    return lines


def _categories(how: str, columns: Sequence[Categories], unseen_are: str, row: str) -> list[str]:
    """The columns of text that became numbers in some way, and the texts of other rows alone."""
    lines = []
    for column in columns:
        lines.append(
            f"{how}: {column.column}, {len(column.categories):,} texts of the training rows"
        )
        if column.unseen:
            unseen = [f"{text!r} in {_number(rows, row)}" for text, rows in column.unseen]
            lines.append(f"not in training, {unseen_are}: {_listed(unseen, '; ')}")
    return lines


def _telling(problem: Problem) -> list[str]:
    return [
        f"look at {name!r}: alone it tells the target of every row; leave it out with "
        f"data.exclude = [{name!r}] unless it is known when the model is used"
        for name in problem.description.telling
    ]


def _without_inputs(problem: Problem) -> str:
    loss, test = problem.experiment.loss.kind, problem.test
    if test.rows == 0:
        return "no test rows, so no score"
    reason = why_no_score(loss, test.targets)
    if reason is not None:
        return f"no score: {reason}"
    value = baseline_of(loss, problem.train.targets, test.targets)
    return f"score without inputs: test {METRIC_OF_LOSS[loss]} {value:.4f}"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def _listed(names: Sequence[str], between: str = ", ") -> str:
    """The names, or the first of them and how many there are."""
    if len(names) <= MOST_NAMES:
        return between.join(names)
    return f"{between.join(names[:MOST_NAMES])}, and {len(names) - MOST_NAMES:,} more"
