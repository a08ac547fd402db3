"""The optimizers in PyTorch, every hyperparameter passed.

No default of PyTorch decides anything; `foreach = fused = None` lets PyTorch choose the kernels,
as it does in the loop that its documentation teaches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import torch
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, LinearLR, LRScheduler, StepLR

from twofold.problem.state import FIRST_MOMENT, MOMENTUM, SECOND_MOMENT
from twofold.spec.experiment import Optimizer
from twofold.spec.schedules import WarmupCosine

SLOT_KEYS: Final = {
    MOMENTUM: "momentum_buffer",
    FIRST_MOMENT: "exp_avg",
    SECOND_MOMENT: "exp_avg_sq",
}
"""Canonical slot names to the keys of `torch.optim.Optimizer.state` (PyTorch 2.13)."""


_DISABLED: Final = "__dynamo_disable"


def build_optimizer(
    spec: Optimizer, parameters: list[nn.Parameter], *, stacked: int = 0
) -> torch.optim.Optimizer:
    """The optimizer of an experiment over a model's parameters.

    In SGD and Adam the weight decay is added to the gradient (L2); in AdamW it is decoupled. With
    `stacked` = 1 each parameter has one more axis before its own: that of several seeds.
    """
    with _dynamo_left_out():
        return _built(spec, parameter_groups(spec, parameters, stacked))


def _built(spec: Optimizer, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    if spec.kind == "sgd":
        return torch.optim.SGD(
            groups,
            lr=spec.learning_rate,
            momentum=spec.momentum,
            dampening=0.0,
            weight_decay=spec.weight_decay,
            nesterov=spec.nesterov,
            maximize=False,
            foreach=None,
            differentiable=False,
            fused=None,
        )
    adam = torch.optim.Adam if spec.kind == "adam" else torch.optim.AdamW
    return adam(
        groups,
        lr=spec.learning_rate,
        betas=spec.betas,
        eps=spec.eps,
        weight_decay=spec.weight_decay,
        amsgrad=False,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
        fused=None,
    )


@contextmanager
def _dynamo_left_out() -> Iterator[None]:
    """Make an optimizer without loading Dynamo, which takes most of a second.

    PyTorch loads it when the method that adds a group is first called, to tell it that this method
    is not to be compiled, and remembers so (2.13, `torch/_compile.py`). Here nothing compiles it.
    """
    method: Any = getattr(torch.optim.Optimizer.add_param_group, "__wrapped__", None)
    if method is None or hasattr(method, _DISABLED):
        yield
        return
    setattr(method, _DISABLED, method)
    try:
        yield
    finally:
        delattr(method, _DISABLED)


def parameter_groups(
    spec: Optimizer, parameters: list[nn.Parameter], stacked: int
) -> list[dict[str, Any]]:
    """One group, or with `decay_biases = false` a second one that does not decay.

    PyTorch has no switch for that: parameters with other settings are another group
    (`torch.optim`'s documentation, "Per-parameter options").
    """
    if spec.decay_biases:
        return [{"params": parameters}]
    decayed = [each for each in parameters if each.ndim > 1 + stacked]
    others = [each for each in parameters if each.ndim <= 1 + stacked]
    groups: list[dict[str, Any]] = [{"params": decayed}]
    return [*groups, {"params": others, "weight_decay": 0.0}] if others else groups


def warmup_cosine_factor(schedule: WarmupCosine, step: int) -> float:
    """The learning rate before a step, as a fraction of the optimizer's own."""
    if step < schedule.warmup_steps:
        start = schedule.start_fraction
        return start + (1.0 - start) * step / schedule.warmup_steps
    length = schedule.decay_steps - schedule.warmup_steps
    progress = min(step - schedule.warmup_steps, length) / length
    falling = 0.5 * (1.0 + math.cos(math.pi * progress))
    return schedule.final_fraction + (1.0 - schedule.final_fraction) * falling


def build_schedule(spec: Optimizer, optimizer: torch.optim.Optimizer) -> LRScheduler | None:
    """The schedule of the learning rate, to be stepped after the optimizer; None if constant.

    For a cosine after a warm-up PyTorch's own parts will not do: LinearLR cannot start at zero, and
    CosineAnnealingLR climbs again after the end. So its documentation's general way is taken: a
    function of the step.
    """
    schedule = spec.schedule
    match schedule.kind:
        case "constant":
            return None
        case "linear":
            return LinearLR(
                optimizer,
                start_factor=schedule.start_fraction,
                end_factor=schedule.final_fraction,
                total_iters=schedule.transition_steps,
            )
        case "step":
            return StepLR(optimizer, step_size=schedule.transition_steps, gamma=schedule.decay_rate)
        case "exponential":
            gamma = schedule.decay_rate ** (1.0 / schedule.transition_steps)
            return ExponentialLR(optimizer, gamma=gamma)
        case "warmup_cosine":
            return LambdaLR(optimizer, partial(warmup_cosine_factor, schedule))


def seek(schedule: LRScheduler, step: int) -> None:
    """Put a schedule to where it stands after `step` steps.

    PyTorch's schedules go on from the rate of the step before. Each but LambdaLR also has its
    formula, `_get_closed_form_lr`, which `schedule.step(epoch)` calls; that way is deprecated and
    warns (PyTorch 2.13, `torch/optim/lr_scheduler.py`).
    """
    schedule.last_epoch = step
    if isinstance(schedule, LambdaLR):
        factors = [factor(step) for factor in schedule.lr_lambdas]
        rates = [base * factor for base, factor in zip(schedule.base_lrs, factors, strict=True)]
    else:
        rates = schedule._get_closed_form_lr()  # type: ignore[attr-defined]  # of the subclasses
    for group, rate in zip(schedule.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
