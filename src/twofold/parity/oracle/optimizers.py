"""Optimizer updates with bounds: clipping, weight decay, then SGD with momentum, Adam or AdamW.

Source of SGD: Sutskever et al., *On the importance of initialization and momentum*, ICML 2013, in
the form of `torch.optim.SGD` (PyTorch 2.13), which `optax.sgd` shares. Adam:
`twofold.parity.oracle.adam`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from twofold.parity.oracle.adam import BiasCorrections, adam_step, standard_corrections
from twofold.parity.oracle.adam_moments import AdamMoments
from twofold.parity.oracle.arithmetic import Arithmetic, FloatArray
from twofold.parity.oracle.bounded import (
    Bounded,
    Given,
    add,
    as_bounded,
    rounded,
    scale,
    subtract,
    within,
)
from twofold.parity.oracle.clipping import clip_by_global_norm
from twofold.parity.oracle.schedule import BoundedRate, learning_rate
from twofold.problem.state import (
    FIRST_MOMENT,
    MOMENTUM,
    SECOND_MOMENT,
    Array,
    Parameters,
    TrainState,
)
from twofold.spec.experiment import Experiment, Optimizer, Sgd

Slots = Mapping[str, Parameters]


@dataclass(frozen=True)
class BoundedState:
    """The state after a step: parameters and slots with bounds."""

    parameters: dict[str, Bounded]
    slots: dict[str, dict[str, Bounded]]

    @property
    def named_slots(self) -> dict[str, Bounded]:
        """Slots under names such as `first_moment:layers.0.weight`."""
        return {
            f"{slot}:{name}": array
            for slot, arrays in self.slots.items()
            for name, array in arrays.items()
        }


@dataclass(frozen=True)
class UncertainState:
    """A state that an engine holds somewhere within bounds, and what is known of it besides.

    `buffers` are batch norm's running statistics.

    `moment_ratios` bounds |m| / sqrt(v) of Adam's moments element by element
    (`twofold.parity.oracle.adam_moments`); empty for SGD.
    """

    parameters: Mapping[str, Bounded]
    slots: Mapping[str, Mapping[str, Bounded]]
    step: int
    moment_ratios: Mapping[str, FloatArray]
    buffers: Mapping[str, Bounded] = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """How a framework's step is known to depart from the formula; as it stands, not at all.

    `corrections` replaces Adam's bias corrections, `clip_eps` is added to the norm that clipping
    divides by; batch norm's running variance may average the biased variance of the batches.
    """

    corrections: BiasCorrections | None = None
    clip_eps: float = 0.0
    biased_running_variance: bool = False

    def with_(self, other: Variant) -> Variant:
        """Both departures at once."""
        return Variant(
            self.corrections or other.corrections,
            max(self.clip_eps, other.clip_eps),
            self.biased_running_variance or other.biased_running_variance,
        )


FORMULA = Variant()


@np.errstate(over="ignore", invalid="ignore")  # beyond the range a bound is infinite or NaN
def update(
    experiment: Experiment,
    state: TrainState | UncertainState,
    gradients: Mapping[str, Bounded],
    arithmetic: Arithmetic,
    variant: Variant = FORMULA,
    own_slots: Slots | None = None,
) -> BoundedState:
    """The state after one step from `state` with gradients that carry bounds.

    `own_slots`, with an exact state only, are an engine's slots after the step. What it made of
    its momentum or first moment is then judged from the gradient that it must have had, which
    these tell to some units roundoff; the momentum or first moment itself is judged from the
    bounds alone.
    """
    spec = experiment.optimizer
    if spec.clip_norm is not None:
        gradients = clip_by_global_norm(gradients, spec.clip_norm, variant.clip_eps, arithmetic)
    rate = learning_rate(spec, state.step, arithmetic)
    parameters: dict[str, Bounded] = {}
    slots: dict[str, dict[str, Bounded]] = {slot: {} for slot in state.slots}
    ratios = state.moment_ratios if isinstance(state, UncertainState) else {}
    for name, given, before in _named(state, arithmetic):
        gradient = gradients[name]
        optimizer = of_parameter(spec, given)
        if optimizer.kind != "adamw":
            gradient = _coupled(gradient, given, optimizer.weight_decay, arithmetic)
        own = _own(own_slots, name, given.value.shape)
        if isinstance(optimizer, Sgd):
            after, changed = _sgd_step(optimizer, given, before, gradient, rate, arithmetic, own)
        else:
            corrections = variant.corrections or standard_corrections(
                optimizer, state.step + 1, arithmetic
            )
            adam = partial(adam_step, optimizer, own=own, ratio=ratios.get(name))
            after, changed = adam(given, before, gradient, rate, corrections, arithmetic)
        parameters[name] = after
        for slot, array in changed.items():
            slots[slot][name] = array
    return BoundedState(parameters, slots)


def of_parameter(optimizer: Optimizer, parameter: Bounded) -> Optimizer:
    """The optimizer as it treats one parameter: some do not decay (`decay_biases`)."""
    if optimizer.decay_biases or parameter.value.ndim > 1:
        return optimizer
    return optimizer.model_copy(update={"weight_decay": 0.0})


def _named(
    state: TrainState | UncertainState, arithmetic: Arithmetic
) -> Iterator[tuple[str, Bounded, dict[str, Bounded]]]:
    """Every parameter's name, the parameter and its slots."""
    parameters: Given = state.parameters
    slots: Mapping[str, Given] = state.slots
    for name, parameter in parameters.items():
        own = {slot: as_bounded(arrays[name], arithmetic) for slot, arrays in slots.items()}
        yield name, as_bounded(parameter, arithmetic), own


def starting_from(
    experiment: Experiment, state: TrainState, arithmetic: Arithmetic
) -> UncertainState:
    """A given state as one whose bounds are all zero."""
    optimizer = experiment.optimizer
    parameters: dict[str, Bounded] = {}
    slots: dict[str, dict[str, Bounded]] = {slot: {} for slot in state.slots}
    ratios: dict[str, FloatArray] = {}
    for name, parameter, own in _named(state, arithmetic):
        parameters[name] = parameter
        for slot, array in own.items():
            slots[slot][name] = array
        if not isinstance(optimizer, Sgd):
            moments = AdamMoments(optimizer, own[FIRST_MOMENT], own[SECOND_MOMENT], arithmetic)
            ratios[name] = moments.ratio_before()
    buffers = {name: as_bounded(array, arithmetic) for name, array in state.buffers.items()}
    return UncertainState(parameters, slots, state.step, ratios, buffers)


def following(
    experiment: Experiment,
    before: UncertainState,
    after: BoundedState,
    buffers: Mapping[str, Bounded],
    arithmetic: Arithmetic,
) -> UncertainState:
    """What `update` made of a state and the forward pass of its buffers, for the next step."""
    optimizer = experiment.optimizer
    ratios: dict[str, FloatArray] = {}
    if not isinstance(optimizer, Sgd):
        for name, _, own in _named(before, arithmetic):
            moments = AdamMoments(optimizer, own[FIRST_MOMENT], own[SECOND_MOMENT], arithmetic)
            ratios[name] = moments.ratio_after(before.moment_ratios[name])
    return UncertainState(after.parameters, after.slots, before.step + 1, ratios, buffers)


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
