"""Graphs that step by themselves: which rows, keys and rates a step takes, and where losses go.

No graph is compiled here: the functions run as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from twofold_torch import self_stepping
from twofold_torch.feed import Steps
from twofold_torch.flat_state import FlatState
from twofold_torch.self_stepping import SelfStepping

INPUTS, TARGETS = torch.arange(7.0) * 10.0, torch.arange(7.0) * 100.0
ORDER = torch.tensor([6, 0, 5, 1, 4, 2, 3])  # three batches of two, and a smaller one
KEYS = torch.arange(4, dtype=torch.int32).reshape(4, 1, 1) * torch.ones(1, 1, 2, dtype=torch.int32)


class Plain:
    """Stands in for `TracedGraphs`: binds the function to its state and arguments."""

    def __init__(self) -> None:
        zero = torch.zeros((), dtype=torch.int64)
        self.state = FlatState(torch.zeros(1), (), zero.double(), position=(zero,))
        self.calls: list[tuple[int, ...]] = []

    def binding(self, function: Callable[..., Any]) -> Callable[..., Callable[[], Any]]:
        def bind(*arguments: Tensor | None) -> Callable[[], Any]:
            def call() -> Any:
                self.calls.append(tuple(arguments[2].shape))
                return function(self.state, *arguments)

            return call

        return bind


class CountingRates:
    """Rates of 1, 2, 3 ... in the order in which they are asked for."""

    def __init__(self) -> None:
        self.taken = 0

    def of(self, steps: int) -> Tensor:
        first, self.taken = self.taken + 1, self.taken + steps
        return torch.arange(first, self.taken + 1, dtype=torch.float64)


def several(
    state: FlatState,
    inputs: Tensor,
    targets: Tensor,
    rows: Tensor,
    keys: Tensor | None,
    rates: Tensor,
) -> Tensor:
    """As the loss of a step: its rows' inputs and targets, a thousand rates, 10,000 keys."""
    state.step.add_(len(rows))
    found = (inputs[rows] + targets[rows]).sum(1) + 1e3 * rates
    if keys is not None:
        found = found + 1e4 * keys[:, 0, 0]
    return found.float()


def stepping(at_once: int) -> tuple[SelfStepping, Plain]:
    graphs = Plain()
    own = SelfStepping(several, graphs, CountingRates(), at_once, (7, 2))  # type: ignore[arg-type]
    return own, graphs


def epoch(keys: Tensor | None = None) -> Steps:
    return Steps(ORDER, 2, keys, 0, 4)


BY_HAND = [110.0 * (6 + 0), 110.0 * (5 + 1), 110.0 * (4 + 2), 110.0 * 3]


@pytest.mark.parametrize("at_once", [1, 2, 3, 4])
def test_an_epoch_and_its_smaller_last_batch(at_once: int) -> None:
    steps, graphs = stepping(at_once)
    losses = steps.steps(INPUTS, TARGETS, epoch(KEYS))
    expected = [loss + 1e3 * (number + 1) + 1e4 * number for number, loss in enumerate(BY_HAND)]
    assert losses.tolist() == expected
    assert graphs.state.step.item() == 4
    groups, singles = divmod(3, at_once)
    assert graphs.calls == [(3, 2)] * (groups + singles) + [(1, 1)]


@pytest.mark.parametrize("cuts", [(1, 3), (2, 2), (3, 1), (1, 1, 1, 1)])
def test_parts_of_an_epoch_are_the_same_steps(cuts: tuple[int, ...]) -> None:
    steps, _ = stepping(2)
    start, losses = 0, []
    for size in cuts:
        losses.append(steps.steps(INPUTS, TARGETS, epoch().part(start, start + size)))
        start += size
    expected = [loss + 1e3 * (number + 1) for number, loss in enumerate(BY_HAND)]
    assert torch.cat(losses).tolist() == expected


def test_a_batch_by_itself_takes_all_its_rows() -> None:
    steps, graphs = stepping(2)
    loss = steps.batch(INPUTS[:3], TARGETS[:3], torch.tensor([[5, 5]], dtype=torch.int32))
    assert loss.shape == ()
    assert loss.item() == 110.0 * 3 + 1e3 + 5e4
    assert graphs.calls == [(1, 3)]


def test_a_whole_batch_by_itself_is_a_step_of_the_epochs_graph() -> None:
    steps, graphs = stepping(2)
    for number, first in enumerate([0, 2, 4]):
        key = torch.tensor([[number, number]], dtype=torch.int32)
        batch = slice(first, first + 2)
        loss = steps.batch(INPUTS[batch], TARGETS[batch], key)
        assert loss.shape == ()
        assert loss.item() == 110.0 * (2 * first + 1) + 1e3 * (number + 1) + 1e4 * number
    assert graphs.calls == [(3, 2)] * 3


def test_a_whole_batch_of_a_large_table_is_not_laid_into_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(self_stepping, "MOST_PADDING", 13)  # seven rows of two numbers are 14
    steps, graphs = stepping(1)
    assert steps.batch(INPUTS[:2], TARGETS[:2], None).item() == 110.0 + 1e3
    assert graphs.calls == [(1, 2)]


def test_an_epoch_of_less_than_a_batch() -> None:
    steps, _ = stepping(2)
    small = replace(epoch(), batch_size=10, stop=1)
    assert steps.steps(INPUTS, TARGETS, small).tolist() == [110.0 * 21 + 1e3]
