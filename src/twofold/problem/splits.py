"""Which rows are for training, which for validation and which for the test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twofold.errors import DataError
from twofold.spec import threefry
from twofold.spec.data import Data
from twofold.spec.experiment import Experiment

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of the three splits, each in the data's own order, so shuffle = false means that."""

    train: Places
    validation: Places
    test: Places


def split(experiment: Experiment, rows: int) -> Rows:
    """Draw the test rows, and from the rest the validation rows.

    Scaling, fills and categories are those of the training rows, without either. Raises DataError
    where a fraction leaves a split without rows, or drop_last training without a batch.
    """
    data = experiment.data
    test = _share_of(data.test_fraction, rows, "test")
    validation = _share_of(data.validation_fraction, rows - test, "validation")
    first = test + validation
    require_a_batch(data, rows - first)
    order = threefry.permutation(threefry.stream_key(experiment.seed, threefry.SPLIT), rows)
    return Rows(
        train=np.sort(order[first:]),
        validation=np.sort(order[test:first]),
        test=np.sort(order[:test]),
    )


def require_a_batch(data: Data, training_rows: int) -> None:
    """Raise DataError where drop_last leaves no batch of the training rows."""
    if data.drop_last and training_rows < data.batch_size:
        raise DataError(
            f"data.batch_size: {data.batch_size} given; allowed is {training_rows} or less, the "
            "training rows, because data.drop_last = true drops a batch that is not full"
        )


def _share_of(fraction: float, rows: int, name: str) -> int:
    """How many of the rows a fraction takes. Raises DataError where it takes none or all."""
    taken = round(rows * fraction)
    if fraction > 0 and taken in (0, rows):
        side = name if taken == 0 else "training"
        of = "rows" if name == "test" else "rows that are not test rows"
        raise DataError(
            f"data.{name}_fraction: {fraction:g} of {rows} {of} leaves no {side} rows; "
            "allowed is 0, or a fraction that leaves both"
        )
    return taken
