"""The engines of Flax: each is one short function from a program to what executes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, ParamSpec, TypeVar, final

import jax

from twofold.problem import Problem
from twofold_flax.device import arithmetic, choose_device
from twofold_flax.executor import FlaxExecutor
from twofold_flax.program import Execution, Program, build_program, never, python_loop, take

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@final
class CountingJit:
    """`jax.jit`, counting the traces; each trace of these functions ends in one compilation."""

    def __init__(self) -> None:
        self.traces = 0

    def __call__(
        self, function: Callable[Arguments, Result], **options: Any
    ) -> Callable[Arguments, Result]:
        """The jitted function; `options` are those of `jax.jit`."""

        @functools.wraps(function)
        def traced(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            self.traces += 1
            return function(*args, **kwargs)

        jitted: Callable[Arguments, Result] = jax.jit(traced, **options)
        return jitted


def op_by_op(program: Program) -> Execution:
    """The program as it stands: JAX dispatches each operation on its own."""
    return Execution(
        logits=program.logits,
        training_logits=program.training_logits,
        evaluate=program.evaluate,
        loss_and_gradients=program.loss_and_gradients,
        train_step=program.train_step,
        train_steps=python_loop(take, program.train_step),
        compilations=never,
    )


def jit(program: Program) -> Execution:
    """Each function under `jax.jit`; the training step gives its old state's buffers away.

    A new batch shape makes a new program.
    """
    compiled = CountingJit()
    train_step = compiled(program.train_step, donate_argnums=0)
    return Execution(
        logits=compiled(program.logits),
        training_logits=compiled(program.training_logits),
        evaluate=compiled(program.evaluate),
        loss_and_gradients=compiled(program.loss_and_gradients),
        train_step=train_step,
        train_steps=python_loop(compiled(take), train_step),
        compilations=lambda: compiled.traces,
    )


ENGINES: Final[Mapping[str, Callable[[Program], Execution]]] = {
    "op-by-op": op_by_op,
    "jit": jit,
}


def open_executor(engine: str, problem: Problem) -> FlaxExecutor:
    """Open a problem in an engine of this backend. Raises DeviceUnavailable."""
    device = choose_device(problem.experiment)
    with arithmetic(problem.experiment.precision, device):
        program, params = build_program(problem)
        return FlaxExecutor(problem, device, program, params, ENGINES[engine](program))
