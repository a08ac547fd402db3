"""Comparing what an engine computed with what the oracle allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from twofold.parity.judging.verdict import Worst
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded
from twofold.problem.state import Array


@dataclass(frozen=True)
class Comparison:
    """Outcome of one rung's comparison.

    `worst_ratio` is the largest |computed - oracle| / bound, infinite where a value is missing, of
    another shape or not finite. `outside` counts elements beyond their bound, `elements` all.
    `unusable` says why the oracle cannot judge, if it cannot.
    """

    worst_ratio: float
    worst: Worst | None
    outside: int
    elements: int
    note: str
    unusable: str | None = None

    @property
    def within(self) -> bool:
        """Whether something was compared and every element is within its bound."""
        return self.unusable is None and self.elements > 0 and self.worst_ratio <= 1.0


def compare(
    computed: Mapping[str, Array], allowed: Mapping[str, Bounded], arithmetic: Arithmetic
) -> Comparison:
    """Compare named tensors element by element. Nothing passes by being absent or empty."""
    names = _name_mismatch(set(computed), set(allowed))
    if names is not None:
        return Comparison(np.inf, None, 1, 1, names)
    if not allowed:
        return Comparison(np.inf, None, 1, 0, "nothing to compare: no tensors")
    parts = [_compare_tensor(name, computed[name], allowed[name], arithmetic) for name in allowed]
    unusable = [part for part in parts if part.unusable is not None]
    if unusable:
        return unusable[0]
    worst = max(parts, key=lambda part: part.worst_ratio)
    outside = sum(part.outside for part in parts)
    elements = sum(part.elements for part in parts)
    note = worst.note or f"{elements:,} elements in {len(parts)} tensors"
    if outside and not worst.note:
        note = f"{outside:,} of {elements:,} elements outside their bound"
    return Comparison(worst.worst_ratio, worst.worst, outside, elements, note)


def _name_mismatch(computed: set[str], allowed: set[str]) -> str | None:
    if computed == allowed:
        return None
    missing, extra = sorted(allowed - computed), sorted(computed - allowed)
    parts = [f"missing: {', '.join(missing)}"] if missing else []
    parts += [f"not expected: {', '.join(extra)}"] if extra else []
    return "; ".join(parts)


def _compare_tensor(
    name: str, computed: Array, allowed: Bounded, arithmetic: Arithmetic
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
    beyond = f"{name}: the exact result exceeds the range of {arithmetic.precision}"
    if not np.all(np.isfinite(value)) or not np.all(np.isfinite(bound)):
        return Comparison(np.inf, None, 0, int(value.size), beyond, unusable=beyond)
    if float((np.abs(value) + bound).max()) > arithmetic.largest:
        return Comparison(np.inf, None, 0, int(value.size), beyond, unusable=beyond)
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
    return Comparison(float(ratios[index]), worst, outside, int(ratios.size), note)


def error_ratios(computed: Array, allowed: Bounded) -> Array:
    """|computed - oracle| / bound for each element; infinite for a value that is not finite.

    Where the bound is zero only the exact value gives 0.
    """
    finite = np.isfinite(computed)
    wide = np.where(finite, computed, 0).astype(allowed.value.dtype)
    error = np.abs(wide - allowed.value).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
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
    return Comparison(0.0 if elements else np.inf, None, 0, elements, note)


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
