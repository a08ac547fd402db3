"""The default compiler of `torch.compile`: counted, and told what to compute once and where.

Private names of Inductor stand here alone, as PyTorch 2.13 has them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FunctionType
from typing import Any, Final, final

import torch
from torch import Tensor
from torch._dynamo import lookup_backend
from torch._inductor import config
from torch._inductor.codegen import common
from torch._inductor.codegen.cpp_wrapper_cpu_array_ref import CppWrapperCpuArrayRef
from torch._inductor.custom_graph_pass import CustomGraphPass
from torch._inductor.runtime.cache_dir_utils import default_cache_dir, temporary_cache_dir

from twofold.temporary import temporary_folder
from twofold_torch.products import (
    ALONE,
    add_biases_in_loops,
    is_product,
    is_view,
    operands_of_loops,
)


@final
class CountingInductor:
    """Inductor, counting the graphs it is given; `options` are those of `torch.compile`.

    A graph is a forward pass and, in training, the backward pass that belongs to it.
    """

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self.graphs = 0
        self._options = dict(options or {})

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        inductor: Any = lookup_backend("inductor")  # takes more than its type says
        compiled = inductor(graph, inputs, config_patches=self._options)
        self.graphs += 1  # not before: Dynamo may stop Inductor and hand over the graph again
        return compiled


def own_code(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a code object of its own.

    Dynamo keeps its graphs, and counts them against its limit, by code object: without this all
    sessions of a process would share one limit. (`isolate_recompiles` is not in PyTorch 2.11.)
    """
    assert isinstance(function, FunctionType)
    own = FunctionType(
        function.__code__.replace(),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    own.__kwdefaults__ = function.__kwdefaults__
    return own


@final
class StepPass(CustomGraphPass):
    """What Inductor does with a step's graph last: biases become loops, a few values are stored.

    For biases see `add_biases_in_loops`. On the CPU Inductor writes an expression into each loop
    that reads it, unless it is long or holds one of a few functions (PyTorch 2.13,
    `StorageBox.should_realize_on_reuse`; `pow` is not among them). It would so evaluate Adam's bias
    corrections for every sixteen parameters, the cipher's last rounds again in each forward and
    backward loop that reads a dropout mask, and the operands of a written-out product for every
    number of its result.

    Each round of the cipher reads its words two or three times, and Inductor walks through every
    path of that tree while it inlines: its time grows about threefold with each round between two
    stored values. So the words are stored where they are read more than once. The loops fuse as
    before, what one of them alone reads needs no memory, and a step of `lesson` compiled in two
    thirds of the time that a limit on the length of expressions had left.
    """

    def __call__(self, graph: torch.fx.Graph) -> None:
        add_biases_in_loops(graph)
        wanted = (_is_number_for_a_loop, _is_draw, _is_integer_read_again)
        found = [node for node in graph.nodes if any(is_wanted(node) for is_wanted in wanted)]
        for node in (*found, *operands_of_loops(graph)):
            node.meta["inductor_realize_to_strides"] = True  # read by GraphLowering.run_node

    def uuid(self) -> str:
        """Names this pass in the key of Inductor's cache."""
        return "twofold-step-2"


def _is_number_for_a_loop(node: torch.fx.Node) -> bool:
    """A single number that was computed and that something larger reads."""
    if node.op != "call_function" or _dimensions(node) != 0:
        return False
    return any(_dimensions(user) > 0 for user in node.users)


def _is_draw(node: torch.fx.Node) -> bool:
    """Integers that are compared with a number: the draws of which the dropout masks are made.

    They are stored, and not the masks: Inductor's vectors write and read Booleans one by one
    (PyTorch 2.13, `ATen/cpu/vec/vec_mask.h`), which took longer than the cipher itself.
    """
    if not _is_integers(node):
        return False
    return any(user.target is torch.ops.aten.lt.Scalar for user in node.users)


def _is_integer_read_again(node: torch.fx.Node) -> bool:
    """Integers that the graph computes and that more than one operation reads."""
    computed = node.op == "call_function" and not is_view(node)
    return computed and _is_integers(node) and len(node.users) > 1


def _is_integers(node: torch.fx.Node) -> bool:
    """Whether the node's value is a tensor of integers with at least one dimension."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor) or value.dim() == 0:
        return False
    return not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)


def _dimensions(node: torch.fx.Node) -> int:
    """Of the node's value, or the most of its values; -1 for one that is no tensor."""
    value = node.meta.get("val")
    values = value if isinstance(value, (list, tuple)) else [value]
    return max((each.dim() for each in values if isinstance(each, Tensor)), default=-1)


PASS: Final[Mapping[str, Any]] = {"post_grad_custom_post_pass": StepPass()}
"""The option by which Inductor gets a `StepPass`."""
WHOLE_STEP: Final[Mapping[str, Any]] = {
    **PASS,
    # The calls between kernels in C++ instead of Python; on small steps most of what is left.
    "cpp_wrapper": True,
}
"""Options for graphs that hold a whole training step."""

ONE_THREAD: Final[Mapping[str, Any]] = {"cpp.threads": 1}
"""Options for graphs without a large product: a second thread costs more than it brings.

Four tiny workloads on an AMD EPYC, two threads given: 18 to 37 us a step on both, 10 to 29 on one
(2.13, `cpp.threads` in `torch/_inductor/config.py`; -1 means all threads).
"""
PLANNED: Final[Mapping[str, Any]] = {"memory_planning": True}
"""Options for graphs that call libraries: one piece of memory for a call instead of many.

On one thread of an AMD EPYC, three steps of 0.15 to 0.9 MFLOP took 0.84 to 0.92 of the time, five
of 6 to 600 MFLOP 0.97 to 1.03. A graph on the stack has no use for it: it leaves the stack, and a
tiny step took 1.5 times as long.
"""


def _is_random(node: torch.fx.Node) -> bool:
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return False
    return torch.Tag.nondeterministic_seeded in target.tags


def compile_graph(graph: torch.fx.GraphModule, tensors: Sequence[Tensor]) -> Callable[..., Any]:
    """A graph that holds a whole step, compiled for this process, on any device."""
    made: Callable[..., Any] = torch._inductor.standalone_compile(
        graph,
        list(tensors),
        dynamic_shapes="from_example_inputs",
        options={"config_patches": dict(WHOLE_STEP)},
    )
    return made


QUICKER: Final[Mapping[str, Any]] = {
    # Inductor would compile and load a small library for AVX2, for AVX-512 and for what followed,
    # one after the other: 8 of the 31 s that a cold start of `lesson` took. Every g++ that compiles
    # PyTorch's C++20 knows them. Those it may not know (VNNI, bfloat16, AMX) are tried all the same
    # (2.13, `torch/_inductor/cpu_vec_isa.py`).
    "cpp.vec_isa_ok": True,
    "aot_inductor.enable_line_tables": False,  # for debuggers; 1.5 s; not in 2.11
}
"""Options that only spare time while a library is compiled; a version without one goes without."""


def compile_library(graph: torch.fx.GraphModule, tensors: Sequence[Tensor], folder: Path) -> Path:
    """A graph that holds a whole step, compiled for the CPU into a shared library in a folder.

    A library of AOTInductor is called without Python, and the next start can load it.
    """
    calls = _calls_a_library(graph)
    on_the_stack = nullcontext() if calls else _stack_allocation()
    planned = PLANNED if calls else {}
    alone = ONE_THREAD if graph.meta.get(ALONE) else {}
    output = {"aot_inductor.output_path": str(folder / "step.so")}
    known = config.get_config_copy()
    quicker = {name: value for name, value in QUICKER.items() if name in known}
    options = {**WHOLE_STEP, **quicker, **planned, **alone, **output}
    with _writable_cache(), on_the_stack, warnings.catch_warnings():
        # Of copying the graph's own layout of arguments (2.13, `torch/utils/_pytree.py`).
        warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)`", FutureWarning)
        library = torch._inductor.aot_compile(graph, tuple(tensors), options=options)
    assert isinstance(library, str)
    return Path(library)


def _calls_a_library(graph: torch.fx.GraphModule) -> bool:
    """Whether a kernel of PyTorch's own is called: a product, or one that draws numbers.

    Such a call takes tensors, and what stands on the stack is none.
    """
    return any(is_product(node) or _is_random(node) for node in graph.graph.nodes)


@contextmanager
def _stack_allocation() -> Iterator[None]:
    """Let a small graph keep its intermediate results on the stack.

    Inductor chooses between its two ways to write C++ once for each device and process
    (2.13, `init_backend_registration`); here the other one is lent to one graph. What a graph
    keeps there is at most 100 KB (`MAX_STACK_ALLOCATION_SIZE`).
    """
    common.init_backend_registration()
    before = common.device_codegens["cpu"]
    common.device_codegens["cpu"] = common.DeviceCodegen(
        before.scheduling,
        before.wrapper_codegen,
        CppWrapperCpuArrayRef,
        before.fx_wrapper_codegen,
    )
    try:
        with config.patch({"aot_inductor.allow_stack_allocation": True}):
            yield
    finally:
        common.device_codegens["cpu"] = before


@contextmanager
def _writable_cache() -> Iterator[None]:
    """A folder where Inductor can write while it compiles, if its own cache cannot be written."""
    given = os.environ.get("TORCHINDUCTOR_CACHE_DIR") or default_cache_dir()
    try:
        os.makedirs(given, exist_ok=True)
        writable = os.access(given, os.W_OK)
    except OSError:
        writable = False
    with temporary_folder() as folder:
        other: AbstractContextManager[None] = (
            nullcontext() if writable else temporary_cache_dir(str(folder))
        )
        with other:
            yield
