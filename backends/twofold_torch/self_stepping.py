"""Graphs that step by themselves: what a step needs from its epoch, they take inside.

A graph is given the epoch's rows, keys and learning rates as a whole and counts its own position in
them. It gathers its batches, stores its losses and moves its position on, all on tensors that it
carries, and returns nothing: so every call of an epoch is the same call, and costs the least that a
call can cost.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final, final

import torch
from torch import Tensor

from twofold_torch.feed import Steps
from twofold_torch.flat_state import FlatState
from twofold_torch.program import Execution, Program
from twofold_torch.rates import Rates
from twofold_torch.traced_graphs import Bound, TracedGraphs
from twofold_torch.whole_step import Several, WholeStep

STEPS_PER_CALL: Final = 2
MOST_PADDING: Final = 2**22
"""Numbers up to which a single batch is laid into a table as large as that of the training rows."""


def self_stepping(program: Program, *, at_once: int) -> Execution:
    """The functions for a session; `at_once` whole batches go into one call."""

    def compiler(state: FlatState) -> TracedGraphs:
        position = torch.zeros((), dtype=torch.int64, device=state.step.device)
        return TracedGraphs(lambda: program.model.training, replace(state, position=(position,)))

    step = WholeStep(program, compiler)
    whole = (program.training_rows, program.batch_size)
    own = SelfStepping(step.several, step.compiler, step.rates, at_once, whole)
    return replace(step.execution(), train_step=own.batch, train_steps=own.steps)


@final
class SelfStepping:
    """Runs the steps of an epoch through graphs that step by themselves, several in a call."""

    def __init__(
        self,
        several: Several,
        graphs: TracedGraphs,
        rates: Rates,
        at_once: int,
        whole: tuple[int, int],
    ) -> None:
        """`whole` is the number of training rows, and of rows in a whole batch."""
        (self._position,) = graphs.state.position
        self._rows, self._batch_size = whole
        self._laid: tuple[Tensor, Tensor, Steps] | None = None
        self._dtype = graphs.state.parameters.dtype
        self._rates = rates
        self._at_once = at_once
        self._groups = {
            steps: graphs.binding(partial(_advance, several, steps)) for steps in {1, at_once}
        }

    def batch(self, inputs: Tensor, targets: Tensor, keys: Tensor | None) -> Tensor:
        """One step on all rows of a batch, in their order; its loss ().

        A whole batch becomes the first of an epoch, so that the graph is the one of `steps`.
        """
        padding = self._rows * (inputs[0].numel() + targets[0].numel())
        if len(inputs) == self._batch_size <= self._rows and padding <= MOST_PADDING:
            table, wanted, steps = self._laid_out(inputs, targets, keys)
            return self._whole(table, wanted, steps, steps.whole)[0]
        rows = torch.arange(len(inputs), device=inputs.device)
        return self._single(inputs, targets, rows, keys)[0]

    def steps(self, inputs: Tensor, targets: Tensor, steps: Steps) -> Tensor:
        """Steps on batches of the training rows; their losses (steps,)."""
        whole = steps.whole
        stop = max(steps.start, min(steps.stop, len(whole)))  # the last batch may be smaller
        losses = []
        if stop > steps.start:
            losses.append(self._whole(inputs, targets, steps.part(steps.start, stop), whole))
        rest = steps.part(stop, steps.stop)
        for rows, key in zip(rest.rows, rest.keys, strict=True):
            losses.append(self._single(inputs, targets, rows, key))
        return torch.cat(losses)

    def _whole(self, inputs: Tensor, targets: Tensor, steps: Steps, whole: Tensor) -> Tensor:
        """Whole batches: groups of them in one call each, then what is left one by one."""
        rates = whole.new_zeros(len(whole), dtype=torch.float64)
        rates[steps.start : steps.stop] = self._rates.of(steps.count)
        keys = None if steps.all_keys is None else steps.all_keys[: len(whole)]
        losses = whole.new_empty(len(whole), dtype=self._dtype)
        self._position.fill_(steps.start)
        groups, singles = divmod(steps.count, self._at_once)
        for size, calls in ((self._at_once, groups), (1, singles)):
            if calls:
                _repeat(self._groups[size](inputs, targets, whole, keys, rates, losses), calls)
        return losses[steps.start : steps.stop]

    def _laid_out(
        self, inputs: Tensor, targets: Tensor, keys: Tensor | None
    ) -> tuple[Tensor, Tensor, Steps]:
        """A whole batch as the first rows of a table like that of the training rows; its step."""
        if self._laid is None:
            order = torch.arange(self._rows, device=inputs.device)
            whole = self._rows // self._batch_size
            all_keys = None if keys is None else keys.new_zeros(whole, *keys.shape)
            self._laid = (
                inputs.new_zeros(self._rows, *inputs.shape[1:]),
                targets.new_zeros(self._rows, *targets.shape[1:]),
                Steps(order, self._batch_size, all_keys, 0, 1),
            )
        table, wanted, steps = self._laid
        table[: len(inputs)] = inputs
        wanted[: len(targets)] = targets
        if keys is not None and steps.all_keys is not None:
            steps.all_keys[0] = keys
        return self._laid

    def _single(self, inputs: Tensor, targets: Tensor, rows: Tensor, keys: Tensor | None) -> Tensor:
        """One step on some rows; its loss (1,)."""
        own = None if keys is None else keys[None]
        loss = rows.new_empty(1, dtype=self._dtype)
        self._position.zero_()
        self._groups[1](inputs, targets, rows[None], own, self._rates.of(1), loss)()
        return loss


def _advance(
    several: Several,
    steps: int,
    state: FlatState,
    inputs: Tensor,
    targets: Tensor,
    rows: Tensor,
    keys: Tensor | None,
    rates: Tensor,
    losses: Tensor,
) -> tuple[()]:
    """The steps that come next of an epoch's `rows` (batches, batch)."""
    (position,) = state.position
    places = position + torch.arange(steps, device=position.device)  # (steps,)
    own = None if keys is None else keys[places]
    taken = several(state, inputs, targets, rows[places], own, rates[places])
    losses.index_copy_(0, places, taken)
    position.add_(steps)
    return ()


def _repeat(call: Bound, times: int) -> None:
    for _ in range(times):
        call()
