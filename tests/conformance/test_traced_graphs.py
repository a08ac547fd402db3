"""Whole steps traced without Dynamo: one graph for each layout, and what is computed once.

Inductor is left out here (the slow tests of the engines have it): graphs run as they were traced.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from twofold_torch import inductor
from twofold_torch.flat_state import FlatState
from twofold_torch.inductor import ComputeOnce, TracedGraphs
from twofold_torch.masks import SharedMasks

from twofold.engines.build_time import NOTHING_BUILT


@pytest.fixture
def traced_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs run as they are, in place of what Inductor makes of them."""

    def as_traced(graph: Any, *_: Any, **__: Any) -> Any:
        return graph

    monkeypatch.setattr(torch._inductor, "standalone_compile", as_traced)


def small_state() -> FlatState:
    parameters, momentum = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.25])
    return FlatState(parameters, (momentum,), torch.zeros((), dtype=torch.float64))


def descend(state: FlatState, rows: Tensor, shift: Tensor | None) -> Tensor:
    """Subtract the sum of rows (rows, 2) from the parameters, count a step, return their mean."""
    total = rows.sum(0) if shift is None else rows.sum(0) + shift
    state.parameters.sub_(total)
    state.slots[0].mul_(2.0)
    state.step.add_(1)
    return rows.mean()


@pytest.mark.usefixtures("traced_only")
def test_a_graph_changes_the_state_and_is_made_once_for_each_layout() -> None:
    state, training = small_state(), [True]
    compiler = TracedGraphs({}, lambda: training[0], state)
    function = compiler.compile(descend)
    assert (compiler.graphs, compiler.build_time()) == (0, NOTHING_BUILT)
    two = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert function(two, None).item() == 2.5
    built = compiler.build_time()
    assert min(built.trace_s, built.compile_s) > 0
    assert function(two + 1.0, None).item() == 3.5
    assert (compiler.graphs, compiler.build_time()) == (1, built)
    assert state.parameters.tolist() == [1.0 - 4.0 - 6.0, 2.0 - 6.0 - 8.0]
    assert state.slots[0].tolist() == [2.0, 1.0]
    assert state.step.item() == 2.0
    assert function(two[:1], None).item() == 1.5
    assert compiler.graphs == 2  # another shape
    assert function(two.t(), None).item() == 2.5
    assert compiler.graphs == 3  # other strides
    assert function(two, torch.ones(2)).item() == 2.5
    assert compiler.graphs == 4  # an argument that was None
    training[0] = False
    function(two, None)
    assert compiler.graphs == 5  # another mode
    training[0] = True
    function(two, None)
    assert compiler.graphs == 5


@pytest.mark.usefixtures("traced_only")
def test_a_failed_trace_leaves_pytorch_as_it_was() -> None:
    def fails(_: FlatState) -> Tensor:
        assert torch.compiler.is_compiling()
        raise ValueError("no graph")

    compiler = TracedGraphs({}, lambda: True, small_state())
    with pytest.raises(ValueError, match="no graph"):
        compiler.compile(fails)()
    assert not torch.compiler.is_compiling()
    assert compiler.graphs == 0


def test_draws_are_stored_and_masks_are_not() -> None:
    draw = SharedMasks(((4, 0.25), (4, 0.25)))
    keys = torch.tensor([[1, 2], [3, 4]], dtype=torch.int32)
    with inductor._compiling():
        graph = make_fx(lambda given: draw(given, 3), tracing_mode="fake")(keys).graph
    ComputeOnce()(graph)
    stored = [node for node in graph.nodes if node.meta.get("inductor_realize_to_strides")]
    assert [node.meta["val"].dtype for node in stored] == [torch.int32]
    assert [tuple(node.meta["val"].shape) for node in stored] == [(2, 12)]


def test_a_number_for_a_loop_is_stored() -> None:
    def corrected(step: Tensor, rows: Tensor) -> Tensor:
        return rows / (1.0 - 0.5**step)

    inputs = torch.ones((), dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    graph = make_fx(corrected, tracing_mode="fake")(*inputs).graph
    ComputeOnce()(graph)
    stored = [node for node in graph.nodes if node.meta.get("inductor_realize_to_strides")]
    assert len(stored) == 1
    assert all(user.target is torch.ops.aten.div.Tensor for user in stored[0].users)
