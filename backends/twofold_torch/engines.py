"""The engines of PyTorch: each is one short function from a program to what executes.

Compilers are imported by the engines that use them: loading them takes seconds and memory, which
the others should not pay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MethodType
from typing import Final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from twofold.engines.registry import find_engine
from twofold.problem.problem import Problem
from twofold_torch.default_engine import COMPILED
from twofold_torch.device import choose_device, own_device, pin_matmul_precision
from twofold_torch.executor import TorchExecutor
from twofold_torch.feed import Steps
from twofold_torch.model import Network
from twofold_torch.program import Execution, Program, build_program, loop
from twofold_torch.remembered import remembering
from twofold_torch.self_stepping import STEPS_PER_CALL, self_stepping
from twofold_torch.whole_step import WholeStep


def lesson(program: Program) -> Execution:
    """The lesson's own loop: a `DataLoader` over a `TensorDataset`, eager, default optimizer.

    Compiles nothing. It pays by reading as everybody writes it, and it works for data that does not
    fit in memory, since a dataset may load a row when it is asked for one. It costs most of the
    step on a small model: the loader takes every row by itself, stacks the rows of a batch into new
    tensors, and the loop moves them to the device, all in Python. Workers do that beside the
    training, but send each batch through shared memory (`comparisons/feeding.py` measures both).
    The order is the problem's own, passed as the sampler; a single `step` gets its batch and does
    not use the loader.
    """

    def train_steps(inputs: Tensor, targets: Tensor, steps: Steps) -> Tensor:
        dataset = TensorDataset(inputs.cpu(), targets.cpu())
        batches = [rows.tolist() for rows in steps.rows]
        loader = DataLoader(dataset, batch_sampler=batches, num_workers=0)
        moved = ((rows.to(inputs.device), wanted.to(inputs.device)) for rows, wanted in loader)
        return loop(program.train_step, moved, steps.keys)

    return replace(Execution.of(program), train_steps=train_steps)


def eager(program: Program) -> Execution:
    """The program as it stands: PyTorch starts one kernel for each operation.

    Compiles nothing and starts at once. It pays wherever the model changes, is debugged, or is so
    large that its kernels take longer than starting them: then there is little left to gain. It
    costs the start of some hundred kernels each step, a few microseconds each, in Python and in
    PyTorch's dispatcher, and every intermediate result goes to memory and back. On a small model
    that is nearly all of the step. Batches are gathered from the training rows on the device by
    tensor indexing. Shared dropout masks cost eager mode more than `nn.Dropout` would: the cipher
    is some eighty operations.
    """
    return Execution.of(program)


def eager_fused(program: Program) -> Execution:
    """Eager, with `fused=True`: the optimizer's whole update is one kernel.

    Compiles nothing. PyTorch has such kernels for SGD, Adam and AdamW on the CPU, CUDA and MPS:
    they read and write every parameter and slot once, where the default writes every intermediate
    result. It pays in every eager loop, most with many parameters, and costs nothing but a
    keyword; the default (`foreach` on CUDA, one tensor after the other on the CPU) is only more
    widely tested. Forward and backward stay as in `eager`, so that a step gains what its optimizer
    took. Sums are rounded in another order than by default, within the same bounds.
    """
    for group in program.optimizer.param_groups:
        group.update(fused=True, foreach=False)
    program.optimizer.defaults.update(fused=True, foreach=False)
    return Execution.of(program)


def compile_model(program: Program) -> Execution:
    """The lesson's one line, `model = torch.compile(model)`; loss and optimizer stay eager.

    Compiles the model's forward pass and the backward pass that belongs to it, with the dropout
    masks inside; a new batch shape makes a new graph. It pays for large models with many
    elementwise operations between their matrix products, above all on GPUs. It costs 10 to 40
    seconds at the first step, and at every step the checks (guards) before the graph and
    autograd's machinery around it. On a small model that, and an optimizer that is still eager,
    eat the gain: it can be slower than eager mode. `compile-step` compiles all of it. Graph breaks
    are errors here (`fullgraph=True`), so that nothing falls back to eager mode unseen.
    """
    from twofold_torch.building import timed_by_dynamo
    from twofold_torch.inductor import PASS, CountingInductor, own_code

    compiler = CountingInductor(PASS)
    own = own_code(Network.forward)
    program.model.forward = MethodType(own, program.model)  # type: ignore[method-assign]
    model = torch.compile(program.model, backend=compiler, dynamic=False, fullgraph=True)
    own_graphs = Execution.of(replace(program, forward=model), lambda: compiler.graphs)
    return timed_by_dynamo(own_graphs)


def compile_step(program: Program) -> Execution:
    """Forward, backward and optimizer as one graph, on flat buffers, that steps by itself.

    Compiles the gradient and PyTorch's own optimizer function into one graph for each batch shape;
    parameters and slots lie in one buffer each, so that the update is one loop. Shared dropout is
    drawn inside. The graph is given an epoch's rows, keys and learning rates, gathers its batch,
    stores its loss and moves its position on: all calls of an epoch are the same, and cost a
    microsecond. A decomposition table writes small matrix products as loops; where all are small,
    what lies between stays on the stack. Without a large product or a long loop one thread does it
    all. It pays for every small or middling model that trains for more than a minute: a step costs
    little more than its arithmetic. It costs a long cold start (once for each batch shape; the
    smaller last batch of an epoch is one), and a functional style: `loss.backward()` and hooks have
    no place in the graph. It is traced without Dynamo and becomes a library of AOTInductor, which
    the next start loads without a compiler.
    """
    return self_stepping(program, at_once=1)


def compile_epoch(program: Program) -> Execution:
    """Two whole steps in one graph.

    Compiles two steps of `compile-step`, one after the other, into one graph; the cipher runs once
    for both. What is left of an epoch goes step by step through the graph of `compile-step`. It
    pays where a step takes about as long as calling it does, or draws few masks: what a call costs
    comes once for both. It costs a cold start twice as long, and one more graph; the training rows
    must lie on the device. More steps gained no more than 8 % on tiny networks and took as many
    times longer to compile. PyTorch has no loop that would stay on the device for a whole epoch at
    this speed (`torch.while_loop` copies what it carries), hence the unrolling.
    """
    return self_stepping(program, at_once=STEPS_PER_CALL)


def ddp(program: Program) -> Execution:
    """The lesson's model in `DistributedDataParallel`, eager: processes share each batch.

    Compiles nothing. Each process computes its rows of the batch; while the backward pass runs, DDP
    adds up the gradients of all, so that every process takes the same update. It pays where the
    arithmetic of a step takes longer than that sum: for wide models and large batches, with
    processors or machines of their own. It costs a message for each bucket of gradients, a copy of
    the model and of the data in every process, and care: DDP takes the mean over processes, not
    over rows, and statistics of a batch are of one process's rows. One process alone is a world of
    one.
    """
    from twofold_torch.ddp import DataParallel
    from twofold_torch.world import join

    device = next(program.model.parameters()).device
    return DataParallel(program, join(device)).execution()


def cuda_graph(program: Program) -> Execution:
    """The whole step, not compiled but captured once as a CUDA graph and replayed.

    Captures all kernels of forward, backward and optimizer, on the flat buffers of `compile-step`;
    a new batch shape is captured anew. It pays where a GPU waits for Python: a replay starts
    hundreds of kernels in one call, and a capture takes a fraction of a second, not the half
    minute of a compiler. It costs memory that stays where it is (each shape keeps its own), a copy
    of every batch to where the graph reads it, and all that a fixed sequence cannot do: no branch
    on a value, no new shape. The kernels themselves are those of eager mode.
    """
    from twofold_torch.cuda import CudaGraphs

    return WholeStep(program, partial(CudaGraphs, lambda: program.model.training)).execution()


def reduce_overhead(program: Program) -> Execution:
    """`compile-step` in the mode `reduce-overhead`: compiled, and replayed as a CUDA graph.

    Compiles as `compile-step` does; on top, PyTorch records what the compiled step launches and
    replays it (CUDA graph trees). It pays for small steps on a GPU, whose few fused kernels are
    shorter than their start. It costs the cold start of both, memory that is kept for the replay,
    and results that the next step overwrites: the session copies each loss. Parameters and slots
    are declared to stay where they are; otherwise PyTorch would copy them or not record at all.
    """
    from twofold_torch.cuda import CompiledByMode

    return WholeStep(program, partial(CompiledByMode, "reduce-overhead")).execution()


def max_autotune(program: Program) -> Execution:
    """`compile-step` in the mode `max-autotune`: kernels are chosen by measuring them.

    Compiles as `reduce-overhead` does, and tries several kernels (Triton's and the vendor's) for
    each matrix product on this very GPU. It pays for long trainings of models whose products have
    unusual shapes, or gain from fusing what follows them. It costs minutes at the first step, more
    for each further batch shape, and a choice that other load on the GPU during the measurement
    may spoil. For common shapes the vendor's kernel usually wins and nothing is gained.
    """
    from twofold_torch.cuda import CompiledByMode

    return WholeStep(program, partial(CompiledByMode, "max-autotune")).execution()


ENGINES: Final[Mapping[str, Callable[[Program], Execution]]] = {
    "eager": eager,
    "lesson": lesson,
    "eager-fused": eager_fused,
    "compile": compile_model,
    "compile-step": compile_step,
    "compile-epoch": compile_epoch,
    "ddp": ddp,
    "cuda-graph": cuda_graph,
    "reduce-overhead": reduce_overhead,
    "max-autotune": max_autotune,
}


def open_executor(engine: str, problem: Problem) -> TorchExecutor:
    """Open a problem in an engine of this backend. Raises DeviceUnavailable."""
    description = find_engine(f"torch:{engine}")[1]
    device = choose_device(problem.experiment, description)
    if description.processes:
        device = own_device(device)
    pin_matmul_precision()
    program = build_program(problem, device)
    execution = ENGINES[engine](program)
    if engine == COMPILED:
        execution = replace(execution, train_steps=remembering(problem, execution.train_steps))
    return TorchExecutor(problem, device, program, execution)
