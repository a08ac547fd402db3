"""From an experiment to a problem: load the data, check it, split it, standardise it, cast it.

Values are computed in float64 and cast to the experiment's precision at the end. Everything that a
framework would silently accept (labels outside the classes, NaN) is refused here.
"""

from __future__ import annotations

import numpy as np

from twofold.errors import DataError, SpecError
from twofold.problem import sources
from twofold.problem.problem import Batch, Problem, require_rows_to_normalize
from twofold.problem.sources import Table
from twofold.problem.state import Array
from twofold.spec import threefry
from twofold.spec.experiment import Experiment
from twofold.spec.losses import wrong_weights
from twofold.spec.model import placed


def prepare(experiment: Experiment) -> Problem:
    """The problem of an experiment: its feature counts known, its training and test rows loaded.

    Raises DataError for data that cannot be read or does not fit, SpecError for fields that do not
    go with the source or layers that do not fit its columns, FrameworkMissing when the library that
    reads the source is not installed.
    """
    table = _checked(sources.load(experiment))
    targets = _targets(experiment, table)
    resolved = _resolved(experiment, table, targets)
    train_rows, test_rows = _split(experiment, table.rows)
    inputs = table.inputs
    if experiment.data.standardize:
        inputs = _standardized(inputs, train_rows)
        if experiment.loss.kind in ("mse", "huber"):
            targets = _standardized(targets, train_rows)
    inputs = _cast(inputs, experiment, "inputs")
    if experiment.loss.kind != "cross_entropy":
        targets = _cast(targets, experiment, "targets")
    problem = Problem(
        experiment=resolved,
        train=Batch(inputs[train_rows], targets[train_rows]),
        test=Batch(inputs[test_rows], targets[test_rows]),
    )
    rest = problem.train.rows % resolved.data.batch_size
    if not resolved.data.drop_last:
        require_rows_to_normalize(problem, rest, "the last batch of an epoch")
    return problem


def _checked(table: Table) -> Table:
    """The table, if its shapes fit together and its numbers are finite."""
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
    _refuse_not_finite(table, "inputs", inputs)
    if targets.dtype.kind == "f":
        _refuse_not_finite(table, "targets", targets)
    return table


def _refuse_not_finite(table: Table, what: str, values: Array) -> None:
    if np.all(np.isfinite(values)):
        return
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
    column = f", column {table.column(what, index[1] if len(index) > 1 else 0)}"
    raise DataError(
        f"{table.where}: {what}, row {index[0]} (counted from 0){column}: {values[index]} given; "
        "allowed are finite numbers; remove or fill in what is missing"
    )


def _targets(experiment: Experiment, table: Table) -> Array:
    """Targets of the loss: int64 labels (rows,), else float64 (rows, out_features)."""
    loss = experiment.loss.kind
    if loss == "cross_entropy":
        return _labels(table)
    if table.targets.dtype.kind not in "biuf":
        raise DataError(
            f"{table.where}: targets are text, such as {str(table.targets.flat[0])!r}; allowed for "
            f"{loss} are numbers" + (" from 0 to 1" if loss == "bce_with_logits" else "")
        )
    values = table.targets.reshape(table.rows, -1).astype(np.float64)
    if loss == "bce_with_logits" and (values.min() < 0 or values.max() > 1):
        row, column = (int(i) for i in np.argwhere((values < 0) | (values > 1))[0])
        raise DataError(
            f"{table.where}: targets, row {row} (counted from 0), column "
            f"{table.column('targets', column)}: {values[row, column]:g} given; "
            "allowed is 0 to 1 for loss.kind = 'bce_with_logits'"
        )
    return values


def _labels(table: Table) -> Array:
    """Class labels as int64 (rows,); texts become the index of their place in sorted order."""
    values = table.targets
    if values.ndim != 1:
        raise DataError(
            f"{table.where}: targets of shape {values.shape} given; allowed are class labels of "
            "shape (rows,) for loss.kind = 'cross_entropy'"
        )
    if values.dtype.kind == "U":
        return np.unique(values, return_inverse=True)[1].astype(np.int64)
    fraction = values.astype(np.float64) % 1 != 0
    if fraction.any():
        row = int(np.argmax(fraction))
        raise DataError(
            f"{table.where}: targets, row {row} (counted from 0): {values[row]:g} given; allowed "
            "are whole class labels from 0 for loss.kind = 'cross_entropy'"
        )
    with np.errstate(invalid="ignore"):  # far outside int64 becomes a label that is refused
        return values.astype(np.int64)


def _resolved(experiment: Experiment, table: Table, targets: Array) -> Experiment:
    """The experiment with in_features and out_features of the data. Raises if they do not fit."""
    model = experiment.model
    in_features = table.inputs.shape[1]
    if model.in_features not in (None, in_features):
        raise DataError(
            f"model.in_features: {model.in_features} given; allowed is {in_features}, the columns "
            f"of {table.where}; leave it out to take the data's"
        )
    if experiment.loss.kind == "cross_entropy":
        out_features = _classes(model.out_features, table, targets)
    else:
        out_features = targets.shape[1]
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


def _classes(given: int | None, table: Table, labels: Array) -> int:
    """The number of classes: the one given, or that of the data where it has no gap."""
    lowest, highest = int(labels.min()), int(labels.max())
    distinct = len(np.unique(labels))
    classes = given or table.classes or distinct
    if classes == 1:
        _refuse_one_class(given, table)
    if lowest >= 0 and highest < classes:
        return classes
    row = int(np.argmax((labels < 0) | (labels >= classes)))
    reason = f"model.out_features = {given}" if given else f"{distinct} different labels found"
    raise DataError(
        f"{table.where}: targets, row {row} (counted from 0): label {table.targets[row]} given; "
        f"allowed is 0 to {classes - 1} ({reason}); relabel from 0, or set model.out_features"
    )


def _refuse_one_class(given: int | None, table: Table) -> None:
    """With one logit the softmax is 1: loss and gradients are zero, whatever the model does."""
    if given == 1:
        raise DataError(
            "model.out_features: 1 given with loss.kind = 'cross_entropy', where one class leaves "
            "nothing to learn; allowed is 2 or more, or loss.kind = 'bce_with_logits'"
        )
    raise DataError(
        f"{table.where}: targets, column {table.column('targets', 0)}: the label "
        f"{table.targets.flat[0]} in all {table.rows:,} rows; allowed are 2 classes or more for "
        "loss.kind = 'cross_entropy'; name the column of the labels with data.target, add rows of "
        "the other classes, or set model.out_features to the number of classes that there are"
    )


def _split(experiment: Experiment, rows: int) -> tuple[Array, Array]:
    """Training and test rows, each in the data's own order, so that shuffle = false means that."""
    data = experiment.data
    test = round(rows * data.test_fraction)
    if data.test_fraction > 0 and test in (0, rows):
        side = "test" if test == 0 else "training"
        raise DataError(
            f"data.test_fraction: {data.test_fraction:g} of {rows} rows leaves no {side} rows; "
            "allowed is 0, or a fraction that leaves both"
        )
    if data.drop_last and rows - test < data.batch_size:
        raise DataError(
            f"data.batch_size: {data.batch_size} given; allowed is {rows - test} or less, the "
            "training rows, because data.drop_last = true drops a batch that is not full"
        )
    order = threefry.permutation(threefry.stream_key(experiment.seed, threefry.SPLIT), rows)
    return np.sort(order[test:]), np.sort(order[:test])


def _standardized(values: Array, train_rows: Array) -> Array:
    """Columns with zero mean and unit variance on the training rows.

    A column that never varies in training says nothing; it becomes 0 in all rows. Columns are first
    scaled by a power of two, which is exact, so that squares neither overflow nor vanish.
    """
    train = values[train_rows]
    constant = train.max(axis=0) == train.min(axis=0)
    exponent = np.frexp(np.abs(train).max(axis=0))[1]
    with np.errstate(over="ignore"):  # the cast refuses what overflows
        scaled = np.ldexp(values, -exponent)
        train = scaled[train_rows]
        deviation = np.where(constant, 1.0, train.std(axis=0))
        standard = (scaled - train.mean(axis=0)) / deviation
    return np.where(constant, 0.0, standard)


def _cast(values: Array, experiment: Experiment, what: str) -> Array:
    """Values in the experiment's precision. Raises DataError for what overflows."""
    with np.errstate(over="ignore"):
        cast = values.astype(experiment.parameter_dtype)
    if not np.all(np.isfinite(cast)):
        row, column = (int(i) for i in np.argwhere(~np.isfinite(cast))[0])
        raise DataError(
            f"{what}[{row}, {column}]: too large for {experiment.parameter_dtype}; "
            "scale the data down or use precision = 'float64'"
        )
    return cast
