"""A PyTorch optimizer with other settings, to see whether they are the difference."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode

from twofold.port.causes.sites import OPTIMIZER, Change, Site
from twofold_torch.port.forms import FORMS

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
    "momentum decay": "momentum_decay",
    "initial accumulator": "initial_accumulator_value",
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
    if group.get("amsgrad"):
        settings["maximum corrected"] = False
    if isinstance(optimizer, torch.optim.Rprop):
        settings["late"] = False
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
    if "initial accumulator" in new:
        for state in optimizer.state.values():
            state["sum"].fill_(new["initial accumulator"])
    for name, form in FORMS.items():
        if new.get(name):
            form(optimizer)


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
