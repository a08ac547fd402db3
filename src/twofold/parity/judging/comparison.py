"""Comparing what an engine computed with what the oracle allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from twofold.parity.judging.verdict import MAY_EXCEED, Worst
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded
from twofold.problem.state import Array, TrainState


@dataclass(frozen=True)
class Comparison:
    """Outcome of one rung's comparison.

    `worst_ratio` is the largest |computed - oracle| / bound, infinite where a value is missing, of
    another shape or not finite. `outside` counts elements beyond their bound, `elements` all.
    `unusable` says why the oracle cannot judge, if it cannot: either the exact results leave the
    engine's range (`leaves_range`; at `beyond_step`, a training step counted from 1, if it is one),
    or too little is known of them.

    `telling` counts the elements that are evidence: zero, or twice the exact value, would have been
    outside the bound. Where a step is judged, that is no change, or twice the exact change.
    `silent` names the tensors without such an element, `silence` says why there is none at all.
    """

    worst_ratio: float
    worst: Worst | None
    outside: int
    elements: int
    note: str
    unusable: str | None = None
    telling: int = 0
    silent: tuple[str, ...] = ()
    silence: str = ""
    leaves_range: bool = False
    beyond_step: int | None = None

    @property
    def within(self) -> bool:
        """Whether something was compared and every element is within its bound."""
        return self.unusable is None and self.elements > 0 and self.worst_ratio <= 1.0

    @property
    def vacuous(self) -> bool:
        """Whether it holds, and no element could have shown a wrong factor."""
        return self.within and self.telling == 0


def compare(
    computed: Mapping[str, Array],
    allowed: Mapping[str, Bounded],
    arithmetic: Arithmetic,
    before: Mapping[str, Array] | None = None,
) -> Comparison:
    """Compare named tensors element by element. Nothing passes by being absent or empty.

    `before`, of a training step, holds the tensors that the step changed, by the same names.
    """
    names = _name_mismatch(set(computed), set(allowed))
    if names is not None:
        return Comparison(np.inf, None, 1, 1, names)
    if not allowed:
        return Comparison(np.inf, None, 1, 0, "nothing to compare: no tensors")
    starts = before or {}
    parts = [
        _compare_tensor(name, computed[name], allowed[name], arithmetic, starts.get(name))
        for name in allowed
    ]
    unusable = [part for part in parts if part.unusable is not None]
    if unusable:
        return unusable[0]
    worst = max(parts, key=lambda part: part.worst_ratio)
    outside = sum(part.outside for part in parts)
    elements = sum(part.elements for part in parts)
    note = worst.note or f"{elements:,} elements in {len(parts)} tensors"
    if outside and not worst.note:
        note = f"{outside:,} of {elements:,} elements outside their bound"
    telling = sum(part.telling for part in parts)
    return Comparison(
        worst.worst_ratio,
        worst.worst,
        outside,
        elements,
        note,
        telling=telling,
        silent=tuple(name for part in parts for name in part.silent),
        silence="" if telling else "; ".join(dict.fromkeys(part.silence for part in parts)),
    )


def _name_mismatch(computed: set[str], allowed: set[str]) -> str | None:
    if computed == allowed:
        return None
    missing, extra = sorted(allowed - computed), sorted(computed - allowed)
    parts = [f"missing: {', '.join(missing)}"] if missing else []
    parts += [f"not expected: {', '.join(extra)}"] if extra else []
    return "; ".join(parts)


def _compare_tensor(
    name: str, computed: Array, allowed: Bounded, arithmetic: Arithmetic, before: Array | None
) -> Comparison:
    value, bound = allowed.value, allowed.bound
    if computed.shape != value.shape or computed.dtype != arithmetic.dtype:
        note = (
            f"{name}: {computed.dtype} {computed.shape} given, "
            f"{arithmetic.dtype} {value.shape} expected"
        )
        return Comparison(np.inf, None, 1, 1, note)
    if value.size == 0:
        return Comparison(np.inf, None, 1, 0, f"{name}: empty")
    if not in_range(allowed, arithmetic):
        beyond = f"{name}: {_beyond(allowed, arithmetic)} of {arithmetic.precision}"
        size = int(value.size)
        return Comparison(np.inf, None, 0, size, beyond, unusable=beyond, leaves_range=True)
    ratios = error_ratios(computed, allowed)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(ratios)), ratios.shape))
    worst = Worst(
        tensor=name,
        index=index,
        computed=float(computed[index]),
        oracle=float(value[index]),
        bound=float(bound[index]),
    )
    note = "" if np.isfinite(computed).all() else f"{name}: not finite"
    outside = int(np.count_nonzero(ratios > 1.0))
    telling, silence = _evidence(allowed, before)
    return Comparison(
        float(ratios[index]),
        worst,
        outside,
        int(ratios.size),
        note,
        telling=telling,
        silent=() if telling else (name,),
        silence=silence,
    )


def not_finite(state: TrainState) -> Comparison | None:
    """Why a state that an engine came to cannot be judged any further; None where it is finite."""
    for name, array in state.tensors.items():
        if not np.all(np.isfinite(array)):
            note = f"{name}: not finite in the state that the session has come to"
            return Comparison(np.inf, None, 0, int(array.size), note, unusable=note)
    return None


def in_range(allowed: Bounded, arithmetic: Arithmetic) -> bool:
    """Whether an engine's numbers can hold every value that is allowed; not-a-number is not."""
    with np.errstate(over="ignore", invalid="ignore"):
        reach = np.abs(allowed.value) + allowed.bound
    return bool(np.all(reach <= arithmetic.largest))


def _beyond(allowed: Bounded, arithmetic: Arithmetic) -> str:
    """Words for a result that an engine cannot hold, or could hold and may not come to."""
    if np.all(np.abs(allowed.value) <= arithmetic.largest):
        return f"the exact result, or a number on the way to it, {MAY_EXCEED}"
    return "the exact result exceeds the range"


def _evidence(allowed: Bounded, before: Array | None) -> tuple[int, str]:
    """How many elements would be outside as zero or doubled, and if none, why."""
    start = np.zeros_like(allowed.value) if before is None else before.astype(allowed.value.dtype)
    size = np.abs(allowed.value - start)
    telling = int(np.count_nonzero(size > allowed.bound))
    if telling:
        return telling, ""
    if not size.any():
        return 0, "every exact value is zero" if before is None else "the exact step moves nothing"
    what = "zero and twice the value" if before is None else "no change and twice the change"
    return 0, f"the bounds are so wide that {what} would pass as well"


def error_ratios(computed: Array, allowed: Bounded) -> Array:
    """|computed - oracle| / bound for each element; infinite where any of the three is not finite.

    Where the bound is zero only the exact value gives 0.
    """
    finite = np.isfinite(computed) & np.isfinite(allowed.value) & np.isfinite(allowed.bound)
    wide = np.where(finite, computed, 0).astype(allowed.value.dtype)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        error = np.abs(wide - allowed.value).astype(np.float64)
        ratios = np.where(error == 0, 0.0, error / allowed.bound)
    return np.asarray(np.where(finite, ratios, np.inf))


def compare_exactly(computed: Mapping[str, Array], expected: Mapping[str, Array]) -> Comparison:
    """Compare named tensors bit for bit: names, shapes, dtypes and every element."""
    names = _name_mismatch(set(computed), set(expected))
    if names is not None:
        return Comparison(np.inf, None, 1, 1, names)
    elements = 0
    for name, array in expected.items():
        given = computed[name]
        if given.shape != array.shape or given.dtype != array.dtype:
            note = (
                f"{name}: {given.dtype} {given.shape} given, {array.dtype} {array.shape} expected"
            )
            return Comparison(np.inf, None, 1, 1, note)
        differs = bits_differ(given, array)
        elements += int(array.size)
        if differs.any():
            return _first_difference(name, given, array, differs)
    note = f"{elements:,} elements, equal bit for bit"
    return Comparison(0.0 if elements else np.inf, None, 0, elements, note, telling=elements)


def bits_differ(left: Array, right: Array) -> Array:
    """Where two arrays of one shape and dtype differ in any bit, bool of that shape."""
    size = left.dtype.itemsize
    as_bytes: list[Any] = [
        np.ascontiguousarray(array).view(np.uint8).reshape(*array.shape, size)
        if array.ndim
        else np.frombuffer(array.tobytes(), np.uint8)
        for array in (left, right)
    ]
    return np.asarray((as_bytes[0] != as_bytes[1]).any(axis=-1))


def _first_difference(name: str, given: Array, expected: Array, differs: Array) -> Comparison:
    index = tuple(int(i) for i in np.argwhere(differs)[0])
    count = int(np.count_nonzero(differs))
    worst = Worst(name, index, float(given[index]), float(expected[index]), 0.0)
    note = f"{name}: {count:,} of {expected.size:,} elements differ"
    return Comparison(np.inf, worst, count, int(expected.size), note)
