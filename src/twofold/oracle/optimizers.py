"""Optimizer updates with bounds: clipping, weight decay, then SGD with momentum, Adam or AdamW.

Source of SGD: Sutskever et al., *On the importance of initialization and momentum*, ICML 2013, in
the form of `torch.optim.SGD` (PyTorch 2.13), which `optax.sgd` shares. Adam: `twofold.oracle.adam`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from twofold.experiment import Experiment, Sgd
from twofold.oracle.adam import BiasCorrections, adam_step, standard_corrections
from twofold.oracle.arithmetic import Arithmetic
from twofold.oracle.bounded import Bounded, add, exact, rounded, scale, subtract, within
from twofold.oracle.clipping import clip_by_global_norm
from twofold.oracle.schedule import BoundedRate, learning_rate
from twofold.state import FIRST_MOMENT, MOMENTUM, Array, Parameters, TrainState

Slots = Mapping[str, Parameters]


@dataclass(frozen=True)
class BoundedState:
    """The state after a step: parameters and slots with bounds."""

    parameters: dict[str, Bounded]
    slots: dict[str, dict[str, Bounded]]


@dataclass(frozen=True)
class Variant:
    """How a framework's optimizer is known to depart from the formula; as it stands, not at all.

    `corrections` replaces Adam's bias corrections, `clip_eps` is added to the norm that clipping
    divides by.
    """

    corrections: BiasCorrections | None = None
    clip_eps: float = 0.0


FORMULA = Variant()


@np.errstate(over="ignore", invalid="ignore")  # beyond the range a bound is infinite or NaN
def update(
    experiment: Experiment,
    state: TrainState,
    gradients: Mapping[str, Bounded],
    arithmetic: Arithmetic,
    variant: Variant = FORMULA,
    own_slots: Slots | None = None,
) -> BoundedState:
    """The state after one step from `state` with gradients that carry bounds.

    `own_slots` are an engine's slots after the step. What it made of its momentum or first moment
    is then judged from the gradient that it must have had, which these tell to some units
    roundoff; the momentum or first moment itself is judged from the bounds alone.
    """
    optimizer = experiment.optimizer
    if optimizer.clip_norm is not None:
        gradients = clip_by_global_norm(
            gradients, optimizer.clip_norm, variant.clip_eps, arithmetic
        )
    rate = learning_rate(optimizer, state.step, arithmetic)
    parameters: dict[str, Bounded] = {}
    slots: dict[str, dict[str, Bounded]] = {slot: {} for slot in state.slots}
    for name, parameter in state.parameters.items():
        before = {slot: exact(arrays[name], arithmetic) for slot, arrays in state.slots.items()}
        given, gradient = exact(parameter, arithmetic), gradients[name]
        if optimizer.kind != "adamw":
            gradient = _coupled(gradient, given, optimizer.weight_decay, arithmetic)
        own = _own(own_slots, name, parameter.shape)
        if isinstance(optimizer, Sgd):
            after, changed = _sgd_step(optimizer, given, before, gradient, rate, arithmetic, own)
        else:
            corrections = variant.corrections or standard_corrections(
                optimizer, state.step + 1, arithmetic
            )
            after, changed = adam_step(
                optimizer, given, before, gradient, rate, corrections, arithmetic, own
            )
        parameters[name] = after
        for slot, array in changed.items():
            slots[slot][name] = array
    return BoundedState(parameters, slots)


def _own(slots: Slots | None, name: str, shape: tuple[int, ...]) -> Array | None:
    """An engine's own momentum or first moment of a parameter, if it can be used."""
    for slot in (MOMENTUM, FIRST_MOMENT):
        own = (slots or {}).get(slot, {}).get(name)
        if own is not None and own.shape == shape and np.isfinite(own).all():
            return own
    return None


def _coupled(
    gradient: Bounded, parameter: Bounded, decay: float, arithmetic: Arithmetic
) -> Bounded:
    """The gradient with L2 weight decay, g + wd p."""
    if decay == 0:
        return gradient
    return add(gradient, scale(parameter, decay, 2, arithmetic), arithmetic)


def _sgd_step(
    optimizer: Sgd,
    parameter: Bounded,
    slots: dict[str, Bounded],
    direction: Bounded,
    rate: BoundedRate,
    arithmetic: Arithmetic,
    own: Array | None,
) -> tuple[Bounded, dict[str, Bounded]]:
    """buffer = mu buffer + g; direction = buffer (Nesterov: g + mu buffer); p - lr direction."""
    changed: dict[str, Bounded] = {}
    if optimizer.momentum > 0:
        carried = scale(slots[MOMENTUM], optimizer.momentum, 2, arithmetic)
        buffer = add(carried, direction, arithmetic)
        changed[MOMENTUM] = buffer
        if own is not None:
            # Rounded when it was made; a compiler may make it anew for the update.
            value = own.astype(arithmetic.oracle_dtype)
            found = rounded(value, 2.0 * carried.bound, 2, arithmetic)
            direction = within(subtract(found, carried, arithmetic), direction)
            buffer = within(found, buffer)
        if optimizer.nesterov:
            ahead = scale(buffer, optimizer.momentum, 2, arithmetic)
            direction = add(direction, ahead, arithmetic)
        else:
            direction = buffer
    step = scale(direction, -rate.value, 2, arithmetic)
    uncertain = Bounded(step.value, step.bound + rate.bound * direction.reach)
    return add(parameter, uncertain, arithmetic), changed
