"""Whole steps traced without Dynamo: one graph for each layout, and what is computed once.

Inductor is left out here (the slow tests of the engines have it): graphs run as they were traced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from twofold_torch import inductor, traced_graphs
from twofold_torch.flat_state import FlatState
from twofold_torch.inductor import StepPass
from twofold_torch.masks import SharedMasks, dropout_keys
from twofold_torch.products import trace
from twofold_torch.traced_graphs import TracedGraphs

from twofold.engines.build_time import NOTHING_BUILT
from twofold.spec import threefry


class AsTraced:
    """In place of a library: the function itself."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def bind(self, tensors: Any) -> Callable[[], Any]:
        return lambda: self.function(*tensors)


@pytest.fixture
def traced_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs run as they were traced, in place of what Inductor makes of them."""

    def library(self: TracedGraphs, _: str, function: Any, tensors: Any) -> AsTraced:
        with self._clock.tracing(), traced_graphs._compiling():
            graph = trace(function, tensors)
        with self._clock.compiling():
            return AsTraced(graph)

    monkeypatch.setattr(TracedGraphs, "_library", library)


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
    compiler = TracedGraphs(lambda: training[0], state)
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
def test_another_number_of_threads_is_another_graph() -> None:
    compiler, before = TracedGraphs(lambda: True, small_state()), torch.get_num_threads()
    function = compiler.compile(descend)
    try:
        for threads, graphs in ((1, 1), (2, 2), (1, 2)):
            torch.set_num_threads(threads)
            function(torch.ones(1, 2), None)
            assert compiler.graphs == graphs
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("traced_only")
def test_several_results_come_back_as_several() -> None:
    compiler = TracedGraphs(lambda: True, small_state())
    function = compiler.compile(lambda state, rows: (rows.sum(), state.parameters * 2.0))
    total, doubled = function(torch.ones(3, 2))
    assert (total.item(), doubled.tolist()) == (6.0, [2.0, 4.0])


@pytest.mark.usefixtures("traced_only")
def test_a_failed_trace_leaves_pytorch_as_it_was() -> None:
    def fails(_: FlatState) -> Tensor:
        assert torch.compiler.is_compiling()
        raise ValueError("no graph")

    compiler = TracedGraphs(lambda: True, small_state())
    with pytest.raises(ValueError, match="no graph"):
        compiler.compile(fails)()
    assert not torch.compiler.is_compiling()
    assert compiler.graphs == 0


def mask_graph(rows: int) -> torch.fx.Graph:
    draw = SharedMasks(((4, 0.25), (4, 0.25)))
    keys = torch.tensor([[1, 2], [3, 4]], dtype=torch.int32)
    with traced_graphs._compiling():
        return make_fx(lambda given: draw(given, rows), tracing_mode="fake")(keys).graph


def is_stored(node: torch.fx.Node) -> bool:
    return "inductor_realize_to_strides" in node.meta


def test_draws_are_stored_and_masks_are_not() -> None:
    graph = mask_graph(3)
    StepPass()(graph)
    compared = [node for node in graph.nodes if node.target is torch.ops.aten.lt.Scalar]
    assert [is_stored(node.args[0]) for node in compared] == [True]
    stored = [node for node in graph.nodes if is_stored(node)]
    assert {node.meta["val"].dtype for node in stored} == {torch.int32}
    assert {tuple(node.meta["val"].shape)[-1] for node in stored} <= {1, 12}


def test_no_expression_of_the_cipher_is_long_when_it_is_written_out() -> None:
    """Operations of each value where all that is not stored is written into its readers."""
    graph = mask_graph(3)
    assert max(written_out(graph).values()) > 1_000_000
    StepPass()(graph)
    assert max(written_out(graph).values()) < 20


def written_out(graph: torch.fx.Graph) -> dict[torch.fx.Node, int]:
    sizes: dict[torch.fx.Node, int] = {}
    for node in graph.nodes:
        if node.op == "call_function":
            read = (each for each in node.all_input_nodes if not is_stored(each))
            sizes[node] = 1 + sum(sizes.get(each, 0) for each in read)
    return sizes


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 3), st.integers(0, 9))
@settings(max_examples=10, deadline=None)
def test_a_graph_draws_the_masks_of_numpy_and_no_more(
    widths: list[int], rows: int, seed: int
) -> None:
    """Every layer its own draws: layers of one width together, and none wider than it is."""
    draw = SharedMasks(tuple((width, 0.25) for width in widths))
    keys = dropout_keys(seed, range(3, 5), len(widths), torch.device("cpu"))
    with traced_graphs._compiling():
        graph = make_fx(lambda given: draw(given, rows), tracing_mode="fake")(keys)
    masks = graph(keys)
    for step in (0, 1):
        stream = threefry.stream_key(seed, threefry.DROPOUT, 3 + step)
        for layer, width in enumerate(widths):
            wanted = threefry.keep_mask(threefry.fold_in(stream, layer), (rows, width), 0.25)
            assert np.array_equal(masks[layer][step].numpy(), wanted)
    compared = [node for node in graph.graph.nodes if node.target is torch.ops.aten.lt.Scalar]
    assert len(compared) == len(set(widths))
    drawn = sum(node.meta["val"].numel() for node in compared)
    assert drawn == 2 * rows * sum(widths)


def test_a_number_for_a_loop_is_stored() -> None:
    def corrected(step: Tensor, rows: Tensor) -> Tensor:
        return rows / (1.0 - 0.5**step)

    inputs = torch.ones((), dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    graph = make_fx(corrected, tracing_mode="fake")(*inputs).graph
    StepPass()(graph)
    stored = [node for node in graph.nodes if node.meta.get("inductor_realize_to_strides")]
    assert len(stored) == 1
    assert all(user.target is torch.ops.aten.div.Tensor for user in stored[0].users)


def test_the_stack_is_lent_to_one_graph_and_given_back() -> None:
    """Which names broke, should another version of Inductor have others."""
    from torch._inductor import config
    from torch._inductor.codegen import common, cpp_wrapper_cpu_array_ref

    common.init_backend_registration()
    before = common.device_codegens["cpu"]
    with inductor._stack_allocation():
        lent = common.device_codegens["cpu"].cpp_wrapper_codegen
        assert lent is cpp_wrapper_cpu_array_ref.CppWrapperCpuArrayRef
        assert config.aot_inductor.allow_stack_allocation is True
    assert common.device_codegens["cpu"] is before
    assert config.aot_inductor.allow_stack_allocation is False
