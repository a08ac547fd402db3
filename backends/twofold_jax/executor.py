"""One problem alive in one engine of JAX: NumPy in, NumPy out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

from twofold.engines.build_time import BuildTime
from twofold.engines.parts import Held, Parts
from twofold.engines.session import Executor
from twofold.errors import SpecError
from twofold.problem.problem import Batch, Problem, initial_buffers, initial_parameters, slot_names
from twofold.problem.state import Array, Parameters, TrainState, fresh_state
from twofold.spec.model import dropouts
from twofold_jax import convert
from twofold_jax.building import BuildClock
from twofold_jax.device import arithmetic, choose_device
from twofold_jax.execution import Execution, read
from twofold_jax.feed import Feed
from twofold_jax.masks import SharedMasks
from twofold_jax.model import BuildModel
from twofold_jax.parts import OrbaxParts
from twofold_jax.program import Program, build_program
from twofold_jax.state import State


@final
class JaxExecutor(Executor):
    """Keeps a state on a device and moves it on through an engine's functions."""

    def __init__(
        self,
        problem: Problem,
        where: jax.Device,
        program: Program,
        execution: Execution,
        clock: BuildClock,
    ) -> None:
        """`clock` may have listened to the building of `program` already."""
        self._problem = problem
        self._device = where
        self._program = program
        self._execution = execution
        self._clock = clock
        shared = execution.shared
        self._parts = None if shared is None else OrbaxParts(shared, self._unheard)
        self._slots = slot_names(problem.experiment)
        # One program: operation by operation, JAX would compile dozens for every layer.
        self._draw = jax.jit(SharedMasks(dropouts(problem.experiment.model)), static_argnums=1)
        with self._arithmetic():
            self._feed = Feed(problem, where)
        self._state: Any  # as the engine holds it
        self._step = 0
        parameters, buffers = self._initial_parameters(), initial_buffers(problem)
        self.load_state(fresh_state(parameters, self._slots, buffers))
        if execution.prepare is not None:
            with self._arithmetic():
                execution.prepare(self._state, *self._feed.part(0, problem.steps_per_epoch))

    def logits(self, inputs: Array, *, training: bool) -> Array:
        """Logits (batch, out_features); with `training`, dropout masks of the current step."""
        forward = self._execution.training_logits if training else self._execution.logits
        with self._arithmetic():
            return convert.to_array(forward(self._state, convert.to_device(inputs, self._device)))

    def loss(self, batch: Batch) -> float:
        """The loss of a batch in evaluation mode."""
        with self._arithmetic():
            return float(self._execution.evaluate(self._state, *self._on_device(batch)))

    def loss_and_gradients(self, batch: Batch) -> tuple[float, Parameters]:
        """Loss and gradients of a batch in training mode, with the current step's masks."""
        with self._arithmetic():
            arrays = self._on_device(batch)
            loss, gradients = self._execution.loss_and_gradients(self._state, *arrays)
            return float(loss), self._program.model.layout.to_numpy(gradients)

    def step(self, batch: Batch) -> float:
        """Take one training step on a batch; returns the loss before the update."""
        with self._arithmetic():
            self._state, loss = self._execution.train_step(self._state, *self._on_device(batch))
            self._step += 1
            return float(loss)

    def run(self, steps: int) -> Array:
        """Take steps on the problem's own batches, on the device; returns the losses (steps,)."""
        losses = []
        end = self._step + steps
        with self._arithmetic():
            while self._step < end:
                inputs, targets, part = self._feed.part(self._step, end - self._step)
                self._state, part_losses = self._execution.train_steps(
                    self._state, inputs, targets, part
                )
                losses.append(part_losses)
                self._step += part.count
            return np.concatenate(list(map(read, losses))).astype(self._problem.dtype, copy=False)

    def batch(self, step: int) -> Batch:
        """The batch that `run` feeds at one step, gathered on the device and brought back."""
        with self._arithmetic():
            return self._feed.batch(step)

    def masks(self, rows: int) -> tuple[Array, ...]:
        """The current step's dropout masks as drawn on the device: bool (rows, features) each.

        Raises SpecError with `rng = "native"`.
        """
        experiment = self._problem.experiment
        if experiment.rng == "native" and dropouts(experiment.model):
            raise SpecError(
                'rng: "native" given; masks that dropout layers draw for themselves cannot be '
                'read; use rng = "shared"'
            )
        with self._arithmetic():
            key = self._program.key(self._released().step)
            if key is None:
                return ()
            return tuple(convert.to_array(mask) for mask in self._draw(key, rows))

    def state(self) -> TrainState:
        """A copy of the train state."""
        return self.whole(self.held())

    def load_state(self, state: TrainState) -> None:
        """Replace the train state."""
        self._execution.require_same(state)
        self._state, self._step = self.hold(state).state, state.step

    def parts(self) -> Parts | None:
        """How several processes write a state together; None for an engine of one."""
        return self._parts

    def held(self) -> Held:
        """The current state as the engine holds it, good until the next step."""
        return Held(self._step, self._state)

    def keep(self) -> Held:
        """A copy of the current state that stays; each device copies what it has."""
        return self._copied(self.held())

    def whole(self, held: Held) -> TrainState:
        """All of a state that this executor holds, in NumPy."""
        with self._unheard():
            released = self._execution.release(held.state)
            return convert.state_to_numpy(self._program.model.layout, released, self._slots)

    def go_back(self, held: Held) -> None:
        """Replace the state by one that this executor holds; `held` stays as it is."""
        self._state, self._step = self._copied(held).state, held.step

    def hold(self, state: TrainState) -> Held:
        """A train state as the engine holds it; the current one stays."""
        program = self._program
        with self._unheard():
            there = convert.state_to_jax(program.model, program.optimizer, state, self._device)
            return Held(state.step, self._execution.hold(there))

    def synchronize(self) -> None:
        """Wait until the device has done all work asked of it."""
        jax.block_until_ready(self._state)  # type: ignore[no-untyped-call]  # JAX leaves it so

    def compilations(self) -> int:
        """How many programs this executor has compiled so far."""
        return self._execution.compilations()

    def build_time(self) -> BuildTime:
        """Seconds of tracing and of compiling so far."""
        return self._clock.build_time()

    def _copied(self, held: Held) -> Held:
        """A copy: a step gives the arrays of the state before it away."""
        with self._unheard():
            return Held(held.step, jax.tree.map(jnp.copy, held.state))

    def _released(self) -> State:
        return self._execution.release(self._state)

    def _initial_parameters(self) -> Parameters:
        if self._problem.experiment.rng == "shared":
            return initial_parameters(self._problem)
        with self._arithmetic():
            model = self._program.model
            return model.layout.to_numpy(model.variables.params)

    def _on_device(self, batch: Batch) -> tuple[jax.Array, jax.Array]:
        inputs = convert.to_device(batch.inputs, self._device)
        return inputs, convert.to_device(batch.targets, self._device)

    @contextmanager
    def _arithmetic(self) -> Iterator[None]:
        with self._clock.listening(), self._unheard():
            yield

    def _unheard(self) -> AbstractContextManager[None]:
        """For what compiles nothing: Optax's state is traced for its shapes, in microseconds."""
        return arithmetic(self._problem.experiment.precision, self._device)


def open_executor(
    problem: Problem, build_model: BuildModel, engine: Callable[[Program], Execution]
) -> JaxExecutor:
    """Open a problem, its model built by a library, in an engine. Raises DeviceUnavailable."""
    device = choose_device(problem.experiment)
    clock = BuildClock()
    with clock.listening(), arithmetic(problem.experiment.precision, device):
        program = build_program(problem, build_model)
        return JaxExecutor(problem, device, program, engine(program), clock)
