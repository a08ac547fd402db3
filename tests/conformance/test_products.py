"""Small products as loops: which ones, the same numbers, and what is stored for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from twofold_torch import inductor
from twofold_torch.inductor import StepPass
from twofold_torch.products import (
    ALONE,
    ONE_THREAD_NUMBERS,
    ONE_THREAD_PRODUCT,
    SMALL_PRODUCT,
    VECTOR,
    add_biases_in_loops,
    operands_of_loops,
    trace,
)

aten = torch.ops.aten


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options that Inductor is given, in place of compiling with them."""
    given: dict[str, Any] = {}

    def compiled(*_: Any, options: dict[str, Any]) -> str:
        given.update(options)
        return str(options["aot_inductor.output_path"])

    monkeypatch.setattr(torch._inductor, "aot_compile", compiled)
    return given


def calls_of(graph: torch.fx.GraphModule) -> Counter[Any]:
    return Counter(node.target for node in graph.graph.nodes if node.op == "call_function")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_small_products_are_written_out_and_are_the_same_numbers(dtype: torch.dtype) -> None:
    left = torch.arange(6, dtype=dtype).reshape(2, 3)
    right, added = torch.arange(12, dtype=dtype).reshape(3, 4), torch.ones(4, dtype=dtype)
    graph = trace(lambda *given: (torch.addmm(*given), given[1] @ given[2]), (added, left, right))
    assert aten.mul.Tensor in calls_of(graph)
    assert not calls_of(graph).keys() & {aten.mm.default, aten.addmm.default}
    by_hand = [[20.0, 23.0, 26.0, 29.0], [56.0, 68.0, 80.0, 92.0]]
    both = graph(added, left, right)
    assert both[1].tolist() == by_hand
    assert both[0].tolist() == [[each + 1.0 for each in row] for row in by_hand]


@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 2 * VECTOR),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=25, deadline=None)
def test_a_written_out_product_is_numpys(
    rows: int, inner: int, columns: int, turned: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    left, right = random.normal(size=(rows, inner)), random.normal(size=(inner, columns))
    given = torch.from_numpy(right.T.copy()).t() if turned else torch.from_numpy(right)
    graph = trace(torch.mm, (torch.from_numpy(left), given))
    assert aten.mm.default not in calls_of(graph)
    np.testing.assert_allclose(graph(torch.from_numpy(left), given), left @ right, atol=1e-13)


@pytest.mark.parametrize(("columns", "copied"), [(VECTOR - 1, False), (VECTOR, True)])
def test_a_turned_right_side_that_fills_vectors_is_laid_out_in_rows(
    columns: int, copied: bool
) -> None:
    graph = trace(torch.mm, (torch.ones(2, 3), torch.ones(columns, 3).t()))
    assert (aten.clone.default in calls_of(graph)) == copied


def test_beside_a_large_product_small_ones_are_loops_on_one_thread_alone(threads: int) -> None:
    rows = ONE_THREAD_PRODUCT // 100 + 1
    left, right = torch.ones(rows, 10), torch.ones(10, 10)
    graph = trace(lambda *given: (given[0] @ given[1], given[1] @ given[1]), (left, right))
    assert calls_of(graph)[aten.mm.default] == threads


@pytest.mark.usefixtures("threads")
def test_beside_a_middling_product_small_ones_are_loops() -> None:
    left, right = torch.ones(SMALL_PRODUCT // 100 + 1, 10), torch.ones(10, 10)
    graph = trace(lambda *given: (given[0] @ given[1], given[1] @ given[1]), (left, right))
    assert calls_of(graph)[aten.mm.default] == 1


def test_products_in_bfloat16_stay_as_they_are() -> None:
    left = right = torch.ones(2, 2, dtype=torch.bfloat16)
    assert calls_of(trace(torch.mm, (left, right)))[aten.mm.default] == 1


def test_operands_that_the_graph_computes_are_stored() -> None:
    def two(left: Tensor, right: Tensor) -> Tensor:
        hidden = (left * 2.0).t()  # computed, and read through a view
        return (hidden @ right).sum() + (left.exp() * right.sin()).sum()

    graph = trace(two, (torch.ones(3, 2), torch.ones(3, 2))).graph
    assert [node.target for node in operands_of_loops(graph)] == [aten.mul.Tensor]
    StepPass()(graph)
    stored = [node for node in graph.nodes if node.meta.get("inductor_realize_to_strides")]
    assert stored == list(operands_of_loops(graph))


def test_a_sum_of_products_that_is_no_matrix_product_stores_nothing() -> None:
    given = torch.ones(2, 3), torch.ones(2, 3)
    graph = make_fx(lambda a, b: (a.exp() * b.sin()).sum(1), tracing_mode="fake")(*given).graph
    assert not list(operands_of_loops(graph))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_bias_is_added_outside_the_library(dtype: torch.dtype) -> None:
    bias = torch.tensor([10.0, 20.0], dtype=dtype)
    left, right = torch.ones(3, 4, dtype=dtype), torch.ones(4, 2, dtype=dtype)
    made = make_fx(lambda *given: torch.addmm(*given).relu(), tracing_mode="fake")(
        bias, left, right
    )
    add_biases_in_loops(made.graph)
    made.recompile()
    assert calls_of(made) == {aten.mm.default: 1, aten.add.Tensor: 1, aten.relu.default: 1}
    assert made(bias, left, right).tolist() == [[14.0, 24.0]] * 3
    shapes = [node.meta["val"].shape for node in made.graph.nodes if node.op == "call_function"]
    assert shapes == [(3, 2)] * 3


def test_a_bias_in_bfloat16_or_times_a_number_stays_in_the_library() -> None:
    half, ones = torch.ones(2, 2, dtype=torch.bfloat16), torch.ones(2, 2)
    made = make_fx(
        lambda *given: (torch.addmm(*given[:3]), torch.addmm(*given[3:], beta=2.0)),
        tracing_mode="fake",
    )(half, half, half, ones, ones, ones)
    add_biases_in_loops(made.graph)
    assert calls_of(made)[aten.addmm.default] == 2


@pytest.mark.parametrize(
    ("rows", "alone", "calls"),
    [
        (4, True, False),
        (SMALL_PRODUCT // 6 + 1, True, True),
        (ONE_THREAD_PRODUCT // 6 + 1, False, True),
    ],
)
def test_a_graph_without_a_large_product_has_one_thread_and_one_with_calls_plans_its_memory(
    rows: int, alone: bool, calls: bool, tmp_path: Path, options: dict[str, Any]
) -> None:
    tensors = torch.ones(rows, 3), torch.ones(3, 2)
    path = inductor.compile_library(trace(torch.mm, tensors), tensors, tmp_path)
    assert path == tmp_path / "step.so"
    assert options.get("cpp.threads") == (1 if alone else None)
    assert options.get("memory_planning") == (True if calls else None)


@pytest.mark.parametrize("more", [0, 1])
def test_a_long_loop_has_all_threads(more: int) -> None:
    """What is computed counts, and not what is given, looked at or gathered from."""
    matrix, numbers = torch.ones(2, 2), torch.ones(ONE_THREAD_NUMBERS + more)
    others = torch.ones(3 * ONE_THREAD_NUMBERS), torch.tensor([1, 5])

    def step(left: torch.Tensor, long: torch.Tensor, *rest: torch.Tensor) -> tuple[Any, ...]:
        rows, chosen = rest
        return left @ left, long * 2.0, rows.view(3, -1), rows[chosen]

    assert trace(step, (matrix, numbers, *others)).meta[ALONE] is (more == 0)


def test_inductor_knows_every_option_that_a_step_needs() -> None:
    """Which names broke, should another version of Inductor have others."""
    known = torch._inductor.config.get_config_copy()
    needed = {**inductor.WHOLE_STEP, **inductor.ONE_THREAD, **inductor.PLANNED}
    assert [name for name in needed if name not in known] == []


def test_an_option_that_only_spares_time_is_left_out_where_it_is_unknown(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inductor, "QUICKER", {"cpp.no_such_option": True, "cpp.vec_isa_ok": True})
    tensors = torch.ones(2, 3), torch.ones(3, 2)
    inductor.compile_library(trace(torch.mm, tensors), tensors, tmp_path)
    assert "cpp.no_such_option" not in options
    assert options["cpp.vec_isa_ok"] is True
