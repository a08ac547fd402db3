"""From an experiment to a problem: load the data, check it, split it, standardise it, cast it.

Values are computed in float64 and cast to the experiment's precision at the end. Everything that a
framework would silently accept (labels outside the classes, NaN) is refused here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twofold.errors import DataError, SpecError
from twofold.problem import sources
from twofold.problem.categories import Encoded, encoded
from twofold.problem.description import Description
from twofold.problem.labels import binary, numbered
from twofold.problem.missing import filled_in, without_empty_rows
from twofold.problem.problem import Batch, Problem, require_rows_to_normalize
from twofold.problem.scaling import Standard, cast
from twofold.problem.splits import split
from twofold.problem.state import Array
from twofold.problem.table import Table
from twofold.problem.telling import telling_columns
from twofold.spec.experiment import Experiment
from twofold.spec.limits import shown
from twofold.spec.losses import wrong_weights
from twofold.spec.model import Mlp, Sequential, embedding_of, placed, with_categories


@dataclass(frozen=True, eq=False)
class _Targets:
    """Targets of the loss: int64 labels (rows,), else float64 (rows, out_features)."""

    values: Array
    classes: tuple[str, ...] = ()


def prepare(experiment: Experiment, given: Table | None = None) -> Problem:
    """The problem of an experiment: its feature counts known, its rows loaded.

    `given`: the table of the experiment's source, where it has been read already.

    Raises DataError for data that cannot be read or does not fit, SpecError for fields that do not
    go with the source or layers that do not fit its columns, FrameworkMissing when the library that
    reads the source is not installed.
    """
    data = experiment.data
    table, dropped = without_empty_rows(_checked(given or sources.load(experiment)), data.missing)
    found = _targets(experiment, table)
    rows = split(experiment, table.rows)
    train_rows = rows.train
    filled, cells = filled_in(table, data.missing, train_rows)
    coded = encoded(table, filled, train_rows, data.categorical)
    resolved = _resolved(experiment, table, coded, found)
    inputs, input_scaling = coded.inputs, None
    targets, target_scaling = found.values, None
    if data.standardize:
        standard = Standard.of(inputs[train_rows], coded.from_texts)
        inputs, input_scaling = standard.applied(inputs), standard.scaling()
        if experiment.loss.kind in ("mse", "huber"):
            standard = Standard.of(targets[train_rows])
            targets, target_scaling = standard.applied(targets), standard.scaling()
    inputs = cast(inputs, experiment, "inputs")
    if experiment.loss.kind != "cross_entropy":
        targets = cast(targets, experiment, "targets")
    problem = Problem(
        experiment=resolved,
        train=Batch(inputs[train_rows], targets[train_rows]),
        test=Batch(inputs[rows.test], targets[rows.test]),
        description=Description(
            inputs=coded.names,
            targets=table.target_names,
            classes=found.classes,
            input_scaling=input_scaling,
            target_scaling=target_scaling,
            dropped_rows=dropped,
            filled=cells,
            one_hot=coded.one_hot,
            embedded=coded.embedded,
            telling=telling_columns(table, found.values),
        ),
        validation=(
            Batch(inputs[rows.validation], targets[rows.validation])
            if experiment.data.validation_fraction > 0
            else None
        ),
    )
    rest = problem.train.rows % resolved.data.batch_size
    if not resolved.data.drop_last:
        require_rows_to_normalize(problem, rest, "the last batch of an epoch")
    return problem


def _checked(table: Table) -> Table:
    """The table, if its shapes fit together and no number is infinite."""
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
    if not np.any(np.isinf(values)):
        return
    index = tuple(int(i) for i in np.argwhere(np.isinf(values))[0])
    column = f", column {table.column(what, index[1] if len(index) > 1 else 0)}"
    raise DataError(
        f"{table.where}: {what}, row {index[0]} (counted from 0){column}: {values[index]} given; "
        "allowed are finite numbers; remove the row, or mend the number"
    )


def _targets(experiment: Experiment, table: Table) -> _Targets:
    loss = experiment.loss.kind
    if loss == "cross_entropy":
        return _Targets(*numbered(table, experiment.model.out_features))
    if table.targets.dtype.kind not in "biuf":
        two = binary(table) if loss == "bce_with_logits" else None
        if two is not None:
            return _Targets(two[0].reshape(-1, 1).astype(np.float64), two[1])
        allowed = "numbers from 0 to 1, or two texts" if loss == "bce_with_logits" else "numbers"
        first = shown(str(table.targets.flat[0]))
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
    return _Targets(values, table.class_names if named else ())


def _resolved(
    experiment: Experiment, table: Table, coded: Encoded, targets: _Targets
) -> Experiment:
    """The experiment with in_features and out_features of the data. Raises if they do not fit."""
    model = _with_table(experiment, table, coded)
    in_features = coded.inputs.shape[1]
    if model.in_features not in (None, in_features):
        raise DataError(
            f"model.in_features: {model.in_features} given; allowed is {in_features}, the columns "
            f"of {table.where}; leave it out to take the data's"
        )
    labels = experiment.loss.kind == "cross_entropy"
    out_features = len(targets.classes) if labels else targets.values.shape[1]
    if model.out_features not in (None, out_features):
        raise DataError(
            f"model.out_features: {model.out_features} given; allowed is {out_features}, the "
            f"target columns of {table.where}; leave it out to take the data's"
        )
    wrong = wrong_weights(experiment.loss, out_features)
    if wrong is not None:
        raise SpecError(wrong)
    sizes = {"in_features": in_features, "out_features": out_features}
    resolved = model.model_copy(update=sizes)
    placed(resolved)  # refuses layers that do not fit the data
    return experiment.model_copy(update={"model": resolved})


def _with_table(experiment: Experiment, table: Table, coded: Encoded) -> Mlp | Sequential:
    """The model with the categories of the data in its embedding, if it has one."""
    embedding = embedding_of(experiment.model)
    if embedding is None:
        return experiment.model
    given, found = embedding.categories, tuple(len(x.categories) for x in coded.embedded)
    if not found:
        way = (
            "leave the embedding out"
            if experiment.data.categorical == "embedding"
            else "set data.categorical = 'embedding'"
        )
        raise DataError(
            f"model: an embedding given, and {table.where} gives it no column of texts; {way}"
        )
    if given not in (None, found):
        raise DataError(
            f"categories of the embedding: {list(given)} given; allowed is {list(found)}, the "
            f"texts of {table.where} in training; leave them out to take the data's"
        )
    return with_categories(experiment.model, found)
