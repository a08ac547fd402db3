"""Rules of torch.optim in the form of Optax: the optimizer's own steps, and what is made of them.

Each function gives an optimizer another `step`, before its first one. The forms are those of
optax/_src/transform.py (Optax 0.2.8): `scale_by_rms` and `scale_by_rss` add epsilon inside the
root, `scale_by_amsgrad` keeps the largest corrected second moment, and `scale_by_rprop` returns the
update of the step before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch


def inside(optimizer: torch.optim.Optimizer) -> None:
    """Epsilon inside the root: of the corrected second moment, or of the sum of squares.

    sqrt(v + eps) in place of sqrt(v) + eps: the steps are the optimizer's own with eps = 0, scaled
    by sqrt(v) / sqrt(v + eps) element by element.
    """
    own = optimizer.step
    epsilons = [float(group["eps"]) for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["eps"] = 0.0

    def step(*_: Any, **__: Any) -> None:
        before = [[p.detach().clone() for p in g["params"]] for g in optimizer.param_groups]
        own()
        for group, eps, values in zip(optimizer.param_groups, epsilons, before, strict=True):
            decay = 1.0
            if group.get("decoupled_weight_decay"):
                decay -= float(group["lr"]) * float(group["weight_decay"])
            for parameter, old in zip(group["params"], values, strict=True):
                second = _second_moment(optimizer.state[parameter], group)
                with torch.no_grad():
                    # Without epsilon a second moment of zero, of a row not used, gives 0 / 0.
                    moved = torch.where(second > 0, parameter - decay * old, 0.0)
                    parameter.copy_(decay * old + moved * (second / (second + eps)).sqrt())

    optimizer.step = step  # type: ignore[method-assign, assignment]


def _second_moment(state: Mapping[str, Any], group: Mapping[str, Any]) -> torch.Tensor:
    if "exp_avg_sq" in state:
        correction = 1 - float(group["betas"][1]) ** float(state["step"])
        return torch.as_tensor(state["exp_avg_sq"] / correction)
    return torch.as_tensor(state["square_avg"] if "square_avg" in state else state["sum"])


def late(optimizer: torch.optim.Optimizer) -> None:
    """Every update one step later, and none where the gradient has changed its sign since."""
    own = optimizer.step
    waiting: dict[torch.Tensor, torch.Tensor] = {}

    def step(*_: Any, **__: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        before = [p.detach().clone() for p in parameters]
        old = [_gradient_before(optimizer, p) for p in parameters]
        own()
        with torch.no_grad():
            for parameter, value, last in zip(parameters, before, old, strict=True):
                moved = parameter - value
                turned = (
                    torch.zeros_like(value) if parameter.grad is None else parameter.grad * last
                )
                held = waiting.get(parameter, torch.zeros_like(value))
                parameter.copy_(value + torch.where(turned < 0, 0.0, held))
                waiting[parameter] = moved

    optimizer.step = step  # type: ignore[method-assign, assignment]


def _gradient_before(optimizer: torch.optim.Optimizer, parameter: torch.Tensor) -> torch.Tensor:
    kept = optimizer.state[parameter].get("prev")
    return torch.zeros_like(parameter) if kept is None else kept.clone()


def corrected_maximum(optimizer: torch.optim.Optimizer) -> None:
    """The maximum over corrected second moments, where `Adam` corrects the maximum itself.

    What it keeps is scaled to the next step's correction, by which it then divides.
    """
    own = optimizer.step

    def step(*_: Any, **__: Any) -> None:
        for group in optimizer.param_groups:
            beta = float(group["betas"][1])
            for parameter in group["params"]:
                state = optimizer.state[parameter]
                count = float(state.get("step", 0))
                if count:
                    state["max_exp_avg_sq"].mul_((1 - beta ** (count + 1)) / (1 - beta**count))
        own()

    optimizer.step = step  # type: ignore[method-assign, assignment]


FORMS: Final[Mapping[str, Callable[[torch.optim.Optimizer], None]]] = {
    "eps inside": inside,
    "maximum corrected": corrected_maximum,
    "late": late,
}
"""By the name of the setting."""
