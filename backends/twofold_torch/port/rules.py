"""A PyTorch optimizer with other settings, to see whether they are the difference."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode

from twofold.port.causes.sites import OPTIMIZER, Change, Site

NAMES: Final = {
    "learning rate": "lr",
    "weight decay": "weight_decay",
    "eps": "eps",
    "alpha": "alpha",
    "momentum": "momentum",
    "dampening": "dampening",
    "nesterov": "nesterov",
    "amsgrad": "amsgrad",
    "centred": "centered",
    "decoupled": "decoupled_weight_decay",
}
CLIP_EPSILON: Final = 1e-6
"""What `clip_grad_norm_` adds to the norm (torch/nn/utils/clip_grad.py, PyTorch 2.13)."""


def site_of(optimizer: torch.optim.Optimizer, *, scheduled: bool, clipped: bool) -> Site:
    """The optimizer as something that can be changed."""
    group = optimizer.param_groups[0]
    settings: dict[str, object] = {"name": type(optimizer).__name__, "scheduled": scheduled}
    settings["clipped"] = clipped
    for neutral, own in NAMES.items():
        value = group.get(own)
        if isinstance(value, bool | int | float):
            settings[neutral] = value if isinstance(value, bool) else float(value)
    if "betas" in group:
        settings["beta1"], settings["beta2"] = map(float, group["betas"])
    if "eps" in group:
        settings["eps inside"] = False
    decays = [bool(g.get("weight_decay")) for g in optimizer.param_groups]
    if any(decays):
        settings["biases decay"] = all(decays)
    return Site(OPTIMIZER, "optimizer", settings)


def asked_of(changes: tuple[Change, ...]) -> Mapping[str, Any]:
    """The settings that a call asks of the optimizer."""
    return next((change.settings for change in changes if change.site == OPTIMIZER), {})


def apply(optimizer: torch.optim.Optimizer, new: Mapping[str, Any]) -> None:
    """Give the optimizer other settings, before its first step."""
    if "biases decay" in new:
        _decay_biases(optimizer, decays=new["biases decay"])
    for group in optimizer.param_groups:
        for neutral, own in NAMES.items():
            if neutral in new:
                group[own] = new[neutral]
        if "learning rate" in new and "initial_lr" in group:
            group["initial_lr"] = new["learning rate"]
        if "beta1" in new or "beta2" in new:
            first, second = group["betas"]
            group["betas"] = (new.get("beta1", first), new.get("beta2", second))
    if new.get("eps inside"):
        _inside(optimizer)


@contextmanager
def at_rate(optimizer: torch.optim.Optimizer, rate: float) -> Iterator[None]:
    """One learning rate for every group, whatever its schedule says."""
    before = [group["lr"] for group in optimizer.param_groups]
    try:
        for group in optimizer.param_groups:
            group["lr"] = rate
        yield
    finally:
        for group, own in zip(optimizer.param_groups, before, strict=True):
            group["lr"] = own


def _decay_biases(optimizer: torch.optim.Optimizer, *, decays: bool) -> None:
    groups = []
    largest = max(float(group["weight_decay"]) for group in optimizer.param_groups)
    for group in optimizer.param_groups:
        for flat in (False, True):
            own = [p for p in group["params"] if (p.ndim <= 1) == flat]
            decay = 0.0 if flat and not decays else largest if decays else group["weight_decay"]
            if own:
                groups.append({**group, "params": own, "weight_decay": decay})
    optimizer.param_groups[:] = groups


def _inside(optimizer: torch.optim.Optimizer) -> None:
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


def shift_schedule(scheduler: Any, shift: int, steps: int) -> bool:
    """Move a schedule by a step before step `steps`; says whether it goes on after that step."""
    if shift > 0 and steps == 0:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it warns of steps before the optimizer's
            scheduler.step()
    return not (shift < 0 and steps == 0)


@contextmanager
def clip_without_epsilon() -> Iterator[None]:
    """`clip_grad_norm_` inside adds nothing to the norm."""
    with _NoEpsilon():
        yield


class _NoEpsilon(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if "add" in func.__name__:
            args = tuple(0.0 if type(v) is float and v == CLIP_EPSILON else v for v in args)
        return func(*args, **(kwargs or {}))
