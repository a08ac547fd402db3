"""The default compiler of `torch.compile`: counted, and told what to compute once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any, Final, final

import torch
from torch import Tensor
from torch._dynamo import lookup_backend
from torch._inductor.custom_graph_pass import CustomGraphPass
from torch.fx.experimental.proxy_tensor import make_fx

from twofold.engines.build_time import BuildTime
from twofold_torch.building import BuildClock
from twofold_torch.flat_state import FlatState


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
class ComputeOnce(CustomGraphPass):
    """Makes Inductor store a few values instead of computing them again wherever they are used.

    On the CPU Inductor writes an expression into each loop that reads it, unless it is long or
    holds one of a few functions (PyTorch 2.13, `StorageBox.should_realize_on_reuse`; `pow` is not
    among them). It would so evaluate Adam's bias corrections for every sixteen parameters, and the
    cipher's last rounds again in each forward and backward loop that reads a dropout mask.
    """

    def __call__(self, graph: torch.fx.Graph) -> None:
        for node in graph.nodes:
            if _is_number_for_a_loop(node) or _is_draw(node):
                node.meta["inductor_realize_to_strides"] = True  # read by GraphLowering.run_node

    def uuid(self) -> str:
        """Names this pass in the key of Inductor's cache."""
        return "twofold-compute-once-3"


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
    if _dimensions(node) <= 0 or _is_floating(node):
        return False
    return any(user.target is torch.ops.aten.lt.Scalar for user in node.users)


def _is_floating(node: torch.fx.Node) -> bool:
    """Whether the node's value is a tensor of floating-point numbers."""
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point()


def _dimensions(node: torch.fx.Node) -> int:
    """Of the node's value, or the most of its values; -1 for one that is no tensor."""
    value = node.meta.get("val")
    values = value if isinstance(value, (list, tuple)) else [value]
    return max((each.dim() for each in values if isinstance(each, Tensor)), default=-1)


SHORT_EXPRESSIONS: Final[Mapping[str, Any]] = {"realize_opcount_threshold": 30}
"""Options for graphs that draw dropout masks: values of more than 30 operations are not inlined.

Each round of the cipher reads its words two or three times, and while Inductor inlines it walks
through every path of that tree: its time grows about threefold with each round between two stored
values. PyTorch 2.13 stores from 50 operations on for CPUs and from 30 on elsewhere
(`torch/_inductor/ir.py`, `Loops.has_large_inner_fn`). With 30 a step of `lesson` comes out with the
same loops and compiles in two thirds of the time, four steps in half; with 20 its loops no longer
fuse.
"""

WHOLE_STEP: Final[Mapping[str, Any]] = {
    **SHORT_EXPRESSIONS,
    "post_grad_custom_post_pass": ComputeOnce(),
    # The calls between kernels in C++ instead of Python; on small steps most of what is left.
    "cpp_wrapper": True,
}
"""Options for graphs that hold a whole training step."""


@final
class TracedGraphs:
    """Inductor on functions that are traced whole, without Dynamo.

    Dynamo checks before every call whether its graph still holds: arguments, the model's
    attributes, the optimizer's values. On small models that and what else it does for a call took
    as long as the arithmetic. Here all that a graph depends on is known: the shapes and strides of
    the arguments, and whether the model is in training mode. A graph's inputs are the tensors of
    the state and the arguments; the weights of a loss are constants in it.
    """

    def __init__(
        self, options: Mapping[str, Any], is_training: Callable[[], bool], state: FlatState
    ) -> None:
        self.graphs = 0
        self._clock = BuildClock()
        self._options = {"config_patches": dict(options)}
        self._is_training = is_training
        self._state = state

    def build_time(self) -> BuildTime:
        """Seconds of tracing and of compiling so far."""
        return self._clock.build_time()

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function of this state, traced and compiled at the first call with a shape."""
        made: dict[tuple[object, ...], Callable[..., Any]] = {}
        state = self._state.tensors

        def call(*arguments: Tensor | None) -> Any:
            layouts = [None if each is None else (each.shape, each.stride()) for each in arguments]
            key = (self._is_training(), *layouts)
            given = [each for each in arguments if each is not None]
            if key not in made:
                made[key] = self._make(function, arguments, (*state, *given))
            return made[key](*state, *given)

        return call

    def _make(
        self,
        function: Callable[..., Any],
        arguments: Sequence[Tensor | None],
        tensors: Sequence[Tensor],
    ) -> Callable[..., Any]:
        """One graph on `tensors`: those of the state, then the arguments that are not None."""

        def on_tensors(*given: Tensor) -> Any:
            count = len(self._state.tensors)
            rest = iter(given[count:])
            own = [None if each is None else next(rest) for each in arguments]
            return function(self._state.of(given[:count]), *own)

        with self._clock.tracing(), _compiling():
            trace = make_fx(on_tensors, tracing_mode="fake", _allow_non_fake_inputs=True)
            graph = trace(*tensors)
        with self._clock.compiling():
            made: Callable[..., Any] = torch._inductor.standalone_compile(
                graph, list(tensors), dynamic_shapes="from_example_inputs", options=self._options
            )
        self.graphs += 1
        return made


@contextmanager
def _compiling() -> Iterator[None]:
    """Let `torch.compiler.is_compiling()` be true, as `torch.export` does where it traces so.

    PyTorch's optimizers then keep the step and the learning rate in tensors (PyTorch 2.13,
    `torch/_export/utils.py`, `torch/optim/adam.py`).
    """
    before = torch.compiler._is_compiling_flag
    torch.compiler._is_compiling_flag = True
    try:
        yield
    finally:
        torch.compiler._is_compiling_flag = before


def whole_step_compiler(is_training: Callable[[], bool], state: FlatState) -> TracedGraphs:
    """The compiler of whole steps that change a state."""
    return TracedGraphs(WHOLE_STEP, is_training, state)
