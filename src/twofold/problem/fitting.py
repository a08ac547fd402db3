"""Does a table fit an experiment? What of it has to hold before anything is made of it.

Everything that a framework would silently accept (labels outside the classes, NaN) is refused here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twofold.errors import DataError, SpecError
from twofold.problem.description import Categories, Scaling
from twofold.problem.labels import binary, numbered
from twofold.problem.row_maps import let_go
from twofold.problem.scaling import Standard, cast
from twofold.problem.state import Array
from twofold.problem.table import Table, pieces
from twofold.spec.experiment import Experiment
from twofold.spec.limits import shown
from twofold.spec.losses import wrong_weights
from twofold.spec.model import Mlp, Sequential, embedding_of, placed, with_categories


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of the loss: int64 labels (rows,), else float64 (rows, out_features)."""

    values: Array
    classes: tuple[str, ...] = ()

    @property
    def columns(self) -> int:
        """What model.out_features has to be."""
        return len(self.classes) if self.values.ndim == 1 else self.values.shape[1]

    def scaled(self, experiment: Experiment, train_rows: Array) -> tuple[Array, Scaling | None]:
        """The targets as training takes them, and how they were standardized if they were."""
        loss, values, scaling = experiment.loss.kind, self.values, None
        if experiment.data.standardize and loss in ("mse", "huber"):
            standard = Standard.of(values[train_rows])
            values, scaling = standard.applied(values), standard.scaling()
        if loss != "cross_entropy":
            values = cast(values, experiment, "targets")
        return values, scaling


def checked(table: Table) -> Table:
    """The table, if its shapes fit together and no number is infinite. Raises DataError."""
    inputs, targets, where = table.inputs, table.targets, table.where
    if inputs.ndim != 2 or inputs.shape[1] == 0:
        raise DataError(
            f"{where}: inputs of shape {inputs.shape} given; allowed is (rows, in_features) "
            "with in_features of 1 or more"
        )
    if targets.ndim not in (1, 2) or 0 in targets.shape[1:]:
        raise DataError(
            f"{where}: targets of shape {targets.shape} given; allowed is (rows,) "
            "or (rows, out_features)"
        )
    if inputs.shape[0] == 0:
        raise DataError(f"{where}: no rows given; allowed is 1 row or more")
    if inputs.shape[0] != targets.shape[0]:
        raise DataError(
            f"{where}: {inputs.shape[0]} rows of inputs and {targets.shape[0]} of targets given; "
            "allowed is the same number of both"
        )
    _refuse_infinite(table, "inputs", inputs)
    if targets.dtype.kind == "f":
        _refuse_infinite(table, "targets", targets)
    return table


def _refuse_infinite(table: Table, what: str, values: Array) -> None:
    columns = values.reshape(len(values), -1)
    for part in pieces(columns):
        infinite = np.isinf(columns[part])
        if infinite.any():
            row, column = (int(i) for i in np.argwhere(infinite)[0])
            row += part.start
            raise DataError(
                f"{table.where}: {what}, row {row} (counted from 0), column "
                f"{table.column(what, column)}: {columns[row, column]} given; "
                "allowed are finite numbers; remove the row, or mend the number"
            )
        let_go(values)


def targets_of(experiment: Experiment, table: Table) -> Targets:
    """The targets of the experiment's loss. Raises DataError for those that it cannot take."""
    loss = experiment.loss.kind
    if loss == "cross_entropy":
        return Targets(*numbered(table, experiment.model.out_features))
    if table.has_text_targets or table.targets.dtype.kind not in "biuf":
        two = binary(table) if loss == "bce_with_logits" else None
        if two is not None:
            return Targets(two[0].reshape(-1, 1).astype(np.float64), two[1])
        allowed = "numbers from 0 to 1, or two texts" if loss == "bce_with_logits" else "numbers"
        first = shown(table.target(0))
        raise DataError(
            f"{table.where}: targets are text, such as {first}; allowed for {loss} are {allowed}"
        )
    values = table.targets.reshape(table.rows, -1).astype(np.float64)
    if loss == "bce_with_logits" and (values.min() < 0 or values.max() > 1):
        row, column = (int(i) for i in np.argwhere((values < 0) | (values > 1))[0])
        raise DataError(
            f"{table.where}: targets, row {row} (counted from 0), column "
            f"{table.column('targets', column)}: {values[row, column]:g} given; "
            "allowed is 0 to 1 for loss.kind = 'bce_with_logits'"
        )
    yes_or_no = loss == "bce_with_logits" and values.shape[1] == 1
    named = yes_or_no and len(table.class_names) == 2 and np.isin(values, (0.0, 1.0)).all()
    return Targets(values, table.class_names if named else ())


def resolved_for(
    experiment: Experiment, where: str, counts: tuple[int, int], embedded: Sequence[Categories]
) -> Experiment:
    """The experiment with in_features and out_features of the data. Raises if they do not fit."""
    model = _with_table(experiment, where, embedded)
    in_features, out_features = counts
    if model.in_features not in (None, in_features):
        raise DataError(
            f"model.in_features: {model.in_features} given; allowed is {in_features}, the columns "
            f"of {where}; leave it out to take the data's"
        )
    if model.out_features not in (None, out_features):
        raise DataError(
            f"model.out_features: {model.out_features} given; allowed is {out_features}, the "
            f"target columns of {where}; leave it out to take the data's"
        )
    wrong = wrong_weights(experiment.loss, out_features)
    if wrong is not None:
        raise SpecError(wrong)
    sizes = {"in_features": in_features, "out_features": out_features}
    resolved = model.model_copy(update=sizes)
    placed(resolved)  # refuses layers that do not fit the data
    return experiment.model_copy(update={"model": resolved})


def _with_table(
    experiment: Experiment, where: str, embedded: Sequence[Categories]
) -> Mlp | Sequential:
    """The model with the categories of the data in its embedding, if it has one."""
    embedding = embedding_of(experiment.model)
    if embedding is None:
        return experiment.model
    given, found = embedding.categories, tuple(len(x.categories) for x in embedded)
    if not found:
        way = (
            "leave the embedding out"
            if experiment.data.categorical == "embedding"
            else "set data.categorical = 'embedding'"
        )
        raise DataError(
            f"model: an embedding given, and {where} gives it no column of texts; {way}"
        )
    if given not in (None, found):
        raise DataError(
            f"categories of the embedding: {list(given)} given; allowed is {list(found)}, the "
            f"texts of {where} in training; leave them out to take the data's"
        )
    return with_categories(experiment.model, found)
