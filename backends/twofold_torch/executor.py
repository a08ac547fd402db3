"""One problem alive in one engine of PyTorch: NumPy in, NumPy out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor

from twofold.engines.build_time import BuildTime
from twofold.engines.parts import Parts
from twofold.engines.session import Executor
from twofold.errors import SpecError
from twofold.problem.problem import Batch, Problem, initial_buffers, initial_parameters, slot_names
from twofold.problem.state import Array, Parameters, TrainState, fresh_state
from twofold.spec import threefry
from twofold.spec.model import dropouts
from twofold_torch import convert, device
from twofold_torch.feed import Feed
from twofold_torch.optimizer import seek
from twofold_torch.program import Execution, Program


@final
class TorchExecutor(Executor):
    """Keeps model and optimizer on a device and moves them on through an engine's functions."""

    def __init__(
        self, problem: Problem, where: torch.device, program: Program, execution: Execution
    ) -> None:
        self._problem = problem
        self._device = where
        self._program = program
        self._execution = execution
        self._feed = Feed(problem, where)
        self._slots = slot_names(problem.experiment)
        self._step = 0
        # Apart from the initial values' own seed, so that dropout does not repeat their draws.
        dropout_seed = threefry.stream_key(problem.experiment.seed, threefry.DROPOUT)[1]
        self._random = device.RandomStream(dropout_seed, where)
        parameters, buffers = self._initial_parameters(), initial_buffers(problem)
        self.load_state(fresh_state(parameters, self._slots, buffers))

    def logits(self, inputs: Array, *, training: bool) -> Array:
        """Logits (batch, out_features); with `training`, dropout masks of the current step."""
        rows = convert.to_tensor(inputs, self._device)
        # With gradients in training mode: a compiled model then has one graph for both uses.
        with torch.set_grad_enabled(training), self._mode(training=training), self._unmoved():
            keys = self._feed.keys(self._step) if training else None
            return convert.to_array(self._execution.forward(rows, keys).detach())

    def loss(self, batch: Batch) -> float:
        """The loss of a batch in evaluation mode."""
        inputs, targets = self._on_device(batch)
        with torch.no_grad(), self._mode(training=False):
            logits = self._execution.forward(inputs, None)
            return float(self._program.loss(logits, targets))

    def loss_and_gradients(self, batch: Batch) -> tuple[float, Parameters]:
        """Loss and gradients of a batch in training mode, with the current step's masks."""
        inputs, targets = self._on_device(batch)
        with self._mode(training=True), self._unmoved():
            loss = self._execution.backward(inputs, targets, self._feed.keys(self._step))
        return float(loss), convert.gradients_to_numpy(self._program.model)

    def step(self, batch: Batch) -> float:
        """Take one training step on a batch; returns the loss before the update."""
        inputs, targets = self._on_device(batch)
        with self._mode(training=True):
            loss = self._execution.train_step(inputs, targets, self._feed.keys(self._step))
        self._step += 1
        return float(loss)

    def run(self, steps: int) -> Array:
        """Take steps on the problem's own batches, on the device; returns the losses (steps,)."""
        losses, end = [], self._step + steps
        with self._mode(training=True):
            while self._step < end:
                inputs, targets, part = self._feed.part(self._step, end - self._step)
                losses.append(self._execution.train_steps(inputs, targets, part))
                self._step += part.count
        return convert.to_array(torch.cat(losses))

    def batch(self, step: int) -> Batch:
        """The batch that `run` feeds at one step, gathered on the device and brought back."""
        return self._feed.batch(step)

    def masks(self, rows: int) -> tuple[Array, ...]:
        """The current step's dropout masks as drawn on the device: bool (rows, features) each.

        Raises SpecError with `rng = "native"`.
        """
        experiment = self._problem.experiment
        if experiment.rng == "native" and dropouts(experiment.model):
            raise SpecError(
                'rng: "native" given; masks inside nn.Dropout cannot be read; use rng = "shared"'
            )
        keys = self._feed.keys(self._step)
        if keys is None:
            return ()
        return tuple(convert.to_array(mask) for mask in self._program.model.masks(keys, rows))

    def state(self) -> TrainState:
        """A copy of the train state."""
        return convert.state_to_numpy(
            self._program.model, self._program.optimizer, self._slots, self._step
        )

    def load_state(self, state: TrainState) -> None:
        """Replace the train state."""
        self._execution.require_same(state)
        convert.load_state(self._program.model, self._program.optimizer, state)
        if self._program.schedule is not None:
            seek(self._program.schedule, state.step)
        self._step = state.step

    def synchronize(self) -> None:
        """Wait until the device has done all work asked of it."""
        device.synchronize(self._device)

    def compilations(self) -> int:
        """How many graphs this executor has compiled so far."""
        return self._execution.compilations()

    def build_time(self) -> BuildTime:
        """Seconds of tracing and of compiling so far."""
        return self._execution.build_time()

    def parts(self) -> Parts | None:
        """How several processes write a state together; None for an engine of one."""
        return self._execution.parts

    def _initial_parameters(self) -> Parameters:
        if self._problem.experiment.rng == "shared":
            return initial_parameters(self._problem)
        model = self._program.model
        return {name: convert.to_array(each) for name, each in convert.named_parameters(model)}

    def _on_device(self, batch: Batch) -> tuple[Tensor, Tensor]:
        inputs = convert.to_tensor(batch.inputs, self._device)
        return inputs, convert.to_tensor(batch.targets, self._device)

    @contextmanager
    def _unmoved(self) -> Iterator[None]:
        """Batch norm moves its running statistics whenever it is called in training mode."""
        buffers = list(self._program.model.buffers())
        kept = [buffer.clone() for buffer in buffers]
        yield
        for buffer, before in zip(buffers, kept, strict=True):
            buffer.copy_(before)

    @contextmanager
    def _mode(self, *, training: bool) -> Iterator[None]:
        """Training or evaluation mode, with this session's own random numbers."""
        self._program.model.train(training)
        with self._random.drawing():
            yield
