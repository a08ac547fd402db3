"""The catalogue: which known differences can show first on which rung."""

from __future__ import annotations

from twofold.parity.diagnosis.cause import Cause
from twofold.parity.diagnosis.causes_of_accumulation import (
    of_accumulated_gradients,
    of_accumulation,
    of_told_loss,
)
from twofold.parity.diagnosis.causes_of_draws import of_draws
from twofold.parity.diagnosis.causes_of_layers import of_buffers
from twofold.parity.diagnosis.causes_of_loss import of_loss
from twofold.parity.diagnosis.causes_of_model import of_model, of_precision
from twofold.parity.diagnosis.causes_of_time import of_masks, of_time
from twofold.parity.diagnosis.causes_of_update import of_gradients, of_optimizer
from twofold.spec.experiment import Experiment


def causes_of(experiment: Experiment, rung: str) -> tuple[Cause, ...]:
    """The causes that can show on a rung first, for this kind of experiment, likeliest first."""
    if rung in ("init", "data order", "dropout masks"):
        return tuple(of_draws(experiment))
    precision = tuple(of_precision(experiment))
    if rung == "forward":
        return (*of_model(experiment), *of_masks(experiment), *precision)
    if rung == "loss":
        return (*of_loss(experiment), *of_accumulation(experiment), *precision)
    of_gradient = (*of_gradients(experiment), *of_accumulated_gradients(experiment))
    if rung == "gradients":
        return (*of_gradient, *precision)
    of_parts = (*of_accumulation(experiment), *of_told_loss(experiment))
    of_step = (*of_optimizer(experiment), *of_gradient, *of_parts)
    if rung.startswith("buffers"):
        return (*of_buffers(experiment), *precision)
    if rung in ("slots (fresh)", "update (fresh)"):
        return (*of_step, *precision)
    of_step = (*of_time(experiment), *of_step)
    if rung in ("slots (warm)", "update (warm)"):
        return (*of_step, *precision)
    of_forward = (*of_model(experiment), *of_buffers(experiment))
    return _once((*of_step, *of_loss(experiment), *of_forward, *precision))


def _once(causes: tuple[Cause, ...]) -> tuple[Cause, ...]:
    """A difference of model and loss alike stands in both lists."""
    return tuple({cause.words: cause for cause in causes}.values())
