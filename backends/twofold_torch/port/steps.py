"""Optimizer steps of a PyTorch module, as its owner takes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import nullcontext
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

from twofold.errors import BadInput
from twofold.port.causes.sites import Site
from twofold.port.side import Array, Call, StepAnswer, Stepper
from twofold.port.trees import leaves
from twofold_torch.port.describe import plain_name
from twofold_torch.port.rules import (
    apply,
    asked_of,
    at_rate,
    clip_without_epsilon,
    shift_schedule,
    site_of,
)

if TYPE_CHECKING:
    from twofold_torch.port.model import Torch


@final
class TorchStepper(Stepper):
    """Backward, clip, step, schedule; the optimizer is made at the first step."""

    def __init__(self, side: Torch) -> None:
        self._side = side
        self._optimizer: Any = None
        self._scheduler: Any = None
        self._steps = 0

    def step(self, call: Call) -> StepAnswer:
        """One step from the call's tensors. Raises SideFailed."""
        side = self._side
        new = asked_of(call.changes)
        with side.session(call) as (batch, watch):
            if self._optimizer is None:
                self._optimizer, self._scheduler = _made(side)
                apply(self._optimizer, new)
            self._optimizer.zero_grad()
            side.watch_sites(replace(call, want=frozenset()))
            outputs = side.outputs(batch, call)
            flat = dict(leaves(outputs, torch.is_tensor))
            loss = side.loss(outputs, flat, batch, call)
            with side.below():
                loss.backward()  # type: ignore[no-untyped-call]
            _moved(side, call.gradient_noise)
            if "gradient factor" in new:
                _scale(side, new["gradient factor"])
            with clip_without_epsilon() if "clip epsilon" in new else nullcontext():
                notes = () if new.get("clip") is False else _clipped(side)
            self._schedule_and_step(new)
            named = [*side.module.named_parameters(), *side.module.named_buffers()]
            return StepAnswer(
                loss=np.asarray(loss.detach().double().numpy()),
                tensors={plain_name(name): _copy(value) for name, value in named},
                casts=watch.casts if watch else (),
                notes=notes,
                sites=self._sites() if "sites" in call.want else (),
            )

    def _schedule_and_step(self, new: Mapping[str, Any]) -> None:
        goes_on = self._scheduler is not None
        if goes_on and "schedule" in new:
            goes_on = shift_schedule(self._scheduler, new["schedule"], self._steps)
        with at_rate(self._optimizer, new["every rate"]) if "every rate" in new else nullcontext():
            self._optimizer.step()
        if goes_on:
            self._scheduler.step()
        self._steps += 1

    def _sites(self) -> tuple[Site, ...]:
        scheduled, clipped = self._scheduler is not None, self._side.clip is not None
        return (site_of(self._optimizer, scheduled=scheduled, clipped=clipped),)


def _scale(side: Torch, factor: float) -> None:
    for parameter in side.module.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(factor)


def _moved(side: Torch, noise: Mapping[str, Array]) -> None:
    for full, parameter in side.module.named_parameters():
        name, gradient = plain_name(full), parameter.grad
        if gradient is not None and not gradient.is_sparse and name in noise:
            gradient.add_(torch.from_numpy(noise[name]) * (gradient != 0))


def _clipped(side: Torch) -> tuple[str, ...]:
    """Clip the gradients; says so where that changed nothing."""
    if side.clip is None:
        return ()
    parameters = list(side.module.parameters())
    before = [p.grad.clone() for p in parameters if p.grad is not None]
    side.clip(parameters)
    after = [p.grad for p in parameters if p.grad is not None]
    if all(torch.equal(a, b) for a, b in zip(before, after, strict=True)):
        return (f"{side.label}: the clip did not act, so that it is not compared",)
    return ()


def _made(side: Torch) -> tuple[Any, Any]:
    """The optimizer and its scheduler, or None. Raises BadInput."""
    given = side.optimizer
    if isinstance(given, torch.optim.Optimizer):
        own = {id(p) for p in side.module.parameters()}
        if not all(id(p) in own for group in given.param_groups for p in group["params"]):
            raise BadInput(f"{side.label}: optimizer: it holds parameters of another model")
        fresh = copy(given)
        fresh.state = defaultdict(dict)
        fresh.param_groups = [dict(group) for group in given.param_groups]
        return fresh, None
    if not callable(given):
        raise BadInput(
            f"{side.label}: optimizer: {type(given).__name__} given; allowed is a function of the "
            "parameters that returns an optimizer, or an optimizer and its scheduler"
        )
    made = given(list(side.module.parameters()))
    optimizer, scheduler = made if isinstance(made, tuple) else (made, None)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise BadInput(
            f"{side.label}: optimizer: the function returned a {type(optimizer).__name__}; allowed "
            "is a torch.optim.Optimizer"
        )
    return optimizer, scheduler


def _copy(value: torch.Tensor) -> Array:
    plain = value.detach()
    return np.array((plain.double() if plain.is_floating_point() else plain).numpy())
