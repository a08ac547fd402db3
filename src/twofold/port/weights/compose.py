"""From what the axes of two parts mean, or from their shapes alone, to the ways between them.

Several ways are left where shapes do not decide; the most likely comes first.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Final, final

from twofold.port.weights.axes import Axes, Axis, Group
from twofold.port.weights.readings import Reading

_LETTERS: Final = "abcdefgh"
_MOST: Final = 24


@final
@dataclass(frozen=True)
class _Label:
    """A label of a reading: "out.heads" has the base "out"; `rank` orders those of one base."""

    base: str
    own: str
    size: int
    backwards: bool
    dimension: int
    rank: int = 0


@lru_cache(maxsize=65536)
def ways(
    left: Reading | None,
    left_shape: tuple[int, ...],
    right: Reading | None,
    right_shape: tuple[int, ...],
) -> tuple[Axes, ...]:
    """Candidate axes from the left tensor to the right one; () if no way fits the shapes."""
    if prod(left_shape) != prod(right_shape):
        return ()
    if left is not None and right is not None:
        named = tuple(dict.fromkeys(_by_reading(left, left_shape, right, right_shape)))
        if named:
            return named
    return _by_shape(left, left_shape, right_shape)


# By what the axes mean


def _by_reading(
    left: Reading, left_shape: Sequence[int], right: Reading, right_shape: Sequence[int]
) -> Iterator[Axes]:
    a, b = _labels(left, left_shape), _labels(right, right_shape)
    if not a and not b:
        yield Axes((), ())
    if not a or not b:
        return
    for one, other in _with_the_same_bases(a, b):
        axes = _joined(one, other, len(left), len(right))
        if axes is not None:
            yield axes


def _labels(reading: Reading, shape: Sequence[int]) -> list[_Label]:
    """The labels of all dimensions with their sizes; none if the reading does not fit."""
    if len(reading) != len(shape):
        return []
    labels: list[_Label] = []
    for dimension, (text, size) in enumerate(zip(reading, shape, strict=True)):
        texts = text.strip("()").split()
        written = prod(int(each.partition("=")[2]) for each in texts if "=" in each)
        if size % written:
            return []
        for each in texts:
            name, _, number = each.lstrip("-").partition("=")
            base, _, own = name.partition(".")
            length = int(number) if number else size // written
            rank = sum(label.base == base for label in labels)
            labels.append(_Label(base, own, length, each.startswith("-"), dimension, rank))
    return labels


def _with_the_same_bases(
    a: list[_Label], b: list[_Label]
) -> Iterator[tuple[list[_Label], list[_Label]]]:
    """Both as they are, or with places of a kernel counted as inputs (a patch as one vector)."""
    bases_a, bases_b = {label.base for label in a}, {label.base for label in b}
    if bases_a == bases_b:
        yield a, b
        yield from ((one, b) for one in _heads_first(a, b))
        yield from ((a, other) for other in _heads_first(b, a))
    elif bases_b < bases_a and "in" in bases_b:
        yield from ((one, b) for one in _patches(a, bases_a - bases_b))
    elif bases_a < bases_b and "in" in bases_a:
        yield from ((a, other) for other in _patches(b, bases_b - bases_a))


def _heads_first(side: list[_Label], other: list[_Label]) -> Iterator[list[_Label]]:
    """Three parts of outputs against one: the first two may lie there in the other order."""
    outputs = [label for label in side if label.base == "out"]
    if len(outputs) == 3 and sum(label.base == "out" for label in other) == 1:
        ranks = {outputs[0]: 1, outputs[1]: 0}
        yield [replace(label, rank=ranks.get(label, label.rank)) for label in side]


def _patches(side: list[_Label], places: set[str]) -> Iterator[list[_Label]]:
    """The places of a kernel as parts of its inputs: channels last, then channels first."""
    space = [label.base for label in side if label.base in places]
    for order in ([*space, "in"], ["in", *space]):
        yield [
            replace(label, base="in", own=f"of_{label.base}", rank=order.index(label.base))
            if label.base in order
            else label
            for label in side
        ]


def _joined(a: list[_Label], b: list[_Label], rank_a: int, rank_b: int) -> Axes | None:
    """Axes that carry every label of one side to the same label of the other."""
    atoms: tuple[dict[tuple[str, int], Group], ...] = ({}, {})
    for base in dict.fromkeys(label.base for label in a):
        sides = [
            sorted((x for x in side if x.base == base), key=lambda x: x.rank) for side in (a, b)
        ]
        fine = _refined([x.size for x in sides[0]], [x.size for x in sides[1]])
        if fine is None:
            return None
        owns = next(([x.own for x in side] for side in sides if len(side) == len(fine)), [])
        turned = {x.backwards for side in sides for x in side} == {True, False}
        named = _named(base, fine, owns)
        for side, labels in enumerate(sides):
            taken = 0
            for label in labels:
                count = _count(fine[taken:], label.size)
                group = tuple(named[taken : taken + count])
                if turned and side == 1:
                    group = tuple(replace(axis, reversed=True) for axis in group)
                atoms[side][base, label.rank] = group
                taken += count
    groups = []
    for side, (labels, rank) in enumerate(((a, rank_a), (b, rank_b))):
        dims: list[list[Axis]] = [[] for _ in range(rank)]
        for label in labels:
            dims[label.dimension] += atoms[side][label.base, label.rank]
        groups.append(tuple(_sized(dim) for dim in dims))
    return Axes(groups[0], groups[1])


def _refined(a: Sequence[int], b: Sequence[int]) -> list[int] | None:
    """The coarsest sizes of which both sequences are products of neighbours, if there are any."""
    if prod(a) != prod(b):
        return None
    ends = {prod(a[index:]) for index in range(len(a))} | {
        prod(b[index:]) for index in range(len(b))
    }
    fine: list[int] = []
    last = 1
    for end in sorted(ends):
        if end % last:
            return None
        fine.insert(0, end // last)
        last = end
    kept = [size for size in fine if size > 1]
    return kept or [1]


def _count(fine: Sequence[int], size: int) -> int:
    """How many of the next fine sizes make up this size; at least one where any is left."""
    product, count = 1, 0
    while product < size and count < len(fine):
        product *= fine[count]
        count += 1
    return count if size > 1 else min(len(fine), 1) if list(fine) == [1] else 0


def _named(base: str, sizes: Sequence[int], owns: Sequence[str]) -> list[Axis]:
    if len(sizes) == 1:
        return [Axis(base, sizes[0])]
    names = [own or f"{base}{place}" for place, own in enumerate(owns or [""] * len(sizes), 1)]
    return [Axis(name, size) for name, size in zip(names, sizes, strict=True)]


def _sized(axes: Sequence[Axis]) -> Group:
    """Sizes are written for all but the first of a bracket; "1" for a dimension without axes."""
    if not axes:
        return (Axis("", 1),)
    first, *others = axes
    return (replace(first, size=None), *others)


# By shapes alone


def _by_shape(left: Reading | None, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[Axes, ...]:
    """Every order of the left axes from which the right shape comes by splitting and merging."""
    named = {index: _LETTERS[place] for place, index in enumerate(i for i in range(len(a)))}
    big = [index for index, size in enumerate(a) if size > 1]
    target = [size for size in b if size > 1]
    found: dict[str, Axes] = {}
    for order in sorted(itertools.permutations(big), key=lambda o: _unlikely(o, left, a, b)):
        fine = _refined([a[index] for index in order], target)
        if fine is None or len(found) >= _MOST:
            continue
        axes = _from_order(a, b, order, fine, named)
        found.setdefault(str(axes), axes)
    return tuple(found.values())


def _unlikely(
    order: tuple[int, ...], left: Reading | None, a: tuple[int, ...], b: tuple[int, ...]
) -> tuple[bool, tuple[int, ...]]:
    """Layouts of JAX first where the left one is known as PyTorch's, else the same order first."""
    usual = tuple(sorted(order))
    if left is not None and len(left) == len(a) and len(a) == len(b) and len(order) == len(a):
        if left[:2] == ("out", "in"):
            usual = (*range(2, len(a)), 1, 0)
        elif left[-2:] == ("in", "out"):
            usual = (len(a) - 1, len(a) - 2, *range(len(a) - 2))
    return order != usual, order


def _from_order(
    a: tuple[int, ...],
    b: tuple[int, ...],
    order: tuple[int, ...],
    fine: Sequence[int],
    named: dict[int, str],
) -> Axes:
    left: list[Group] = [(Axis("", 1),)] * len(a)
    flat: list[Axis] = []
    for index in order:
        count = _count(fine[len(flat) :], a[index])
        sizes = fine[len(flat) : len(flat) + count]
        names = [named[index] + (str(place) if count > 1 else "") for place in range(1, count + 1)]
        axes = [Axis(name, size) for name, size in zip(names, sizes, strict=True)]
        left[index] = _sized(axes)
        flat += axes
    right: list[Group] = []
    taken = 0
    for size in b:
        count = _count(fine[taken:], size) if size > 1 else 0
        right.append(_sized(flat[taken : taken + count]))
        taken += count
    return Axes(tuple(left), tuple(right))
