"""Known differences of export and import: what a state may lose on its way through a file.

These change the state itself, as it arrives; nothing is evaluated.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from twofold.parity.diagnosis.cause import Cause, moments
from twofold.problem.problem import initial_parameters, slot_names
from twofold.problem.state import (
    FIRST_MOMENT,
    SECOND_MOMENT,
    Array,
    TrainState,
    bias_name,
    fresh_state,
    weight_name,
)
from twofold.spec.experiment import Experiment

ChangeState = Callable[[TrainState], TrainState]
ChangeArray = Callable[[Array], Array]


def of_transfer(experiment: Experiment) -> Iterator[Cause]:
    """What may become of a state: layouts, layers, slots, count and precision."""
    model = experiment.model
    sizes = list(itertools.pairwise((model.in_features, *model.hidden, model.out_features)))
    for layer, (fan_in, fan_out) in enumerate(sizes):
        if fan_in == fan_out:
            words = f"the square weight of layer {layer} arrives transposed"
            yield _cause(words, _transposed(weight_name(layer), with_slots=False))
            if slot_names(experiment):
                yield _cause(
                    f"{words}, its slots too", _transposed(weight_name(layer), with_slots=True)
                )
    for one, other in itertools.combinations(range(len(sizes)), 2):
        if sizes[one] == sizes[other]:
            yield _cause(f"layers {one} and {other} change places", _renamed(_swap(one, other)))
    yield moments(
        "the parameters are not loaded (initial ones)",
        lambda m, problem, _: replace(
            m, state=TrainState(initial_parameters(problem), m.state.slots, m.state.step)
        ),
    )
    yield _cause("the count of steps is lost", lambda s: TrainState(s.parameters, s.slots, 0))
    yield from _of_slots(slot_names(experiment))
    yield _cause("subnormal numbers become zero", _each(_flushed))
    if experiment.precision == "float64":
        yield _cause("the state is rounded to float32", _each(_through(np.float32)))
    yield _cause("the state is rounded to bfloat16", _each(_through_bfloat16))
    yield _cause("the state is rounded to float16", _each(_through(np.float16)))


def _of_slots(slots: tuple[str, ...]) -> Iterator[Cause]:
    for slot in slots:
        yield _cause(f"the {slot.replace('_', ' ')} is lost", _without_slots({slot}))
    if len(slots) > 1:
        yield _cause("the optimizer's slots are lost", _without_slots(set(slots)))
        yield _cause("the two moments change places", _moments_swapped)


def of_unmoved_step() -> Iterator[Cause]:
    """What a step may do that does not count as one."""
    yield _cause("the step leaves the state as it was", lambda state: state)


def _cause(words: str, change: ChangeState) -> Cause:
    return moments(words, lambda given, *_: replace(given, state=change(given.state)))


def _swap(one: int, other: int) -> dict[str, str]:
    names = [(weight_name(one), weight_name(other)), (bias_name(one), bias_name(other))]
    return {left: right for pair in names for left, right in (pair, pair[::-1])}


def _renamed(names: dict[str, str]) -> ChangeState:
    """Tensors under each other's names, in parameters and slots."""

    def renamed(arrays: dict[str, Array]) -> dict[str, Array]:
        return {name: arrays[names.get(name, name)] for name in arrays}

    def change(state: TrainState) -> TrainState:
        slots = {slot: renamed(dict(arrays)) for slot, arrays in state.slots.items()}
        return TrainState(renamed(dict(state.parameters)), slots, state.step)

    return change


def _transposed(weight: str, *, with_slots: bool) -> ChangeState:
    def turned(arrays: dict[str, Array]) -> dict[str, Array]:
        return {name: array.T if name == weight else array for name, array in arrays.items()}

    def change(state: TrainState) -> TrainState:
        slots = {s: dict(arrays) for s, arrays in state.slots.items()}
        if with_slots:
            slots = {slot: turned(arrays) for slot, arrays in slots.items()}
        return TrainState(turned(dict(state.parameters)), slots, state.step)

    return change


def _each(change: ChangeArray) -> ChangeState:
    """The same change of every tensor in parameters and slots."""

    def changed(state: TrainState) -> TrainState:
        slots = {s: {n: change(a) for n, a in arrays.items()} for s, arrays in state.slots.items()}
        return TrainState({n: change(a) for n, a in state.parameters.items()}, slots, state.step)

    return changed


def _without_slots(lost: set[str]) -> ChangeState:
    def change(state: TrainState) -> TrainState:
        empty = fresh_state(dict(state.parameters), tuple(state.slots))
        slots = {s: empty.slots[s] if s in lost else state.slots[s] for s in state.slots}
        return TrainState(state.parameters, slots, state.step)

    return change


def _moments_swapped(state: TrainState) -> TrainState:
    slots = {
        FIRST_MOMENT: state.slots[SECOND_MOMENT],
        SECOND_MOMENT: state.slots[FIRST_MOMENT],
    }
    return TrainState(state.parameters, slots, state.step)


def _flushed(array: Array) -> Array:
    tiny = np.abs(array) < np.finfo(array.dtype).smallest_normal
    return np.where(tiny, np.copysign(array.dtype.type(0), array), array)


def _through(kind: type[np.floating]) -> ChangeArray:
    def change(array: Array) -> Array:
        with np.errstate(over="ignore"):
            return array.astype(kind).astype(array.dtype)

    return change


def _through_bfloat16(array: Array) -> Array:
    """Float32 with the lower half of its bits rounded away, to nearest, ties to even."""
    bits = array.astype(np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return rounded.astype(np.uint32).view(np.float32).astype(array.dtype)
