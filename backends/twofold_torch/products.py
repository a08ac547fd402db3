"""Matrix products on the CPU: small ones as loops of Inductor, large ones without their bias."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

SMALL_PRODUCT: Final = 100_000
"""Multiplications up to which a loop that Inductor writes beats a call of the library of products.

Five whole steps whose largest product had 50,000 to 92,000, on one thread of an AMD EPYC, took 0.59
to 0.79 of their time with the library. One of 215,000 took 0.86, four of 284,000 to 432,000 0.92 to
1.13. Engines took turns; some of it was measured while other programs ran.
"""
VECTOR: Final = 16
"""Numbers of float32 in the widest vector that Inductor writes (AVX-512)."""
ONE_THREAD_PRODUCT: Final = 250_000
"""Multiplications up to which one thread is enough for a step.

Seven steps whose largest product had 101,000 to 222,000, on two threads of an Intel Xeon: six took
0.52 to 0.94 of their time with shared loops, one of 465 rows with dropout 1.16. Five steps of
432,000 to 701,000 took 0.81 to 1.15. Engines took turns.
"""
ONE_THREAD_NUMBERS: Final = 50_000
"""Numbers up to which one thread is enough for the longest loop of a step.

Nine steps whose longest loop had 16,000 to 49,000, on two threads of an Intel Xeon: one thread took
0.70 to 1.22 of the time of two. Three with embeddings of 80,000 to 1,600,000 numbers, whose
optimizer is that loop: 1.22 to 1.69. Shortest of 30 blocks each; engines took turns. By the median
of the blocks one of these three took 0.91.
"""
ALONE: Final = "one_thread"
"""In a graph's `meta`: whether one thread is enough for it."""

PLAIN: Final = (torch.float32, torch.float64)
"""The numbers whose products and biases are taken out of the library.

Sums of bfloat16 are taken in float32, and only within one loop or one call of the library.
"""

aten: Final = torch.ops.aten


def trace(function: Callable[..., Any], tensors: Sequence[Tensor]) -> torch.fx.GraphModule:
    """The graph of a function, small products written out as loops.

    If a product is too large for one thread, and there are several, the library gets all products.
    Inductor would share short loops among the threads: of four steps on two threads, three took
    0.81 to 1.0 times as long so, and one 3.3 times. There PyTorch 2.13 starts the threads anew for
    each row of a result with fewer columns than a vector has numbers
    (`torch/_inductor/codegen/cpp.py`, `LoopNest.max_parallel_depth`).
    """
    graph = _traced(function, tensors, {})
    products = [_sides(node) for node in graph.graph.nodes if is_product(node)]
    small = [_is_within(SMALL_PRODUCT, *sides) for sides in products]
    alone = all(_is_within(ONE_THREAD_PRODUCT, *sides) for sides in products)
    alone = alone and max(map(_numbers, graph.graph.nodes)) <= ONE_THREAD_NUMBERS
    if any(small) and (alone or torch.get_num_threads() == 1):
        graph = _traced(function, tensors, _WRITTEN_OUT)
    graph.meta[ALONE] = bool(products) and alone
    return graph


def _traced(
    function: Callable[..., Any], tensors: Sequence[Tensor], table: Mapping[Any, Any]
) -> torch.fx.GraphModule:
    tracer = make_fx(function, table, tracing_mode="fake", _allow_non_fake_inputs=True)
    return tracer(*tensors)


def is_product(node: torch.fx.Node) -> bool:
    """Whether a node calls the library of products."""
    return node.target in (aten.mm.default, aten.addmm.default, aten.bmm.default)


def operands_of_loops(graph: torch.fx.Graph) -> Iterator[torch.fx.Node]:
    """The values that written-out products take, if the graph computes them.

    Inductor would compute them inside the loops. For a product of (m, k) and (k, n) that is n times
    for each number of the left side, and m times for each of the right.
    """
    for node in graph.nodes:
        if node.target is not aten.sum.dim_IntList or node.args[0].target is not aten.mul.Tensor:
            continue
        sides = node.args[0].args
        if all(isinstance(side, torch.fx.Node) and _dimensions(side) == 3 for side in sides):
            yield from (each for each in map(_source, sides) if each.op == "call_function")


def add_biases_in_loops(graph: torch.fx.Graph) -> None:
    """Make `addmm` a product of the library and a sum that Inductor fuses with what follows.

    The library's `addmm` copies the bias into every row of its result first. In PyTorch 2.13 its
    profiler showed these copies as 37 of the 337 us of a step on an Intel Xeon.
    """
    for node in graph.find_nodes(op="call_function", target=aten.addmm.default):
        added, left, right = node.args
        value = node.meta["val"]
        if node.kwargs or value.device.type != "cpu" or value.dtype not in PLAIN:
            continue
        with graph.inserting_before(node):
            product = graph.call_function(aten.mm.default, (left, right))
            total = graph.call_function(aten.add.Tensor, (product, added))
        product.meta["val"] = value
        total.meta.update(node.meta)
        node.replace_all_uses_with(total)
        graph.erase_node(node)


def _source(node: torch.fx.Node) -> torch.fx.Node:
    """The node whose numbers a view shows, through all views."""
    while is_view(node):
        node = node.all_input_nodes[0]
    return node


def _dimensions(node: torch.fx.Node) -> int:
    value = node.meta.get("val")
    return value.dim() if isinstance(value, Tensor) else -1


def _numbers(node: torch.fx.Node) -> int:
    """How many numbers an operation computes; 0 for what is given or shown."""
    value = node.meta.get("val")
    if node.op != "call_function" or not isinstance(value, Tensor) or is_view(node):
        return 0
    return value.numel()


def is_view(node: torch.fx.Node) -> bool:
    """Whether a node shows the numbers of another one and computes none."""
    return isinstance(node.target, torch._ops.OpOverload) and node.target.is_view


def _sides(node: torch.fx.Node) -> tuple[Tensor, Tensor]:
    left, right = (each.meta["val"] for each in node.args[-2:])  # type: ignore[union-attr]  # nodes
    return left, right


def _is_within(most: int, left: Tensor, right: Tensor) -> bool:
    """Whether a product of two plain matrices on the CPU has so many multiplications at most."""
    if left.dim() != 2 or left.device.type != "cpu" or left.dtype not in PLAIN:
        return False
    return bool(left.shape[0] * left.shape[1] * right.shape[1] <= most)


def _mm(left: Tensor, right: Tensor) -> Any:
    """As Inductor decomposes some products itself (2.13, `torch/_inductor/decomposition.py`).

    A right side that fills vectors is laid out in rows (in, out), so that vectors are read whole.
    """
    if not _is_within(SMALL_PRODUCT, left, right):
        return NotImplemented
    if right.shape[1] >= VECTOR and right.stride(1) != 1:
        right = right.contiguous()
    return (left.unsqueeze(2) * right.unsqueeze(0)).sum(dim=1)  # (rows, in, out) to (rows, out)


def _addmm(added: Tensor, left: Tensor, right: Tensor, *, beta: float = 1, alpha: float = 1) -> Any:
    product = _mm(left, right)
    return product if product is NotImplemented else beta * added + alpha * product


_WRITTEN_OUT: Final[Mapping[Any, Callable[..., Any]]] = {
    aten.mm.default: _mm,
    aten.addmm.default: _addmm,
}
"""A decomposition table; `make_fx` keeps an operation for which it answers NotImplemented."""
