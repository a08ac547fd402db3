"""The optimizers in PyTorch, every hyperparameter passed.

No default of PyTorch decides anything; `foreach = fused = None` lets PyTorch choose the kernels,
as it does in the loop that its documentation teaches.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from twofold.problem.state import FIRST_MOMENT, MOMENTUM, SECOND_MOMENT
from twofold.spec.experiment import Optimizer

SLOT_KEYS: Final = {
    MOMENTUM: "momentum_buffer",
    FIRST_MOMENT: "exp_avg",
    SECOND_MOMENT: "exp_avg_sq",
}
"""Canonical slot names to the keys of `torch.optim.Optimizer.state` (PyTorch 2.13)."""


def build_optimizer(spec: Optimizer, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer of an experiment over a model's parameters.

    In SGD and Adam the weight decay is added to the gradient (L2); in AdamW it is decoupled.
    """
    if spec.kind == "sgd":
        return torch.optim.SGD(
            parameters,
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
        parameters,
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


def learning_rate_factor(spec: Optimizer, step: int) -> float:
    """The learning rate before a step, as a fraction of the optimizer's own."""
    schedule = spec.schedule
    if schedule.kind == "constant":
        return 1.0
    if step < schedule.warmup_steps:
        return step / schedule.warmup_steps
    length = schedule.decay_steps - schedule.warmup_steps
    progress = min(step - schedule.warmup_steps, length) / length
    falling = 0.5 * (1.0 + math.cos(math.pi * progress))
    return schedule.final_fraction + (1.0 - schedule.final_fraction) * falling


def build_schedule(spec: Optimizer, optimizer: torch.optim.Optimizer) -> LambdaLR | None:
    """The schedule of the learning rate, to be stepped after the optimizer; None if constant.

    PyTorch's own parts (LinearLR, CosineAnnealingLR) cannot start at zero and climb again after
    the end, so its documentation's general way is taken: a function of the step.
    """
    if spec.schedule.kind == "constant":
        return None
    return LambdaLR(optimizer, lambda step: learning_rate_factor(spec, step))


def seek(schedule: LambdaLR, step: int) -> None:
    """Put a schedule to where it stands after `step` steps."""
    schedule.last_epoch = step
    rates = [
        base * factor(step)
        for base, factor in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
    ]
    for group, rate in zip(schedule.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
