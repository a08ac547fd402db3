"""Exact symmetries: permutations under which a training run is mathematically the same.

Relabelling input features, hidden units or outputs, or reordering the rows of each batch, changes
no sum but the order of its terms. What such a run differs by, after the labels are put back, is
rounding alone: the noise floor under every comparison of engines.

Shared dropout masks belong to a unit's number and a row's place, so with dropout only input
features and outputs are permuted: those leave the masks as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from twofold.problem import threefry
from twofold.problem.problem import Batch, Problem
from twofold.problem.state import Array, Parameters, TrainState, bias_name, weight_name

Permutation = npt.NDArray[np.int64]

# A stream of draws apart from those of `twofold.problem.threefry`.
SYMMETRY = 1_000


@dataclass(frozen=True)
class Symmetry:
    """One permutation for each layer boundary, and a key for those of each batch's rows.

    `features[0]` permutes the inputs, `features[-1]` the outputs, those between the hidden units.
    `rows_key` is None where rows keep their places.
    """

    features: tuple[Permutation, ...]
    rows_key: threefry.Key | None

    def problem(self, problem: Problem) -> Problem:
        """The problem with its input features and outputs relabelled."""
        return replace(
            problem,
            train=self._relabelled(problem, problem.train),
            test=self._relabelled(problem, problem.test),
        )

    def state(self, state: TrainState) -> TrainState:
        """The state of the permuted run that corresponds to a state of the plain one."""
        return _with_arrays(state, self._permuted)

    def undone(self, state: TrainState) -> TrainState:
        """The state of the plain run that corresponds to a state of the permuted one."""
        inverse = replace(self, features=tuple(np.argsort(each) for each in self.features))
        return inverse.state(state)

    def batch(self, batch: Batch, step: int) -> Batch:
        """A batch of the permuted problem with its rows in another order."""
        if self.rows_key is None:
            return batch
        order = threefry.permutation(threefry.fold_in(self.rows_key, step), batch.rows)
        return Batch(batch.inputs[order], batch.targets[order])

    def _relabelled(self, problem: Problem, batch: Batch) -> Batch:
        outputs = self.features[-1]
        if problem.experiment.loss.kind == "cross_entropy":
            targets = np.argsort(outputs)[batch.targets]  # where each class has gone to
        else:
            targets = batch.targets[:, outputs]
        inputs = np.ascontiguousarray(batch.inputs[:, self.features[0]])
        return Batch(inputs, np.ascontiguousarray(targets))

    def _permuted(self, parameters: Parameters) -> Parameters:
        moved: dict[str, Array] = {}
        for layer, (into, out) in enumerate(itertools.pairwise(self.features)):
            weight = parameters[weight_name(layer)]  # (out_features, in_features)
            moved[weight_name(layer)] = np.ascontiguousarray(weight[out][:, into])
            if bias_name(layer) in parameters:
                moved[bias_name(layer)] = parameters[bias_name(layer)][out]  # (out_features,)
        return moved


def draw_symmetry(problem: Problem, number: int) -> Symmetry:
    """One of many symmetries of a problem; the same number gives the same one."""
    key = threefry.stream_key(problem.experiment.seed, SYMMETRY, number)
    sizes = problem.layer_sizes
    drops = problem.experiment.model.dropout > 0
    features = tuple(
        np.arange(size, dtype=np.int64)
        if drops and 0 < place < len(sizes) - 1
        else threefry.permutation(threefry.fold_in(key, place), size)
        for place, size in enumerate(sizes)
    )
    return Symmetry(features, None if drops else threefry.fold_in(key, len(sizes)))


def names_of(problem: Problem) -> tuple[str, ...]:
    """What the symmetries of a problem permute, in words."""
    if problem.experiment.model.dropout > 0:
        return ("input features", "outputs")
    return ("input features", "hidden units", "outputs", "batch rows")


def _with_arrays(state: TrainState, change: Callable[[Parameters], Parameters]) -> TrainState:
    slots = {slot: change(arrays) for slot, arrays in state.slots.items()}
    return TrainState(change(state.parameters), slots, state.step)
