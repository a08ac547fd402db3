"""Sessions: one experiment alive in one engine, NumPy in and NumPy out.

A backend supplies an `Executor`; the `Session` around it checks what goes in and what comes out,
once for all backends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import numpy as np

from twofold.engines.build_time import BuildTime
from twofold.engines.parts import Held, Parts
from twofold.errors import DataError
from twofold.problem.answers import answers
from twofold.problem.categories import require_rows_of
from twofold.problem.problem import Batch, Problem, require_rows_to_normalize
from twofold.problem.state import Array, Parameters, TrainState
from twofold.spec.model import embedding_of


class Executor(ABC):
    """What a backend's engine can do with one problem; arrays are NumPy, in canonical form.

    The executor keeps a train state, beginning with `twofold.problem.problem.initial_state`, and
    holds the training rows on its device, or some batches at a time where they lie in a memory map.
    "The current step" is the number of steps that state has taken.
    """

    @abstractmethod
    def logits(self, inputs: Array, *, training: bool) -> Array:
        """Logits (batch, out_features); with `training`, dropout masks of the current step."""

    @abstractmethod
    def loss(self, batch: Batch) -> float:
        """The loss of a batch in evaluation mode."""

    @abstractmethod
    def loss_and_gradients(self, batch: Batch) -> tuple[float, Parameters]:
        """Loss and gradients of a batch in training mode, with the current step's masks.

        Asking changes nothing: neither here nor in `logits` do buffers move.
        """

    @abstractmethod
    def step(self, batch: Batch) -> float:
        """Take one training step on a batch; returns the loss before the update."""

    @abstractmethod
    def run(self, steps: int) -> Array:
        """Take steps on the problem's own batches, on the device; returns the losses (steps,)."""

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """The batch that `run` feeds at one step, gathered on the device and brought back."""

    @abstractmethod
    def masks(self, rows: int) -> tuple[Array, ...]:
        """The current step's dropout masks as drawn on the device: bool (rows, features) each."""

    @abstractmethod
    def state(self) -> TrainState:
        """A copy of the train state."""

    @abstractmethod
    def load_state(self, state: TrainState) -> None:
        """Replace the train state."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until the device has done all work asked of it."""

    @abstractmethod
    def compilations(self) -> int:
        """How many programs this executor has compiled so far; 0 for an engine that never does."""

    @abstractmethod
    def build_time(self) -> BuildTime:
        """Seconds of tracing and of compiling so far, from the opening of the problem on."""

    def parts(self) -> Parts | None:
        """How several processes write a state together; None where they cannot."""
        return None

    def held(self) -> Held:
        """The current state as the engine holds it, good until the next step."""
        state = self.state()
        return Held(state.step, state)

    def keep(self) -> Held:
        """A copy of the current state that stays."""
        return self.held()

    def whole(self, held: Held) -> TrainState:
        """All of a state that this executor holds."""
        state: TrainState = held.state
        return state

    def go_back(self, held: Held) -> None:
        """Replace the state by one that this executor holds; `held` stays as it is."""
        self.load_state(self.whole(held))

    def hold(self, state: TrainState) -> Held:
        """A train state as the engine holds it; the current one stays."""
        return Held(state.step, state)


@final
class Session:
    """One problem alive in one engine; every answer comes through that engine."""

    def __init__(self, engine: str, problem: Problem, executor: Executor) -> None:
        self.engine = engine
        self.problem = problem
        self._executor = executor

    @property
    def executor_type(self) -> type[Executor]:
        """The class of the executor: a backend's own, or somebody's own loop."""
        return type(self._executor)

    def predict(self, inputs: Array) -> Array:
        """What the model answers for inputs (rows, in_features), by name or in original units.

        Class names (rows,) for cross_entropy, and for bce_with_logits whose target had two texts;
        probabilities (rows, out_features) for bce_with_logits else; for mse and huber numbers
        (rows, out_features) in the target's own units. `inputs` are as in `problem.test`. Raises
        DataError as `logits` does, and for logits that are not finite.
        """
        return answers(self.problem, self.logits(inputs))

    def logits(self, inputs: Array, *, training: bool = False) -> Array:
        """Logits (batch, out_features); `training` applies the current step's dropout masks.

        Raises DataError for a wrong shape, or for values that are not finite.
        """
        checked = _checked_inputs(self.problem, inputs)
        if training:
            require_rows_to_normalize(self.problem, len(checked), "inputs")
        return self._executor.logits(checked, training=training)

    def loss(self, batch: Batch) -> float:
        """The loss of a batch in evaluation mode. Raises DataError if it does not fit."""
        return self._executor.loss(checked_batch(self.problem, batch))

    def loss_and_gradients(self, batch: Batch) -> tuple[float, Parameters]:
        """Loss and gradients in training mode. Raises DataError for a batch that does not fit."""
        return self._executor.loss_and_gradients(self._checked_to_train(batch))

    def step(self, batch: Batch) -> float:
        """Take one training step on a batch; returns the loss before the update.

        Raises DataError for a batch that does not fit.
        """
        return self._executor.step(self._checked_to_train(batch))

    def run(self, steps: int) -> Array:
        """Take `steps` training steps on the problem's own batches; returns the losses (steps,)."""
        if steps < 1:
            raise DataError(f"steps: {steps} given; allowed is 1 or more")
        return self._executor.run(steps)

    def batch(self, step: int) -> Batch:
        """The batch that `run` feeds at one step, counted from 0."""
        return self._executor.batch(step)

    def masks(self, rows: int) -> tuple[Array, ...]:
        """The current step's dropout masks, bool (rows, features) for each dropout layer."""
        return self._executor.masks(rows)

    def state(self) -> TrainState:
        """A copy of the train state: parameters, optimizer slots, step, buffers."""
        return self._executor.state()

    def load_state(self, state: TrainState) -> None:
        """Replace the train state. Raises DataError when names, shapes or dtypes do not fit."""
        self._executor.load_state(checked_state(self.problem, state))

    def synchronize(self) -> None:
        """Wait until the device has done all work asked of it."""
        self._executor.synchronize()

    def compilations(self) -> int:
        """How many programs this session has compiled so far."""
        return self._executor.compilations()

    def build_time(self) -> BuildTime:
        """Seconds that this session has traced and compiled so far, its opening included."""
        return self._executor.build_time()

    def parts(self) -> Parts | None:
        """How several processes write a state together; None where this engine cannot."""
        return self._executor.parts()

    def held(self) -> Held:
        """The current state as the engine holds it, good until the next step."""
        return self._executor.held()

    def keep(self) -> Held:
        """A copy of the current state, as the engine holds it, that stays."""
        return self._executor.keep()

    def whole(self, held: Held) -> TrainState:
        """All of a state that this session holds."""
        return self._executor.whole(held)

    def go_back(self, held: Held) -> None:
        """Replace the train state by one that this session holds; `held` stays as it is.

        Raises DataError when names, shapes or dtypes do not fit.
        """
        if isinstance(held.state, TrainState):
            self.load_state(held.state)
        else:
            self._executor.go_back(held)

    def hold(self, state: TrainState) -> Held:
        """A train state as the engine holds it; the current one stays. Raises DataError."""
        return self._executor.hold(checked_state(self.problem, state))

    def _checked_to_train(self, batch: Batch) -> Batch:
        checked = checked_batch(self.problem, batch)
        require_rows_to_normalize(self.problem, checked.rows, "batch")
        return checked


def _checked_inputs(problem: Problem, inputs: Array) -> Array:
    features = problem.in_features
    if inputs.ndim != 2 or inputs.shape[1] != features or inputs.shape[0] == 0:
        raise DataError(
            f"inputs: shape {inputs.shape} given; allowed is (batch, {features}) with batch >= 1"
        )
    if not np.all(np.isfinite(inputs)):
        row, column = np.argwhere(~np.isfinite(inputs))[0]
        raise DataError(
            f"inputs[{row}, {column}]: {inputs[row, column]} given; allowed are finite numbers"
        )
    embedding = embedding_of(problem.experiment.model)
    if embedding is not None:
        require_rows_of(embedding, inputs)
    return np.ascontiguousarray(inputs, dtype=problem.dtype)


def checked_batch(problem: Problem, batch: Batch) -> Batch:
    """The batch in the problem's dtypes. Raises DataError if it does not fit the problem."""
    inputs = _checked_inputs(problem, batch.inputs)
    targets = checked_targets(problem, batch.targets, rows=inputs.shape[0])
    return Batch(inputs, targets)


def checked_targets(problem: Problem, targets: Array, rows: int) -> Array:
    """Targets in the problem's dtype. Raises DataError for labels outside the classes and NaN."""
    out_features = problem.out_features
    loss = problem.experiment.loss.kind
    if loss == "cross_entropy":
        return _checked_labels(targets, rows, out_features)
    if targets.shape != (rows, out_features):
        raise DataError(
            f"targets: shape {targets.shape} given; allowed is ({rows}, {out_features}) for {loss}"
        )
    if not np.all(np.isfinite(targets)):
        row = int(np.argwhere(~np.isfinite(targets))[0][0])
        raise DataError(f"targets[{row}]: not finite; allowed are finite numbers")
    if loss == "bce_with_logits" and (targets.min() < 0 or targets.max() > 1):
        raise DataError(
            f"targets: {targets.min()} to {targets.max()} given; "
            "allowed is 0 to 1 for bce_with_logits"
        )
    return np.ascontiguousarray(targets, dtype=problem.dtype)


def _checked_labels(targets: Array, rows: int, classes: int) -> Array:
    if targets.shape != (rows,):
        raise DataError(
            f"targets: shape {targets.shape} given; allowed is ({rows},) class labels "
            "for cross_entropy"
        )
    if not np.issubdtype(targets.dtype, np.integer):
        raise DataError(f"targets: dtype {targets.dtype} given; allowed are integer class labels")
    if targets.min() < 0 or targets.max() >= classes:
        wrong = int(np.argmax((targets < 0) | (targets >= classes)))
        raise DataError(
            f"targets[{wrong}]: label {targets[wrong]} given; allowed is 0 to {classes - 1} "
            f"(model.out_features = {classes})"
        )
    return np.ascontiguousarray(targets, dtype=np.int64)


def checked_state(problem: Problem, state: TrainState) -> TrainState:
    """The state, if names, shapes and dtypes are the problem's own. Raises DataError otherwise."""
    from twofold.problem.problem import initial_state

    if not isinstance(state, TrainState):
        raise DataError(
            f"state: {type(state).__name__} given; allowed is a TrainState; make one of a model's "
            "weights with twofold.problem.state.fresh_state(parameters, slot_names(experiment)), "
            "the parameters as NumPy arrays under names such as layers.0.weight"
        )
    expected = initial_state(problem)
    if state.step < 0:
        raise DataError(f"state.step: {state.step} given; allowed is 0 or more")
    _check_arrays("parameters", state.parameters, expected.parameters)
    if set(state.slots) != set(expected.slots):
        raise DataError(
            f"state.slots: {sorted(state.slots)} given; allowed is {sorted(expected.slots)}"
        )
    for slot, arrays in state.slots.items():
        _check_arrays(slot, arrays, expected.slots[slot])
    _check_arrays("buffers", state.buffers, expected.buffers)
    return state


def _check_arrays(where: str, given: Parameters, expected: Parameters) -> None:
    if set(given) != set(expected):
        raise DataError(f"{where}: names {sorted(given)} given; allowed is {sorted(expected)}")
    for name, array in expected.items():
        if given[name].shape != array.shape or given[name].dtype != array.dtype:
            raise DataError(
                f"{where} {name}: {given[name].dtype} {given[name].shape} given; "
                f"allowed is {array.dtype} {array.shape}"
            )
