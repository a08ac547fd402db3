"""Whole steps on CUDA: captured as a CUDA graph, and Inductor's modes that use such graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from torch import Tensor

from twofold.engines.build_time import BuildTime
from twofold_torch.building import BuildClock, DynamoClock
from twofold_torch.flat_state import FlatState
from twofold_torch.inductor import PASS, CountingInductor, own_code

WARM_UP_CALLS: Final = 3  # what PyTorch's documentation of `torch.cuda.graph` asks for


@dataclass(frozen=True)
class _Capture:
    """A captured call: its graph, where its arguments are read, and where its result lies."""

    graph: torch.cuda.CUDAGraph
    arguments: tuple[Tensor | None, ...]
    result: Any


@final
class CudaGraphs:
    """Stands in for a compiler: each function is captured once for each shape, then replayed.

    `state` is what the functions change: the calls that PyTorch asks for before a capture must
    leave no trace in it.
    """

    def __init__(self, is_training: Callable[[], bool], state: FlatState) -> None:
        self.graphs = 0
        self._clock = BuildClock()
        self._state = state
        self._is_training = is_training

    def build_time(self) -> BuildTime:
        """Capturing counts as tracing; nothing is compiled."""
        return self._clock.build_time()

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function of this state, captured at the first call with a shape, then replayed."""
        captures: dict[tuple[object, ...], _Capture] = {}

        def replay(*arguments: Tensor | None) -> Any:
            shapes = (each if each is None else each.shape for each in arguments)
            key = (*shapes, self._is_training(), torch.is_grad_enabled())
            if key not in captures:
                captures[key] = self._capture(function, arguments)
            capture = captures[key]
            for place, given in zip(capture.arguments, arguments, strict=True):
                if place is not None and given is not None:
                    place.copy_(given)
            capture.graph.replay()
            return _copy(capture.result)  # the next replay overwrites it

        return replay

    def _capture(
        self, function: Callable[..., Any], arguments: tuple[Tensor | None, ...]
    ) -> _Capture:
        self.graphs += 1
        places = tuple(None if each is None else each.clone() for each in arguments)
        kept = [tensor.clone() for tensor in self._state.tensors]
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_CALLS):
                function(self._state, *places)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with self._clock.tracing(), torch.cuda.graph(graph):
            result = function(self._state, *places)
        with torch.no_grad():
            for tensor, before in zip(self._state.tensors, kept, strict=True):
                tensor.copy_(before)
        return _Capture(graph, places, result)


def _copy(result: Any) -> Any:
    if isinstance(result, Tensor):
        return result.clone()
    return tuple(_copy(each) for each in result)


@final
class CompiledByMode:
    """Inductor in a mode of `torch.compile` such as `reduce-overhead`, on functions of a state."""

    def __init__(self, mode: str, state: FlatState) -> None:
        """The tensors of `state` keep their addresses; CUDA graphs need to be told."""
        for tensor in state.tensors:
            torch._dynamo.mark_static_address(tensor)
        self._state = state
        self._clock = DynamoClock()
        self._inductor = CountingInductor({**torch._inductor.list_mode_options(mode), **PASS})

    @property
    def graphs(self) -> int:
        """How many graphs it has made so far."""
        return self._inductor.graphs

    def build_time(self) -> BuildTime:
        """Seconds of tracing and of compiling so far; recording CUDA graphs comes on top."""
        return self._clock.build_time()

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function compiled whole: with `fullgraph=True` a graph break is an error.

        A new shape makes a new graph (`dynamic=False`); more graphs than
        `torch._dynamo.config.recompile_limit` are an error, never a silent return to eager mode.
        """

        def of_state(*arguments: Tensor | None) -> Any:
            return function(self._state, *arguments)

        compiled: Callable[..., Any] = torch.compile(
            own_code(of_state), backend=self._inductor, dynamic=False, fullgraph=True
        )
        return self._clock.around(compiled)
