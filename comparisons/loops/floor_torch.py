"""What calling a compiled step costs in PyTorch: a graph that counts its steps and does no more."""

from __future__ import annotations

from typing import Any, final

import numpy.typing as npt
import torch
from twofold_torch.flat_state import FlatState
from twofold_torch.traced_graphs import TracedGraphs

from comparisons.loops.parts import NO_LOSSES
from twofold.problem.problem import Problem


@final
class Floor:
    """Calls a graph once for each step, as `compile-step` does."""

    def __init__(self) -> None:
        position = torch.zeros((), dtype=torch.int64)
        steps = torch.zeros((), dtype=torch.float64)
        self._graphs = TracedGraphs(
            lambda: True, FlatState(torch.zeros(1), (), steps, position=(position,))
        )
        self.position = position
        self._call = self._graphs.binding(_count)()

    def run(self, steps: int, /) -> npt.NDArray[Any]:
        """The calls of some steps."""
        call = self._call
        for _ in range(steps):
            call()
        return NO_LOSSES

    def synchronize(self) -> None:
        """Nothing to wait for: the processor computes while it is asked."""

    def compilations(self) -> int:
        """One graph, compiled when the loop is made."""
        return self._graphs.graphs


def build(_: Problem) -> Floor:
    """The same for every problem."""
    return Floor()


def _count(state: FlatState) -> tuple[()]:
    (position,) = state.position
    position.add_(1)
    return ()
