"""Functions of a state as graphs: traced whole, compiled, and kept for the next start."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, final

import torch
from torch import Tensor

from twofold.engines.build_time import BuildTime
from twofold.temporary import temporary_folder
from twofold_torch import step_cache
from twofold_torch.building import BuildClock
from twofold_torch.cpp_compiler import require_compiler
from twofold_torch.flat_state import FlatState
from twofold_torch.tape import fingerprint

RECIPE_FILES: Final = ("inductor.py", "products.py", "traced_graphs.py")

Bound = Callable[[], Any]


@final
class TracedGraphs:
    """Inductor on functions that are traced whole, without Dynamo.

    Dynamo checks before every call whether its graph still holds: arguments, the model's
    attributes, the optimizer's values. On small models that and what else it does for a call took
    as long as the arithmetic. Here all that a graph depends on is known: the shapes and strides of
    the arguments, whether the model is in training mode, and the number of threads. A graph's
    inputs are the tensors of the state and the arguments; the weights of a loss are constants in
    it.

    On the CPU a graph becomes a shared library, which the next start finds in a cache by what the
    function computes; then neither Dynamo nor Inductor is loaded.
    """

    def __init__(self, is_training: Callable[[], bool], state: FlatState) -> None:
        self.graphs = 0
        self._clock = BuildClock()
        self._is_training = is_training
        self.state = state

    def build_time(self) -> BuildTime:
        """Seconds of tracing and of compiling so far."""
        return self._clock.build_time()

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function of this state, traced and compiled at the first call with a shape."""
        binding = self.binding(function)
        return lambda *arguments: binding(*arguments)()

    def binding(self, function: Callable[..., Any]) -> Callable[..., Bound]:
        """What takes the function's arguments and returns it with these, ready to be called.

        The arguments' layouts are looked at once, not at every call.
        """
        made: dict[tuple[object, ...], Callable[[Sequence[Tensor]], Bound]] = {}

        def bind(*arguments: Tensor | None) -> Bound:
            layouts = [None if each is None else (each.shape, each.stride()) for each in arguments]
            key = (self._is_training(), torch.get_num_threads(), *layouts)
            given = [each for each in arguments if each is not None]
            tensors = (*self.state.tensors, *given)
            if key not in made:
                made[key] = self._make(function, arguments, tensors)
            return made[key](tensors)

        return bind

    def _make(
        self,
        function: Callable[..., Any],
        arguments: Sequence[Tensor | None],
        tensors: Sequence[Tensor],
    ) -> Callable[[Sequence[Tensor]], Bound]:
        """One graph on `tensors`: those of the state, then the arguments that are not None."""
        count = len(self.state.tensors)
        alone = False  # whether the result is one tensor, not several

        def on_tensors(*given: Tensor) -> tuple[Tensor, ...]:
            nonlocal alone
            rest = iter(given[count:])
            own = [None if each is None else next(rest) for each in arguments]
            result = function(self.state.of(given[:count]), *own)
            alone = isinstance(result, Tensor)
            return (result,) if alone else tuple(result)

        bind = self._compiled(on_tensors, tensors)
        self.graphs += 1
        return (lambda given: _first_of(bind(given))) if alone else bind

    def _compiled(
        self, function: Callable[..., tuple[Tensor, ...]], tensors: Sequence[Tensor]
    ) -> Callable[[Sequence[Tensor]], Bound]:
        if all(each.device.type == "cpu" for each in tensors):
            count = len(self.state.tensors)
            copies = [each.clone() for each in tensors[:count]]
            with self._clock.tracing(), _compiling():
                taped = fingerprint(function, [*copies, *tensors[count:]])
            return self._library(taped, function, tensors).bind
        from twofold_torch.inductor import compile_graph
        from twofold_torch.products import trace

        with self._clock.tracing(), _compiling():
            graph = trace(function, tensors)
        with self._clock.compiling():
            compiled = compile_graph(graph, tensors)
        return lambda given: lambda: compiled(*given)

    def _library(
        self, taped: str, function: Callable[..., Any], tensors: Sequence[Tensor]
    ) -> step_cache.StepLibrary:
        """The library of a function with this fingerprint, from the cache or compiled now."""
        name = step_cache.key(taped, _recipe())
        with self._clock.compiling():
            found = step_cache.find(name)
        if found is not None:
            return found
        require_compiler()
        from twofold_torch.inductor import compile_library
        from twofold_torch.products import trace

        with self._clock.tracing(), _compiling():
            graph = trace(function, tensors)
        with self._clock.compiling(), temporary_folder() as folder:
            path = compile_library(graph, tensors, folder)
            step_cache.keep(name, path)
            return step_cache.StepLibrary(path)


def _first_of(call: Bound) -> Bound:
    return lambda: call()[0]


@cache
def _recipe() -> str:
    """One text of all that says how a graph is traced and compiled."""
    here = Path(__file__).parent
    return step_cache.recipe_of(*[(here / name).read_bytes() for name in RECIPE_FILES])


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
