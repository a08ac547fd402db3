"""Known differences of export and import: what a state may lose on its way through a file.

These change the state itself, as it arrives; nothing is evaluated.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from twofold.parity.diagnosis.cause import Cause, each_moment
from twofold.parity.diagnosis.causes_of_model import is_square
from twofold.parity.oracle.bounded import to_bfloat16
from twofold.problem.problem import initial_buffers, initial_parameters, slot_names
from twofold.problem.state import (
    FIRST_MOMENT,
    SECOND_MOMENT,
    Array,
    Parameters,
    TrainState,
    fresh_state,
)
from twofold.spec.experiment import Experiment
from twofold.spec.layers.batch_norm import BatchNorm
from twofold.spec.layers.sequence import Placed
from twofold.spec.model import has, numbered

ChangeState = Callable[[TrainState], TrainState]
ChangeArray = Callable[[Array], Array]


def of_transfer(experiment: Experiment) -> Iterator[Cause]:
    """What may become of a state: layouts, layers, slots, count and precision."""
    layers = numbered(experiment.model)
    for each in filter(is_square, layers):
        weight = each.named("weight")
        words = f"the square weight of layer {each.number} arrives transposed"
        yield _cause(words, _transposed(weight, with_slots=False))
        if slot_names(experiment):
            yield _cause(f"{words}, its slots too", _transposed(weight, with_slots=True))
    for one, other in itertools.combinations(layers, 2):
        if _shapes(one) == _shapes(other):
            words = f"layers {one.number} and {other.number} change places"
            yield _cause(words, _renamed(_swap(one, other)))
    yield each_moment(
        "the parameters are not loaded (initial ones)",
        lambda m, problem, _: replace(
            m, state=replace(m.state, parameters=initial_parameters(problem))
        ),
    )
    if has(experiment.model, BatchNorm):
        yield each_moment(
            "the buffers are not loaded (initial ones)",
            lambda m, problem, _: replace(
                m, state=replace(m.state, buffers=initial_buffers(problem))
            ),
        )
    yield _cause("the count of steps is lost", lambda s: replace(s, step=0))
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
    return each_moment(words, lambda given, *_: replace(given, state=change(given.state)))


def _shapes(each: Placed) -> list[tuple[int, ...]]:
    return [*each.parameter_shapes.values(), *each.buffer_shapes.values()]


def _swap(one: Placed, other: Placed) -> dict[str, str]:
    names = [[*each.parameter_shapes, *each.buffer_shapes] for each in (one, other)]
    pairs = list(zip(*names, strict=True))
    return {left: right for pair in pairs for left, right in (pair, pair[::-1])}


def _renamed(names: dict[str, str]) -> ChangeState:
    """Tensors under each other's names, in parameters, slots and buffers."""

    def renamed(arrays: Parameters) -> dict[str, Array]:
        return {name: arrays[names.get(name, name)] for name in arrays}

    def change(state: TrainState) -> TrainState:
        slots = {slot: renamed(arrays) for slot, arrays in state.slots.items()}
        buffers = renamed(state.buffers)
        return replace(state, parameters=renamed(state.parameters), slots=slots, buffers=buffers)

    return change


def _transposed(weight: str, *, with_slots: bool) -> ChangeState:
    def turned(arrays: dict[str, Array]) -> dict[str, Array]:
        return {name: array.T if name == weight else array for name, array in arrays.items()}

    def change(state: TrainState) -> TrainState:
        slots = {s: dict(arrays) for s, arrays in state.slots.items()}
        if with_slots:
            slots = {slot: turned(arrays) for slot, arrays in slots.items()}
        return replace(state, parameters=turned(dict(state.parameters)), slots=slots)

    return change


def _each(change: ChangeArray) -> ChangeState:
    """The same change of every tensor in parameters, slots and buffers."""

    def each(arrays: Parameters) -> dict[str, Array]:
        return {name: change(array) for name, array in arrays.items()}

    def changed(state: TrainState) -> TrainState:
        slots = {slot: each(arrays) for slot, arrays in state.slots.items()}
        return replace(
            state, parameters=each(state.parameters), slots=slots, buffers=each(state.buffers)
        )

    return changed


def _without_slots(lost: set[str]) -> ChangeState:
    def change(state: TrainState) -> TrainState:
        empty = fresh_state(dict(state.parameters), tuple(state.slots))
        slots = {s: empty.slots[s] if s in lost else state.slots[s] for s in state.slots}
        return replace(state, slots=slots)

    return change


def _moments_swapped(state: TrainState) -> TrainState:
    slots = {
        FIRST_MOMENT: state.slots[SECOND_MOMENT],
        SECOND_MOMENT: state.slots[FIRST_MOMENT],
    }
    return replace(state, slots=slots)


def _flushed(array: Array) -> Array:
    tiny = np.abs(array) < np.finfo(array.dtype).smallest_normal
    return np.where(tiny, np.copysign(array.dtype.type(0), array), array)


def _through(kind: type[np.floating]) -> ChangeArray:
    def change(array: Array) -> Array:
        with np.errstate(over="ignore"):
            return array.astype(kind).astype(array.dtype)

    return change


def _through_bfloat16(array: Array) -> Array:
    return to_bfloat16(array).astype(array.dtype)
