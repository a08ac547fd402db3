"""From an experiment to a problem: load the data, check it, split it, standardise it, cast it.

Values are computed in float64 and cast to the experiment's precision at the end.
"""

from __future__ import annotations

from twofold.problem import mapped, sources
from twofold.problem.categories import encoded
from twofold.problem.description import Description
from twofold.problem.fitting import checked, resolved_for, targets_of
from twofold.problem.missing import filled_in, without_empty_rows
from twofold.problem.problem import Batch, Problem, require_rows_to_normalize
from twofold.problem.scaling import Standard, cast
from twofold.problem.splits import require_a_batch, split
from twofold.problem.table import Table
from twofold.problem.telling import telling_columns
from twofold.spec.experiment import Experiment


def prepare(experiment: Experiment, given: Table | None = None) -> Problem:
    """The problem of an experiment: its feature counts known, its rows loaded.

    `given`: the table of the experiment's source, where it has been read already.

    Raises DataError for data that cannot be read or does not fit, SpecError for fields that do not
    go with the source or layers that do not fit its columns, FrameworkMissing when the library that
    reads the source is not installed.
    """
    data = experiment.data
    if data.memory_map and given is None:
        return _mapped(experiment)
    table, dropped = without_empty_rows(checked(given or sources.load(experiment)), data.missing)
    found = targets_of(experiment, table)
    rows = split(experiment, table.rows)
    train_rows = rows.train
    filled, cells = filled_in(table, data.missing, train_rows)
    coded = encoded(table, filled, train_rows, data.categorical)
    counts = coded.inputs.shape[1], found.columns
    resolved = resolved_for(experiment, table.where, counts, coded.embedded)
    inputs, input_scaling = coded.inputs, None
    if data.standardize:
        standard = Standard.of(inputs[train_rows], coded.from_texts)
        inputs, input_scaling = standard.applied(inputs), standard.scaling()
    inputs = cast(inputs, experiment, "inputs")
    targets, target_scaling = found.scaled(experiment, train_rows)
    return _fed(
        Problem(
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
    )


def _mapped(experiment: Experiment) -> Problem:
    """The same problem, its rows in files that are mapped into memory."""
    found = mapped.prepared(experiment)
    train = found.batches["train"]
    columns = train.targets.shape[1] if train.targets.ndim > 1 else len(found.description.classes)
    where, counts = f"data.source {experiment.data.source!r}", (train.inputs.shape[1], columns)
    require_a_batch(experiment.data, train.rows)
    return _fed(
        Problem(
            experiment=resolved_for(experiment, where, counts, found.description.embedded),
            train=train,
            test=found.batches["test"],
            description=found.description,
            validation=found.batches["validation"]
            if experiment.data.validation_fraction > 0
            else None,
        )
    )


def _fed(problem: Problem) -> Problem:
    """The problem, if its batches can be trained on."""
    resolved = problem.experiment
    rest = problem.train.rows % resolved.data.batch_size
    if not resolved.data.drop_last:
        require_rows_to_normalize(problem, rest, "the last batch of an epoch")
    return problem
