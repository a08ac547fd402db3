"""Clocks around tracing and compiling, and what Dynamo says of its own time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Final, ParamSpec, TypeVar, final

from twofold.engines.build_time import BuildTime
from twofold_torch.program import Execution

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

WHOLE: Final = ("_compile.compile_inner", "backward._backward_impl")
INDUCTOR: Final = (
    "inductor_import",
    "compile_fx.<locals>.fw_compiler_base",
    "compile_fx.<locals>.bw_compiler",
    "AOTAutogradCache.inductor_load",
)
"""Names in Dynamo's list of times (PyTorch 2.13, `dynamo_timed`): a frame from its first bytecode
to its guards and a backward pass that is compiled when first called; and of these what belongs to
Inductor: being loaded, compiling either pass, reading both from the compile cache."""


@final
class BuildClock:
    """Seconds of tracing and of compiling, each begun and ended here."""

    def __init__(self) -> None:
        self._built = BuildTime()

    @contextmanager
    def tracing(self) -> Iterator[None]:
        """What goes on inside counts as tracing."""
        start = perf_counter()
        try:
            yield
        finally:
            self._built += BuildTime(trace_s=perf_counter() - start)

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """What goes on inside counts as compiling."""
        start = perf_counter()
        try:
            yield
        finally:
            self._built += BuildTime(compile_s=perf_counter() - start)

    def build_time(self) -> BuildTime:
        """All so far."""
        return self._built


@final
class DynamoClock:
    """The seconds that Dynamo reports for calls of some functions."""

    def __init__(self) -> None:
        self._built = BuildTime()

    def around(self, function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        """The function, with what Dynamo builds in its calls credited to this clock."""

        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            before = dynamo_build_time()
            try:
                return function(*args, **kwargs)
            finally:
                self._built += dynamo_build_time() - before

        return call

    def build_time(self) -> BuildTime:
        """All so far."""
        return self._built


def dynamo_build_time() -> BuildTime:
    """What Dynamo has reported in this process so far.

    All that is not Inductor's counts as tracing: Dynamo, AOTAutograd, the keys of their caches.
    """
    from torch._dynamo.utils import compilation_time_metrics  # here: Dynamo takes long to load

    whole, inductor = (
        sum(sum(compilation_time_metrics.get(name, ())) for name in names)
        for names in (WHOLE, INDUCTOR)
    )
    return BuildTime(whole - inductor, inductor)


def timed_by_dynamo(execution: Execution) -> Execution:
    """The execution, telling what Dynamo builds in its functions."""
    clock = DynamoClock()
    return replace(
        execution,
        forward=clock.around(execution.forward),
        backward=clock.around(execution.backward),
        train_step=clock.around(execution.train_step),
        train_steps=clock.around(execution.train_steps),
        build_time=clock.build_time,
    )
