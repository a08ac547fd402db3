"""Numbers that both sides have in two forms: reversed, moved, scaled, bounded, in another order.

A relation is found in one run and then tried on all of them: it is a cause only where the numbers
of the original, so changed, are those of the port up to the noise of rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Final, final

import numpy as np

from twofold.port.side import Array
from twofold.port.twins import SAME, measure

NEAR: Final = 1e-9
"""Share of the largest number by which two numbers of a first look may be off."""
SCALED: Final = ("scale of the input", "mean of the input", "deviation of the input")
"""Relations that much may make; the others are as special as a cause can be."""
WHOLE_NUMBERS: Final = "offset of whole numbers (tokens, categories)"
LONGEST: Final = 512
"""Entries of an axis up to which another order of them is looked for."""


@final
@dataclass(frozen=True)
class Relation:
    """How the numbers of one side become those of the other: `change` is from original to port."""

    name: str
    change: Callable[[Array], Array]
    own: str
    other: str
    ratio: float = 0.0


def relation_between(original: Sequence[Array], port: Sequence[Array]) -> Relation | None:
    """The relation of two tensors that holds in every run; None for no known one."""
    first, second = np.asarray(original[0]), np.asarray(port[0])
    if first.shape != second.shape or not first.size:
        return None
    for found in _relations(first, second):
        measured = measure([found.change(value) for value in original], port)
        if measured.ratio is not None and measured.ratio <= SAME:
            return replace(found, ratio=measured.ratio)
    return None


def _relations(a: Array, b: Array) -> Iterator[Relation]:
    makers = (_ordered, _swapped, _rolled, _integers, _affine, _channels, _bounded, _functions)
    for maker in makers:
        yield from maker(a, b)


def _near(a: Array, b: Array) -> bool:
    size = max(float(np.abs(b).max(initial=0.0)), float(np.abs(a).max(initial=0.0)))
    return bool((np.abs(a - b) <= NEAR * size).all())


def _ordered(a: Array, b: Array) -> Iterator[Relation]:
    """The entries of one axis in another order."""
    for axis in reversed(range(a.ndim)):
        count = a.shape[axis]
        if not 1 < count <= LONGEST:
            continue
        order = _order(np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0))
        if order is None or order == list(range(count)):
            continue
        yield Relation(
            "order of the input",
            partial(np.take, indices=order, axis=axis),
            "in their order",
            _order_told(order, axis, a),
        )


def _order(a: Array, b: Array) -> list[int] | None:
    """Which entry of the first is each of the second; None where one has no counterpart."""
    first, second = a.reshape(len(a), -1), b.reshape(len(b), -1)
    size = float(np.abs(first).max(initial=0.0))
    order, free = [], set(range(len(first)))
    for row in second:
        apart = np.abs(first - row).max(1)
        match = next((i for i in sorted(free, key=lambda i: apart[i]) if i in free), None)
        if match is None or apart[match] > NEAR * size:
            return None
        free.remove(match)
        order.append(match)
    return order


def _order_told(order: list[int], axis: int, of: Array) -> str:
    count = len(order)
    where = _axis_told(axis, of)
    if order == list(reversed(range(count))):
        mirrored = " (mirrored)" if of.ndim == 4 and axis in (1, 2) else ""
        return f"reversed along {where}{mirrored}"
    step = order[0]
    if order == [(i + step) % count for i in range(count)]:
        return f"rolled by {-step % count} along {where}"
    told = ", ".join(map(str, order[:16]))
    return f"permuted along {where}: {told}"


def _axis_told(axis: int, of: Array) -> str:
    """What an axis of an input usually is; the port's layout has channels last."""
    if axis == 0:
        return "the batch (axis 0)"
    if of.ndim == 4:
        name = {1: "the height", 2: "the width", 3: "the channels"}[axis]
    elif axis == of.ndim - 1 and of.dtype.kind == "f":
        name = "the columns (features)"
    else:
        name = "time, the order of tokens," if of.ndim < 4 else "space"
    return f"{name} (axis {axis})"


def _swapped(a: Array, b: Array) -> Iterator[Relation]:
    """Two axes of one length exchanged; every pair of axes that gives the shape is tried."""
    for one, two in combinations(range(1, a.ndim), 2):
        if a.shape[one] == a.shape[two] > 1 and _near(np.swapaxes(a, one, two), b):
            yield Relation(
                "axes of the input",
                partial(np.swapaxes, axis1=one, axis2=two),
                "as they lie",
                f"transposed: axes {one} and {two} exchanged",
            )


def _rolled(a: Array, b: Array) -> Iterator[Relation]:
    """Each row rolled by a number of its own, as padding moves to the other side."""
    if a.ndim < 2 or not 1 < a.shape[1] <= LONGEST:
        return
    moves = []
    for row, other in zip(a, b, strict=True):
        fits = (n for n in range(len(row)) if _near(np.roll(row, n, 0), other))
        moves.append(next(fits, None))
    if None in moves:
        return

    def change(value: Array) -> Array:
        pairs = zip(value, moves, strict=True)
        return np.stack([np.roll(row, n or 0, 0) for row, n in pairs])

    told = "rolled along axis 1, row by row: padding on the other side"
    yield Relation("side of the padding", change, "in their order", told)


def _integers(a: Array, b: Array) -> Iterator[Relation]:
    """Whole numbers moved by one number, or bounded, such as tokens and categories."""
    if a.dtype.kind not in "iu" or b.dtype.kind not in "iu":
        return
    first, second = a.astype(np.int64), b.astype(np.int64)
    apart = np.unique(second - first)
    if len(apart) == 1:
        counted = first.ndim and (np.diff(first, axis=-1) == 1).all()
        name = "offset of positions" if counted else WHOLE_NUMBERS
        told = _offset(apart[0])
        yield Relation(name, lambda v: v + apart[0], "without an offset", told)
    elif len(apart) == 2 and apart[0] < 0 < apart[1]:
        count = int(apart[1] - apart[0])
        step = int(apart[1]) if apart[1] < -apart[0] else int(apart[0])
        yield Relation(
            WHOLE_NUMBERS,
            lambda v: (v + step) % count,
            "without an offset",
            f"{_offset(step)}, modulo {count}",
        )
    top = int(second.max())
    yield Relation(
        "bounded numbers",
        lambda v: np.minimum(v, top),
        "the whole vocabulary",
        f"clipped to {top} (unknown ones become one)",
    )


def _offset(step: int) -> str:
    return f"an offset: shifted by {step:+d}"


def _fit(a: Array, b: Array) -> tuple[float, float]:
    """Factor and offset of a straight line through all numbers."""
    x, y = a.reshape(-1), b.reshape(-1)
    spread = x - x.mean()
    bottom = float(spread @ spread)
    factor = float(spread @ (y - y.mean())) / bottom if bottom else 1.0
    return factor, float(y.mean() - factor * x.mean())


def _affine(a: Array, b: Array) -> Iterator[Relation]:
    if a.dtype.kind != "f":
        return
    factor, offset = _fit(a, b)
    if not _near(factor * a + offset, b):
        return
    bottom = float((a * a).sum())
    plain = float((a * b).sum()) / bottom if bottom else 1.0
    if _near(plain * a, b):
        told = f"times {plain:.6g}"
        yield Relation("scale of the input", lambda v: plain * v, "its scale (factor) 1", told)
        return
    shift = float((b - a).mean())
    if _near(a + shift, b):
        told = f"moved by {shift:.6g}: another mean is subtracted"
        yield Relation("mean of the input", lambda v: v + shift, "its mean (offset)", told)
        return
    told = f"times {factor:.6g}, moved by {offset:.6g}: another deviation (std) and mean"
    yield Relation("deviation of the input", lambda v: factor * v + offset, "its scale", told)


def _channels(a: Array, b: Array) -> Iterator[Relation]:
    """A straight line for each entry of one axis: a mean and deviation for each channel."""
    if a.dtype.kind != "f":
        return
    for axis in reversed(range(1, a.ndim)):
        parts = [np.moveaxis(value, axis, 0) for value in (a, b)]
        if a.size // max(a.shape[axis], 1) < 4:
            continue
        fits = np.array([_fit(x, y) for x, y in zip(*parts, strict=True)])
        shape = [1] * a.ndim
        shape[axis] = -1
        factor, offset = fits[:, 0].reshape(shape), fits[:, 1].reshape(shape)
        if not _near(factor * a + offset, b):
            continue
        listed = [", ".join(f"{v:.6g}" for v in column) for column in fits.T]
        if np.abs(fits[:, 0] - 1).max() <= NEAR:
            told = f"moved by {listed[1]} along axis {axis}: another mean is subtracted"
            change = partial(_moved, 1.0, offset)
            yield Relation("mean of the input", change, "its mean (offset)", told)
        else:
            moved = np.abs(fits[:, 1]).max() > NEAR * np.abs(b).max()
            told = f"times {listed[0]}{f', moved by {listed[1]}' if moved else ''}"
            told += f" along axis {axis}: another deviation (std)"
            change = partial(_moved, factor, offset)
            yield Relation("deviation of the input", change, "its scale", told)
        return


def _moved(factor: Array | float, offset: Array, value: Array) -> Array:
    return np.asarray(factor * value + offset)


def _bounded(a: Array, b: Array) -> Iterator[Relation]:
    """Numbers that are clipped; those of other columns may stay as they are."""
    if a.dtype.kind != "f":
        return
    changed = np.abs(a - b) > NEAR * float(np.abs(a).max())
    if not changed.any() or changed.all():
        return
    values = np.unique(np.round(b[changed], 12))
    if len(values) > 2:
        return
    low, high = float(values[0]), float(values[-1])
    reach = changed.reshape(-1, a.shape[-1]).any(0)  # columns in which anything is clipped
    low = low if (a[changed] < low).any() else -np.inf
    high = high if (a[changed] > high).any() else np.inf

    def change(value: Array) -> Array:
        return np.where(reach, np.clip(value, low, high), value)

    told = f"bounded (clipped) between {low:.6g} and {high:.6g}"
    yield Relation("bounded numbers", change, "without bounds", told)


FUNCTIONS: Final[dict[str, Callable[[Array], Array]]] = {
    "cut to whole numbers (integer dtype)": np.trunc,
    "rounded to whole numbers": np.round,
    "rounded down to whole numbers": np.floor,
    "through the logarithm log1p": np.log1p,
}


def _functions(a: Array, b: Array) -> Iterator[Relation]:
    if a.dtype.kind != "f":
        return
    with np.errstate(all="ignore"):
        for told, function in FUNCTIONS.items():
            if _near(function(a), b):
                yield Relation("transformation of the input", function, "as they are", told)
        if _near(np.expm1(a), b):
            yield Relation(
                "transformation of the input", np.expm1, "through the logarithm log1p", "not so"
            )


def relation_of_raw(
    original: Sequence[Array], port: Sequence[Array], raw: Sequence[Array]
) -> Relation | None:
    """A function of the numbers in the batch, where both sides then scale and move them alike."""
    first, second = np.asarray(original[0]), np.asarray(port[0])
    line = _lines(raw[0], first)
    if line is None:
        return None
    slope, offset = line
    for told, function in FUNCTIONS.items():
        with np.errstate(all="ignore"):
            if not _near(slope * function(raw[0]) + offset, second):
                continue
        measured = measure([slope * function(value) + offset for value in raw], port)
        if measured.ratio is not None and measured.ratio <= SAME:
            name = "transformation of the input"
            return Relation(name, function, "as they are", told, measured.ratio)
    return None


def with_raw(
    found: Relation, original: Sequence[Array], port: Sequence[Array], raw: Sequence[Array]
) -> Relation:
    """The relation told by what the batch has: scaled before or after the mean is subtracted.

    x / d - m and (x - m) / d have the same factor of x, and offsets whose ratio is d.
    """
    if found.name != "mean of the input":
        return found
    for given in raw[:1]:
        fits = [_lines(given, np.asarray(value)) for value in (original[0], port[0])]
        if any(fit is None for fit in fits):
            continue
        (slope, offset), (_, other) = (fit for fit in fits if fit is not None)
        ratios = other / offset
        if np.ptp(offset) > 0 and np.ptp(ratios) <= NEAR * abs(ratios[0]) and slope[0] < 1:
            order = ("before", "after") if abs(ratios[0]) < 1 else ("after", "before")
            told = f"the mean is subtracted {{}} the numbers are scaled by {abs(ratios[0]):.6g}"
            return replace(
                found,
                name="order of scaling and normalization",
                own=told.format(order[1]),
                other=told.format(order[0]),
            )
    return found


def _lines(x: Array, y: Array) -> tuple[Array, Array] | None:
    """Factor and offset for each entry of the last axis; None where no line fits."""
    parts = zip(np.moveaxis(x, -1, 0), np.moveaxis(y, -1, 0), strict=True)
    fits = np.array([_fit(one, two) for one, two in parts])
    return (fits[:, 0], fits[:, 1]) if _near(fits[:, 0] * x + fits[:, 1], y) else None
