"""A problem: an experiment whose open questions the data has answered, with that data.

The corridor runs Experiment -> Problem -> Session. A problem is a value: the same experiment and
seed give the same arrays, the same initial parameters and the same batches, bit for bit.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from twofold.errors import DataError
from twofold.problem import threefry
from twofold.problem.state import (
    FIRST_MOMENT,
    MOMENTUM,
    SECOND_MOMENT,
    Array,
    Parameters,
    TrainState,
    bias_name,
    fresh_state,
    weight_name,
)
from twofold.spec.experiment import Experiment


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
    """A resolved experiment (its feature counts known) with its training and test rows."""

    experiment: Experiment
    train: Batch
    test: Batch

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """The floating-point type of parameters, inputs and real-valued targets."""
        return np.dtype(self.experiment.parameter_dtype)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Features entering and leaving each layer: in_features, hidden ..., out_features."""
        model = self.experiment.model
        if model.in_features is None or model.out_features is None:
            raise DataError("model.in_features and model.out_features are not resolved")
        return (model.in_features, *model.hidden, model.out_features)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch; the last one may be smaller unless `data.drop_last`."""
        rows, size = self.train.rows, self.experiment.data.batch_size
        return rows // size if self.experiment.data.drop_last else -(-rows // size)

    @property
    def total_steps(self) -> int:
        """Training steps that the experiment asks for."""
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
    """Initial weights and biases, uniform in +-1/sqrt(in_features) of their layer.

    The range is that of `torch.nn.Linear.reset_parameters` (PyTorch 2.13); the draws are Twofold's
    own, so that both frameworks start from the same bits.
    """
    sizes = problem.layer_sizes
    seed = problem.experiment.seed
    parameters: dict[str, Array] = {}
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        key = threefry.stream_key(seed, threefry.INITIALISATION, layer)
        limit = 1.0 / np.sqrt(fan_in)
        weight = threefry.uniform(threefry.fold_in(key, 0), (fan_out, fan_in))
        parameters[weight_name(layer)] = ((2.0 * weight - 1.0) * limit).astype(problem.dtype)
        if problem.experiment.model.bias:
            bias = threefry.uniform(threefry.fold_in(key, 1), (fan_out,))
            parameters[bias_name(layer)] = ((2.0 * bias - 1.0) * limit).astype(problem.dtype)
    return parameters


def initial_state(problem: Problem) -> TrainState:
    """The state before the first step."""
    return fresh_state(initial_parameters(problem), slot_names(problem.experiment))


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
    rows = batch_indices(problem, step)
    return Batch(problem.train.inputs[rows], problem.train.targets[rows])


def dropout_masks(problem: Problem, step: int, rows: int) -> tuple[npt.NDArray[np.bool_], ...]:
    """Which hidden units are kept at one step: for each hidden layer bool (rows, hidden).

    Empty when the model has no dropout.
    """
    experiment = problem.experiment
    dropout = experiment.model.dropout
    if dropout == 0:
        return ()
    key = threefry.stream_key(experiment.seed, threefry.DROPOUT, step)
    return tuple(
        threefry.keep_mask(threefry.fold_in(key, layer), (rows, width), dropout)
        for layer, width in enumerate(experiment.model.hidden)
    )
