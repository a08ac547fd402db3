"""Exact symmetries: permutations under which a training run is mathematically the same.

Relabelling input features, hidden units or outputs, or reordering the rows of each batch, changes
no sum but the order of its terms. What such a run differs by, after the labels are put back, is
rounding alone: the noise floor under every comparison of engines.

With an embedding the input columns of numbers are permuted, and those of texts keep their places.

Shared dropout masks belong to a unit's number and a row's place, so with dropout only input
features and outputs are permuted: those leave the masks as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from twofold.problem.problem import Batch, Problem
from twofold.problem.state import Array, Parameters, TrainState
from twofold.spec import threefry
from twofold.spec.layers.embedding import Embedding
from twofold.spec.layers.kind import Permutation
from twofold.spec.layers.linear import Linear
from twofold.spec.layers.sequence import Placed, every
from twofold.spec.losses import output_weights
from twofold.spec.model import dropouts, embedding_of

# A stream of draws apart from those of `twofold.spec.threefry`.
SYMMETRY = 1_000
MIXING = (Linear, Embedding)
"""The kinds that do not give each feature that enters its own place among those that leave."""


@dataclass(frozen=True)
class Relabelling:
    """How a layer with parameters is relabelled: features entering and leaving."""

    placed: Placed
    into: Permutation
    out: Permutation

    def moved(self, arrays: Parameters, shapes: Iterable[str]) -> dict[str, Array]:
        """Those of its arrays that are there, under their canonical names."""
        short = {name.rpartition(".")[2]: arrays[name] for name in shapes if name in arrays}
        moved = self.placed.layer.permuted(short, self.into, self.out)
        return {self.placed.named(name): array for name, array in moved.items()}


@dataclass(frozen=True)
class Symmetry:
    """What becomes of each layer with parameters, and a key for the order of each batch's rows.

    `inputs` and `outputs` permute the features that enter and leave the model. `rows_key` is None
    where rows keep their places.
    """

    inputs: Permutation
    outputs: Permutation
    layers: tuple[Relabelling, ...]
    rows_key: threefry.Key | None

    def problem(self, problem: Problem) -> Problem:
        """The problem with its input features and outputs relabelled."""
        loss = problem.experiment.loss
        weights = output_weights(loss)
        if weights is not None:  # each goes where its class or output has gone to
            field = "class_weights" if loss.kind == "cross_entropy" else "pos_weight"
            moved = tuple(weights[place] for place in self.outputs)
            loss = loss.model_copy(update={field: moved})
        return replace(
            problem,
            experiment=problem.experiment.model_copy(update={"loss": loss}),
            train=self._relabelled(problem, problem.train),
            test=self._relabelled(problem, problem.test),
        )

    def state(self, state: TrainState) -> TrainState:
        """The state of the permuted run that corresponds to a state of the plain one."""
        return replace(
            state,
            parameters=self._permuted(state.parameters),
            slots={slot: self._permuted(arrays) for slot, arrays in state.slots.items()},
            buffers=self._permuted(state.buffers),
        )

    def undone(self, state: TrainState) -> TrainState:
        """The state of the plain run that corresponds to a state of the permuted one."""
        layers = tuple(
            replace(each, into=np.argsort(each.into), out=np.argsort(each.out))
            for each in self.layers
        )
        return replace(self, layers=layers).state(state)

    def batch(self, batch: Batch, step: int) -> Batch:
        """A batch of the permuted problem with its rows in another order."""
        if self.rows_key is None:
            return batch
        order = threefry.permutation(threefry.fold_in(self.rows_key, step), batch.rows)
        return Batch(batch.inputs[order], batch.targets[order])

    def _relabelled(self, problem: Problem, batch: Batch) -> Batch:
        outputs = self.outputs
        if problem.experiment.loss.kind == "cross_entropy":
            targets = np.argsort(outputs)[batch.targets]  # where each class has gone to
        else:
            targets = batch.targets[:, outputs]
        inputs = np.ascontiguousarray(batch.inputs[:, self.inputs])
        return Batch(inputs, np.ascontiguousarray(targets))

    def _permuted(self, arrays: Parameters) -> Parameters:
        """Parameters, slots or buffers, of which a layer may have none."""
        moved: dict[str, Array] = {}
        for each in self.layers:
            placed = each.placed
            for shapes in (placed.parameter_shapes, placed.buffer_shapes):
                if any(name in arrays for name in shapes):
                    moved |= each.moved(arrays, shapes)
        return moved


def draw_symmetry(problem: Problem, number: int) -> Symmetry:
    """One of many symmetries of a problem; the same number gives the same one.

    Each linear layer, and an embedding, gets a permutation of what leaves it, but for the last
    linear layer of a residual block: its features are added to those that entered the block, and
    are relabelled as those are.
    """
    key = threefry.stream_key(problem.experiment.seed, SYMMETRY, number)
    drops = bool(dropouts(problem.experiment.model))
    mixing = [each for each in every(problem.layers) if isinstance(each.layer, MIXING)]
    places = {each.number: place for place, each in enumerate(mixing, 1)}

    def drawn(place: int, size: int) -> Permutation:
        return threefry.permutation(threefry.fold_in(key, place), size)

    def leaving(each: Placed, entering: Permutation) -> Permutation:
        place = places[each.number]
        if drops and place < len(mixing):
            return np.arange(each.width_after, dtype=np.int64)
        return each.layer.relabelled(entering, threefry.fold_in(key, place))

    embedding = embedding_of(problem.experiment.model)
    texts = 0 if embedding is None else len(embedding.known)
    numbers = problem.in_features - texts
    first = np.concatenate([drawn(0, numbers), np.arange(numbers, problem.in_features)])
    if drops and not isinstance(problem.layers[0].layer, Linear):
        first = np.arange(problem.in_features, dtype=np.int64)  # a mask may be next
    layers, outputs = _relabelled(problem.layers, first, leaving)
    rows_key = None if drops else threefry.fold_in(key, len(mixing) + 1)
    return Symmetry(first, outputs, tuple(layers), rows_key)


def _relabelled(
    layers: Sequence[Placed],
    stream: Permutation,
    leaving: Callable[[Placed, Permutation], Permutation],
    last: Permutation | None = None,
) -> tuple[list[Relabelling], Permutation]:
    """What becomes of each layer from relabelled inputs on, and of what leaves.

    `last`, if given, is what the last linear layer must give.
    """
    found: list[Relabelling] = []
    linear = [each for each in layers if isinstance(each.layer, Linear)]
    for each in layers:
        if each.block:
            found += _relabelled(each.block, stream, leaving, stream)[0]
        elif each.number is not None:
            out = stream
            if isinstance(each.layer, MIXING):
                out = last if last is not None and each is linear[-1] else leaving(each, stream)
            found.append(Relabelling(each, stream, out))
            stream = out
    return found, stream


def names_of(problem: Problem) -> tuple[str, ...]:
    """What the symmetries of a problem permute, in words."""
    if dropouts(problem.experiment.model):
        return ("input features", "outputs")
    return ("input features", "hidden units", "outputs", "batch rows")
