"""The optimizers in PyTorch, every hyperparameter passed.

No default of PyTorch decides anything; `foreach = fused = None` lets PyTorch choose the kernels,
as it does in the loop that its documentation teaches.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from twofold.experiment import Optimizer
from twofold.state import FIRST_MOMENT, MOMENTUM, SECOND_MOMENT

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
