"""The engines of PyTorch: each is one short function from a program to what executes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import FunctionType, MethodType
from typing import Any, Final, final

import torch
from torch import Tensor
from torch._dynamo import lookup_backend

from twofold.problem import Problem
from twofold_torch.device import choose_device, pin_matmul_precision
from twofold_torch.executor import TorchExecutor
from twofold_torch.model import Mlp
from twofold_torch.program import Execution, Program, build_program


@final
class CountingInductor:
    """The default compiler of `torch.compile`, counting the graphs it is given.

    A graph is a forward pass and, in training, the backward pass that belongs to it.
    """

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        self.graphs += 1
        return lookup_backend("inductor")(graph, inputs)


def eager(program: Program) -> Execution:
    """The program as it stands: PyTorch starts one kernel for each operation."""
    return Execution.of(program)


def compile_model(program: Program) -> Execution:
    """The lesson's one line, `model = torch.compile(model)`; loss and optimizer stay eager.

    A new batch shape makes a new graph (`dynamic=False`). With `fullgraph=True` a graph break, or
    more graphs than `torch._dynamo.config.recompile_limit`, is an error and never a silent return
    to eager mode.
    """
    compiler = CountingInductor()
    own_code(program.model)
    model = torch.compile(program.model, backend=compiler, dynamic=False, fullgraph=True)
    return Execution.of(replace(program, forward=model), lambda: compiler.graphs)


ENGINES: Final[Mapping[str, Callable[[Program], Execution]]] = {
    "eager": eager,
    "compile": compile_model,
}


def own_code(model: Mlp) -> None:
    """Give a model a `forward` with a code object of its own.

    Dynamo keeps its graphs, and counts them against its limit, by code object: without this all
    sessions of a process would share one limit. (`isolate_recompiles` is not in PyTorch 2.11.)
    """
    shared = Mlp.forward
    own = FunctionType(shared.__code__.replace(), shared.__globals__, shared.__name__)
    own.__defaults__ = shared.__defaults__
    model.forward = MethodType(own, model)  # type: ignore[method-assign]  # the purpose


def open_executor(engine: str, problem: Problem) -> TorchExecutor:
    """Open a problem in an engine of this backend. Raises DeviceUnavailable."""
    device = choose_device(problem.experiment)
    pin_matmul_precision()
    program = build_program(problem, device)
    return TorchExecutor(problem, device, program, ENGINES[engine](program))
