"""All that a training step changes, each in one flat buffer, for the optimizer's own functions.

An optimizer that works on each element by itself does the same on one long vector: one kernel
takes the place of one for each tensor. Weights, biases and slots stay what they were, as views.
Parameters lie in the order of the optimizer's groups, so that each group is one piece.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from twofold.problem.state import FIRST_MOMENT, MOMENTUM, SECOND_MOMENT
from twofold_torch.optimizer import SLOT_KEYS


@dataclass(frozen=True)
class FlatState:
    """Parameters and slots (elements,) of a model; steps taken () as float64; the model's buffers.

    `position` is that in an epoch, (), of graphs that count it themselves.
    In float64 Adam's bias corrections are as exact as in eager mode, where they are Python numbers.
    No optimizer changes a buffer, so that each stays a tensor of its own.
    """

    parameters: Tensor
    slots: tuple[Tensor, ...]
    step: Tensor
    buffers: tuple[Tensor, ...] = ()
    position: tuple[Tensor, ...] = ()

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All that a training step changes."""
        return (self.parameters, *self.slots, self.step, *self.buffers, *self.position)

    def of(self, tensors: Sequence[Tensor]) -> FlatState:
        """A state with other tensors in the places of these."""
        rest = iter(tensors)
        parameters = next(rest)
        slots = tuple(itertools.islice(rest, len(self.slots)))
        step = next(rest)
        buffers = tuple(itertools.islice(rest, len(self.buffers)))
        return FlatState(parameters, slots, step, buffers, tuple(rest))


UpdateRule = Callable[[FlatState, Tensor, Tensor], None]


def flatten(optimizer: torch.optim.Optimizer, buffers: Sequence[Tensor] = ()) -> FlatState:
    """Move a model's parameters and its optimizer's slots into flat buffers.

    Both keep working: their tensors are views of the buffers from here on. The model's own
    `buffers` stay where they are.
    """
    parameters = flat_order(optimizer)
    device = parameters[0].device
    flat = torch.cat([each.detach().reshape(-1) for each in parameters])
    slot_keys = _slot_keys(optimizer)
    slots = tuple(torch.zeros_like(flat) for _ in slot_keys)
    step = torch.zeros((), dtype=torch.float64, device=device)
    pieces = zip(*(pieces_of(buffer, parameters) for buffer in (flat, *slots)), strict=True)
    for parameter, (piece, *slot_pieces) in zip(parameters, pieces, strict=True):
        parameter.data = piece
        optimizer.state[parameter].update(zip(slot_keys, slot_pieces, strict=True))
        if is_adam(optimizer):
            optimizer.state[parameter]["step"] = step
    return FlatState(flat, slots, step, tuple(buffers))


def _slot_keys(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    """The slots in the order in which the optimizer's functions take them."""
    if is_adam(optimizer):
        return SLOT_KEYS[FIRST_MOMENT], SLOT_KEYS[SECOND_MOMENT]
    return (SLOT_KEYS[MOMENTUM],) if optimizer.param_groups[0]["momentum"] > 0 else ()


def is_adam(optimizer: torch.optim.Optimizer) -> bool:
    """Whether it is Adam or AdamW, which PyTorch 2.13 derives from Adam."""
    return isinstance(optimizer, torch.optim.Adam)


def flat_order(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """The parameters as they follow each other in the flat buffers: group by group."""
    return [each for group in optimizer.param_groups for each in group["params"]]


def pieces_of(buffer: Tensor, parameters: Sequence[Tensor]) -> Iterator[Tensor]:
    """The views of a flat buffer (elements,) that have the shapes of parameters in flat order."""
    ends = itertools.accumulate(each.numel() for each in parameters)
    for parameter, end in zip(parameters, ends, strict=True):
        yield buffer[end - parameter.numel() : end].view(parameter.shape)


def update_rule(optimizer: torch.optim.Optimizer) -> UpdateRule:
    """One step of PyTorch's own optimizer on flat buffers, in place.

    It is given the gradient (elements,) and the learning rate (), a tensor so that another value
    makes no other graph.

    `torch.optim.adam.adam` and `torch.optim.sgd.sgd` are what `Optimizer.step` calls (PyTorch
    2.13), once for each group of parameters. `step` itself cannot be part of a whole graph: it
    breaks the graph by design (`torch.optim.optimizer._use_grad_for_differentiable`).
    """
    rule = _adam if is_adam(optimizer) else _sgd
    groups = [
        {k: v for k, v in group.items() if k not in ("params", "lr")}
        for group in optimizer.param_groups
    ]
    if len(groups) == 1:
        return partial(rule, groups[0])
    sizes = [sum(each.numel() for each in group["params"]) for group in optimizer.param_groups]

    def update(state: FlatState, gradient: Tensor, rate: Tensor) -> None:
        step, start = state.step.clone(), 0
        for number, (values, size) in enumerate(zip(groups, sizes, strict=True)):
            own = slice(start, start + size)
            # Each call counts the step; only the first one's count is kept.
            count = state.step if number == 0 else step.clone()
            part = FlatState(state.parameters[own], tuple(slot[own] for slot in state.slots), count)
            rule(values, part, gradient[own], rate)
            start += size

    return update


def _adam(values: Mapping[str, Any], state: FlatState, gradient: Tensor, rate: Tensor) -> None:
    first_moment, second_moment = state.slots
    beta1, beta2 = values["betas"]
    adam(
        [state.parameters],
        [gradient],
        [first_moment],
        [second_moment],
        [],
        [state.step],
        foreach=True,  # the other form divides by zero at a learning rate of zero
        capturable=True,
        differentiable=False,
        fused=False,
        grad_scale=None,
        found_inf=None,
        has_complex=False,
        decoupled_weight_decay=values["decoupled_weight_decay"],
        amsgrad=values["amsgrad"],
        beta1=beta1,
        beta2=beta2,
        lr=rate,
        weight_decay=values["weight_decay"],
        eps=values["eps"],
        maximize=values["maximize"],
    )


def _sgd(values: Mapping[str, Any], state: FlatState, gradient: Tensor, rate: Tensor) -> None:
    sgd(
        [state.parameters],
        [gradient],
        list(state.slots) or [None],
        has_sparse_grad=False,
        foreach=torch.compiler.is_compiling(),  # the other form takes its rate as a Python number
        fused=False,
        grad_scale=None,
        found_inf=None,
        weight_decay=values["weight_decay"],
        momentum=values["momentum"],
        lr=rate,  # type: ignore[arg-type]  # annotated float, made for both
        dampening=values["dampening"],
        nesterov=values["nesterov"],
        maximize=values["maximize"],
    )
