"""Model, loss and optimizer of one problem put together: the training step in PyTorch's idiom."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from twofold.engines.build_time import NOTHING_BUILT, BuildTime
from twofold.engines.parts import Parts
from twofold.problem.problem import Problem
from twofold.problem.state import TrainState
from twofold_torch.accumulation import MicroBatch, cut
from twofold_torch.convert import to_tensor
from twofold_torch.feed import Steps
from twofold_torch.loss import LossFunction, RowWeights, build_loss, build_row_weights
from twofold_torch.model import Network
from twofold_torch.optimizer import build_optimizer, build_schedule

Forward = Callable[[Tensor, Tensor | None], Tensor]
TrainStep = Callable[[Tensor, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class Program:
    """What a session computes. `model` owns the parameters; `forward` is the way to call it."""

    model: Network
    forward: Callable[..., Tensor]
    loss: LossFunction
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler | None
    clip_norm: float | None
    target: Tensor  # of one training row: its shape and type count, not its value
    training_rows: int
    batch_size: int
    micro_batches: int = 1
    row_weights: RowWeights | None = None

    def any_targets(self, inputs: Tensor) -> Tensor:
        """Zeros in the shape and type of the targets of these rows."""
        return self.target.new_zeros(len(inputs), *self.target.shape)

    def backward(self, inputs: Tensor, targets: Tensor, keys: Tensor | None) -> Tensor:
        """The loss in training mode; leaves the gradients in the parameters' `grad`.

        With micro-batches each part's intermediate results are gone before the next part's come.
        """
        self.optimizer.zero_grad(set_to_none=True)
        masks = None
        if self.micro_batches > 1 and keys is not None:  # one draw for all rows
            masks, keys = self.model.masks(keys, inputs.shape[0]), None
        parts = cut(inputs, targets, masks, self.micro_batches, self.row_weights)
        return reduce(operator.add, [self.add_gradients(part, keys) for part in parts])

    def add_gradients(self, part: MicroBatch, keys: Tensor | None) -> Tensor:
        """A part's share of the loss; adds its share of the gradients to `grad`."""
        logits = self.forward(part.inputs, keys, part.masks)  # (rows, out_features)
        loss = part.weighted(self.loss(logits, part.targets))  # ()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        return loss.detach()

    def train_step(self, inputs: Tensor, targets: Tensor, keys: Tensor | None) -> Tensor:
        """One training step; returns the loss before the update."""
        loss = self.backward(inputs, targets, keys)
        self.update()
        return loss

    def update(self) -> None:
        """From gradients to parameters: clip, take the optimizer's step, then the schedule's."""
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm, norm_type=2.0)
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()

    def train_steps(self, inputs: Tensor, targets: Tensor, steps: Steps) -> Tensor:
        """Steps on batches of the training rows; returns their losses (steps,)."""
        batches = ((inputs[rows], targets[rows]) for rows in steps.rows)
        return loop(self.train_step, batches, steps.keys)


def loop(
    train_step: TrainStep,
    batches: Iterable[tuple[Tensor, Tensor]],
    keys: Sequence[Tensor | None],
) -> Tensor:
    """The training loop, one call a step; returns the losses (steps,)."""
    return torch.stack([train_step(*batch, own) for batch, own in zip(batches, keys, strict=True)])


def build_program(problem: Problem, device: torch.device) -> Program:
    """The program of a problem, parameters as PyTorch initialises them from the seed."""
    experiment = problem.experiment
    dtype = torch.float64 if experiment.parameter_dtype == "float64" else torch.float32
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(experiment.seed)
        model = Network(experiment)
    model = model.to(device=device, dtype=dtype)
    optimizer = build_optimizer(experiment.optimizer, list(model.parameters()))
    return Program(
        model=model,
        forward=model,
        loss=build_loss(experiment.loss, dtype, device),
        row_weights=build_row_weights(experiment.loss, dtype, device),
        optimizer=optimizer,
        schedule=build_schedule(experiment.optimizer, optimizer),
        clip_norm=experiment.optimizer.clip_norm,
        micro_batches=experiment.training.micro_batches,
        target=to_tensor(problem.train.targets[:1], device)[0],
        training_rows=problem.train.rows,
        batch_size=experiment.data.batch_size,
    )


def never() -> int:
    """The count of compilations of an engine that never compiles."""
    return 0


def unshared(state: TrainState) -> None:
    """No other process has to be given the same state."""


def nothing() -> BuildTime:
    """The build time of an engine that neither traces nor compiles."""
    return NOTHING_BUILT


@dataclass(frozen=True)
class Execution:
    """What an engine made of a program: the functions that a session calls.

    `require_same` is called with every state that the session is given; `parts` is how several
    processes write one together, None for an engine of one process.
    """

    forward: Forward
    backward: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    train_step: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    train_steps: Callable[[Tensor, Tensor, Steps], Tensor]
    compilations: Callable[[], int]
    build_time: Callable[[], BuildTime] = nothing
    require_same: Callable[[TrainState], None] = unshared
    parts: Parts | None = None

    @classmethod
    def of(cls, program: Program, compilations: Callable[[], int] = never) -> Execution:
        """The program's own functions; an engine replaces those that it runs differently."""
        return cls(
            program.forward,
            program.backward,
            program.train_step,
            program.train_steps,
            compilations,
        )
