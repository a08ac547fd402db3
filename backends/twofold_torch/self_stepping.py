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


def self_stepping(program: Program, *, at_once: int) -> Execution:
    """The functions for a session; `at_once` whole batches go into one call."""

    def compiler(state: FlatState) -> TracedGraphs:
        position = torch.zeros((), dtype=torch.int64, device=state.step.device)
        return TracedGraphs(lambda: program.model.training, replace(state, position=(position,)))

    step = WholeStep(program, compiler)
    own = SelfStepping(step.several, step.compiler, step.rates, at_once)
    return replace(step.execution(), train_step=own.batch, train_steps=own.steps)


@final
class SelfStepping:
    """Runs the steps of an epoch through graphs that step by themselves, several in a call."""

    def __init__(self, several: Several, graphs: TracedGraphs, rates: Rates, at_once: int) -> None:
        (self._position,) = graphs.state.position
        self._dtype = graphs.state.parameters.dtype
        self._rates = rates
        self._at_once = at_once
        self._groups = {
            steps: graphs.binding(partial(_advance, several, steps)) for steps in {1, at_once}
        }

    def batch(self, inputs: Tensor, targets: Tensor, keys: Tensor | None) -> Tensor:
        """One step on all rows of a batch, in their order; its loss ()."""
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
