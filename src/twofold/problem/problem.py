"""A problem: an experiment whose open questions the data has answered, with that data.

The corridor runs Experiment -> Problem -> Session. A problem is a value: the same experiment and
seed give the same arrays, the same initial parameters and the same batches, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from twofold.errors import DataError
from twofold.problem.description import NOTHING_KNOWN, Description
from twofold.problem.row_maps import is_mapped, taken
from twofold.problem.state import (
    FIRST_MOMENT,
    MOMENTUM,
    SECOND_MOMENT,
    Array,
    Parameters,
    TrainState,
    fresh_state,
)
from twofold.spec import threefry
from twofold.spec.experiment import Experiment
from twofold.spec.layers.kind import Values
from twofold.spec.layers.sequence import Placed
from twofold.spec.model import across_rows, dropouts, numbered, placed


@dataclass(frozen=True)
class Batch:
    """Rows that go through the model together.

    `inputs` (batch, in_features) in the experiment's precision; `targets` int64 class labels
    (batch,) for cross_entropy, else (batch, out_features) in the experiment's precision.
    """

    inputs: Array
    targets: Array

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.inputs.shape[0])


@dataclass(frozen=True)
class Problem:
    """A resolved experiment (its feature counts known) with its training and test rows.

    `validation` are the rows that tell the best epoch, None where the experiment sets none aside.
    `description` says what columns and labels stand for, where the data says it.
    """

    experiment: Experiment
    train: Batch
    test: Batch
    description: Description = NOTHING_KNOWN
    validation: Batch | None = None

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """The floating-point type of parameters, inputs and real-valued targets."""
        return np.dtype(self.experiment.parameter_dtype)

    @property
    def is_mapped(self) -> bool:
        """Whether its rows lie in files that are mapped into memory (`data.memory_map`)."""
        return is_mapped(self.train.inputs)

    @property
    def layers(self) -> tuple[Placed, ...]:
        """The layers of the model in their places, input side first."""
        return placed(self.experiment.model)

    @property
    def in_features(self) -> int:
        """Columns of the inputs."""
        return self.layers[0].width

    @property
    def out_features(self) -> int:
        """Columns of the logits."""
        return self.layers[-1].width_after

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch; the last one may be smaller unless `data.drop_last`."""
        rows, size = self.train.rows, self.experiment.data.batch_size
        return rows // size if self.experiment.data.drop_last else -(-rows // size)

    @property
    def total_steps(self) -> int:
        """Training steps that the experiment asks for; with `training.patience` at most."""
        training = self.experiment.training
        if training.steps is not None:
            return training.steps
        assert training.epochs is not None  # the spec allows exactly one of the two
        return training.epochs * self.steps_per_epoch


def slot_names(experiment: Experiment) -> tuple[str, ...]:
    """The optimizer's slots: `momentum` for SGD with momentum, the two moments for Adam(W)."""
    optimizer = experiment.optimizer
    if optimizer.kind == "sgd":
        return (MOMENTUM,) if optimizer.momentum > 0 else ()
    return (FIRST_MOMENT, SECOND_MOMENT)


def initial_parameters(problem: Problem) -> Parameters:
    """Initial values of every layer's parameters: see the layer kinds, `twofold.spec.layers`."""
    seed = problem.experiment.seed
    parameters: dict[str, Array] = {}
    for each in numbered(problem.experiment.model):
        assert each.number is not None
        key = threefry.stream_key(seed, threefry.INITIALISATION, each.number)
        parameters |= _named(problem, each, each.layer.initial_parameters(each.width, key))
    return parameters


def initial_buffers(problem: Problem) -> Parameters:
    """Initial values of every layer's buffers; empty without batch norm."""
    buffers: dict[str, Array] = {}
    for each in numbered(problem.experiment.model):
        buffers |= _named(problem, each, each.layer.initial_buffers(each.width))
    return buffers


def _named(problem: Problem, each: Placed, values: Values) -> dict[str, Array]:
    return {each.named(short): array.astype(problem.dtype) for short, array in values.items()}


def initial_state(problem: Problem) -> TrainState:
    """The state before the first step."""
    parameters, buffers = initial_parameters(problem), initial_buffers(problem)
    return fresh_state(parameters, slot_names(problem.experiment), buffers)


def require_rows_to_normalize(problem: Problem, rows: int, what: str) -> None:
    """Raise DataError for a batch of one row that batch norm would be trained on.

    Its variance is zero: PyTorch raises, and Flax returns the shift alone.
    """
    layer = across_rows(problem.experiment.model)
    if rows == 1 and layer is not None:
        raise DataError(
            f"{what}: 1 row; allowed is 2 or more in training with {layer} in the model, for "
            "the variance of one row is zero; change data.batch_size, or set data.drop_last = true"
        )


def epoch_order(seed: int, epoch: int, rows: int, shuffle: bool) -> npt.NDArray[np.int64]:
    """The order in which an epoch visits the training rows, shape (rows,)."""
    if shuffle:
        return threefry.permutation(threefry.stream_key(seed, threefry.DATA_ORDER, epoch), rows)
    return np.arange(rows, dtype=np.int64)


@lru_cache(maxsize=64)
def _kept_order(seed: int, epoch: int, rows: int, shuffle: bool) -> npt.NDArray[np.int64]:
    """Read-only, for those who ask batch by batch; training draws an order once and pays for it."""
    order = epoch_order(seed, epoch, rows, shuffle)
    order.flags.writeable = False
    return order


def batch_indices(problem: Problem, step: int) -> npt.NDArray[np.int64]:
    """The training rows of one step, counted from 0, shape (batch,)."""
    epoch, position = divmod(step, problem.steps_per_epoch)
    experiment = problem.experiment
    order = _kept_order(experiment.seed, epoch, problem.train.rows, experiment.data.shuffle)
    size = experiment.data.batch_size
    return order[position * size : (position + 1) * size]


def batch_at(problem: Problem, step: int) -> Batch:
    """The batch that training sees at one step, counted from 0."""
    return batch_of(problem, batch_indices(problem, step))


def batch_of(problem: Problem, rows: npt.NDArray[np.integer]) -> Batch:
    """Some training rows in their order, copied out of memory or of the mapped files."""
    return Batch(taken(problem.train.inputs, rows), taken(problem.train.targets, rows))


def dropout_masks(problem: Problem, step: int, rows: int) -> tuple[npt.NDArray[np.bool_], ...]:
    """Which features are kept at one step: for each dropout layer bool (rows, features).

    Empty when the model has no dropout.
    """
    key = threefry.stream_key(problem.experiment.seed, threefry.DROPOUT, step)
    return tuple(
        threefry.keep_mask(threefry.fold_in(key, draw), (rows, width), rate)
        for draw, (width, rate) in enumerate(dropouts(problem.experiment.model))
    )
