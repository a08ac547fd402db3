"""`jax.jit` and its ahead-of-time form, counting what they compile."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, final

import jax

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@final
class CountingJit:
    """`jax.jit`, counting the traces; each trace of these functions ends in one compilation."""

    def __init__(self, transform: Callable[..., Any] = jax.jit) -> None:
        self.traces = 0
        self._transform = transform

    def __call__(
        self, function: Callable[Arguments, Result], **options: Any
    ) -> Callable[Arguments, Result]:
        """The compiled function; `options` are those of the transform, `jax.jit` by default."""

        @functools.wraps(function)
        def traced(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            self.traces += 1
            return function(*args, **kwargs)

        compiled: Callable[Arguments, Result] = self._transform(traced, **options)
        return compiled


@final
class AheadOfTime:
    """One function, compiled ahead of its calls for each shape of its last argument."""

    def __init__(self, jitted: Any) -> None:
        """`jitted` is what `jax.jit` gives; its other arguments keep their shapes."""
        self._jitted = jitted
        self._compiled: dict[tuple[int, ...], Any] = {}

    def compile(self, *arguments: Any) -> None:
        """Lower and compile for arguments like these; nothing is computed, nothing donated."""
        self._compiled[arguments[-1].shape] = self._jitted.lower(*arguments).compile()

    def __call__(self, *arguments: Any) -> Any:
        """Call the compiled program; a shape that was not foreseen is compiled first."""
        shape = arguments[-1].shape
        if shape not in self._compiled:
            self.compile(*arguments)
        return self._compiled[shape](*arguments)
