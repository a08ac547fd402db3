"""Data parallelism in PyTorch: `DistributedDataParallel`, with any number of rows.

Each process has the whole model, and of every batch some consecutive rows: those that
`twofold.problem.micro_batches` would make a micro-batch of. So a step of several processes is one
of as many micro-batches, each at a place of its own.
"""

from __future__ import annotations

import operator
from dataclasses import replace
from functools import reduce
from typing import final

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from twofold.engines.world import World
from twofold.problem.micro_batches import parts_of
from twofold.problem.state import TrainState
from twofold_torch.accumulation import MicroBatch, cut, rows_of
from twofold_torch.feed import Steps
from twofold_torch.layers import Masks
from twofold_torch.parts import DistributedParts
from twofold_torch.program import Execution, Program
from twofold_torch.world import exchange, gathered, require_same_state


@final
class DataParallel:
    """A program whose batches are shared by the processes of a world.

    Every function takes the whole batch and answers for the whole batch.
    """

    def __init__(self, program: Program, world: World) -> None:
        self._program = program
        self._world = world
        with exchange(world):
            self._model = DistributedDataParallel(program.model)
        self._arranged = False

    def execution(self) -> Execution:
        """The functions that a session calls."""
        own = Execution.of(self._program)
        return replace(
            own,
            forward=self.forward,
            backward=self.backward,
            train_step=self.train_step,
            train_steps=self.train_steps,
            require_same=self.require_same,
            parts=DistributedParts(self._world),
        )

    @torch.no_grad()
    def forward(self, inputs: Tensor, keys: Tensor | None) -> Tensor:
        """Logits (batch, out_features); with the `keys` of a step, its dropout masks.

        Each process computes its own rows, filled up to as many as the first has, and gets the
        others'.
        """
        parts = parts_of(inputs.shape[0], self._world.size)
        most = parts[0].stop
        chosen = self._own_rows(inputs.shape[0])
        own = inputs[chosen]
        filled = torch.cat([own, own[:1].expand(most - len(own), -1)])  # (most, in_features)
        masks = self._own_masks(inputs, keys)
        if masks is not None:
            masks = tuple(
                torch.cat([mask, mask[:1].expand(most - len(mask), -1)]) for mask in masks
            )
        logits = gathered(self._model(filled, None, masks), self._world)
        return torch.cat(
            [each[: part.stop - part.start] for each, part in zip(logits, parts, strict=False)]
        )

    def backward(self, inputs: Tensor, targets: Tensor, keys: Tensor | None) -> Tensor:
        """The loss in training mode; leaves the gradients in the parameters' `grad`."""
        return self._of_all(self._own_backward(inputs, targets, keys))

    def train_step(self, inputs: Tensor, targets: Tensor, keys: Tensor | None) -> Tensor:
        """One training step; returns the loss before the update."""
        return self._of_all(self._own_step(inputs, targets, keys))

    def train_steps(self, inputs: Tensor, targets: Tensor, steps: Steps) -> Tensor:
        """Steps on batches of the training rows; returns their losses (steps,)."""
        pairs = zip(steps.rows, steps.keys, strict=True)
        own = [self._own_step(inputs[rows], targets[rows], keys) for rows, keys in pairs]
        return self._of_all(torch.stack(own))

    def require_same(self, state: TrainState) -> None:
        """Raise DataError where not all processes were given the same train state."""
        require_same_state(state, self._world)

    def _own_step(self, inputs: Tensor, targets: Tensor, keys: Tensor | None) -> Tensor:
        loss = self._own_backward(inputs, targets, keys)
        self._program.update()
        return loss

    def _own_backward(self, inputs: Tensor, targets: Tensor, keys: Tensor | None) -> Tensor:
        """This process's loss, times `size`; the gradients are those of the whole batch.

        The very first is taken twice: after it DDP arranges its buckets anew, in the order in which
        gradients came (`_rebuild_buckets`, PyTorch 2.13). With three or more processes each place
        in a bucket is summed in an order of its own, so that the first step of a session would
        have other bits than if it were a later one; and a run that goes on, than one that never
        stopped.
        """
        part = self._own_part(inputs, targets, keys)
        for _ in range(1 if self._arranged else 2):
            self._program.optimizer.zero_grad(set_to_none=True)
            logits = self._model(part.inputs, None, part.masks)  # (rows, out_features)
            loss = part.weighted(self._program.loss(logits, part.targets))  # ()
            with exchange(self._world):
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        self._arranged = True
        return loss.detach()

    def _own_part(self, inputs: Tensor, targets: Tensor, keys: Tensor | None) -> MicroBatch:
        """This process's rows, and their share of the batch times the number of processes.

        DDP takes the mean over the processes, whatever rows they had: that is right for equal
        parts alone. The share makes it right for all, and `size` undoes the mean. A process for
        which there is no row takes one with share zero, for all must join in the sum.
        """
        size = self._world.size
        whole = cut(inputs, targets, None, size, self._program.row_weights)
        has_rows = self._world.rank < len(whole)
        part = whole[self._world.rank if has_rows else 0]
        rows = self._own_rows(inputs.shape[0])
        share = part.share * size if has_rows else 0.0
        return MicroBatch(inputs[rows], targets[rows], self._own_masks(inputs, keys), share)

    def _own_rows(self, rows: int) -> slice:
        """This process's rows of a batch; the first row where there are fewer than processes."""
        parts = parts_of(rows, self._world.size)
        return parts[self._world.rank].rows if self._world.rank < len(parts) else slice(0, 1)

    def _own_masks(self, inputs: Tensor, keys: Tensor | None) -> Masks | None:
        """The rows' own of the masks of the whole batch, which every process draws."""
        if keys is None:
            return None
        masks = self._program.model.masks(keys, inputs.shape[0])
        return rows_of(masks, self._own_rows(inputs.shape[0]))

    def _of_all(self, own: Tensor) -> Tensor:
        """The loss of the batch, or of several, from each process's own part of it.

        Added up in the order of the ranks, so that all processes have the same bits.
        """
        return reduce(operator.add, gathered(own, self._world)) / self._world.size
