"""Axes of a tensor on both sides: `"(heads dim) in -> in heads dim"`, applied as views.

The notation is that of einops (Rogozhnikov, ICLR 2022), with three additions:

    name=4   an axis whose size is written down, where shapes alone do not tell it
    -name    on the right: the axis in reversed order (the kernel of a transposed convolution)
    0/3      an axis of size 3 of which only index 0 takes part (parts that are interleaved)

`1` is short for `0/1`. Every name stands once on each side.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Final, final

from twofold.errors import BadInput
from twofold.port.side import Array

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<open>\()|(?P<close>\))|(?P<index>\d+)(?:/(?P<of>\d+))?"
    r"|(?P<minus>-)?(?P<name>[A-Za-z_]\w*)(?:=(?P<size>\d+))?)"
)


@final
@dataclass(frozen=True)
class Axis:
    """One axis of a pattern: named, or only one index of it taken (`name` is then empty)."""

    name: str
    size: int | None = None
    reversed: bool = False
    index: int = 0

    @property
    def taken(self) -> bool:
        """Whether only one of several indices takes part."""
        return not self.name and (self.size or 1) > 1

    def __str__(self) -> str:
        if not self.name:
            return "1" if self.size == 1 else f"{self.index}/{self.size}"
        size = "" if self.size is None else f"={self.size}"
        return f"{'-' if self.reversed else ''}{self.name}{size}"


Group = tuple[Axis, ...]
"""The axes that one dimension of an array is made of, slowest first."""


@final
@dataclass(frozen=True)
class Axes:
    """How the dimensions of the original's tensor (left) become those of the port's (right)."""

    left: tuple[Group, ...]
    right: tuple[Group, ...]

    def __str__(self) -> str:
        return f"{_written(self.left)} -> {_written(self.right)}"

    @property
    def plain(self) -> bool:
        """Whether both sides are the same, so that nothing moves."""
        return self.left == self.right

    def moves_as(self, other: Axes) -> bool:
        """Whether both move the same elements to the same places, whatever their axes are called.

        A size that only one of them writes down counts as a difference.
        """
        return _numbered(self.left, self.right) == _numbered(other.left, other.right)

    def sizes(self, left: Sequence[int] | None, right: Sequence[int] | None) -> dict[str, int]:
        """The size of every named axis, from either shape or both. Raises BadInput."""
        sizes = {a.name: a.size for g in (*self.left, *self.right) for a in g if a.name and a.size}
        known = [(self.left, left), (self.right, right)]
        for groups, shape in known:
            if shape is not None and len(groups) != len(shape):
                raise BadInput(
                    f"axes '{self}': {len(groups)} dimensions in '{_written(groups)}', "
                    f"the tensor has shape {tuple(shape)}"
                )
        for _ in range(2):  # a size found on the right may be needed on the left
            for groups, shape in known:
                for group, size in zip(groups, shape or (), strict=False):
                    self._solve(group, size, sizes)
        unknown = sorted({a.name for g in self.left for a in g if a.name} - sizes.keys())
        if unknown:
            raise BadInput(f"axes '{self}': write the size of {unknown[0]}, as {unknown[0]}=2")
        return sizes

    def _solve(self, group: Group, size: int, sizes: dict[str, int]) -> None:
        missing = [axis for axis in group if axis.name and axis.name not in sizes]
        rest = prod(sizes.get(a.name, 1) if a.name else int(a.size or 1) for a in group)
        if len(missing) == 1 and rest and size % rest == 0:
            sizes[missing[0].name] = size // rest
        elif not missing and rest != size:
            raise BadInput(f"axes '{self}': '{_written((group,))}' is {rest} long, not {size}")
        elif len(missing) == 1:
            raise BadInput(f"axes '{self}': {size} is no multiple of {rest}")

    def views(self, left: Array, right: Array) -> tuple[Array, Array]:
        """Views of two arrays that hold the same numbers in the same order. Raises BadInput.

        Both are C-contiguous, or views along their first axes of arrays that are.
        """
        sizes = self.sizes(left.shape, right.shape)
        a, names = _expanded(left, self.left, sizes)
        b, others = _expanded(right, self.right, sizes)
        return a.transpose([names.index(name) for name in others]), b

    def elements(self, array: Array, *, right: bool) -> Array:
        """A view of the elements of one side's array that take part. Raises BadInput."""
        shape = tuple(array.shape)
        sizes = self.sizes(None, shape) if right else self.sizes(shape, None)
        return _expanded(array, self.right if right else self.left, sizes)[0]


def _size(axis: Axis, sizes: Mapping[str, int]) -> int:
    return sizes[axis.name] if axis.name else int(axis.size or 1)


def _expanded(
    array: Array, groups: tuple[Group, ...], sizes: Mapping[str, int]
) -> tuple[Array, list[str]]:
    """A view with one dimension for each named axis, and the names."""
    axes = [axis for group in groups for axis in group]
    view = array.reshape([_size(axis, sizes) for axis in axes], copy=False)
    picks = tuple(
        axis.index if not axis.name else slice(None, None, -1 if axis.reversed else None)
        for axis in axes
    )
    return view[(*picks, ...)], [axis.name for axis in axes if axis.name]


def _numbered(*sides: tuple[Group, ...]) -> list[Group]:
    """The groups of both sides with numbers, in the order of the axes, for names."""
    numbers: dict[str, str] = {"": ""}
    for axis in (axis for groups in sides for group in groups for axis in group):
        numbers.setdefault(axis.name, str(len(numbers)))
    return [
        tuple(replace(axis, name=numbers[axis.name]) for axis in group)
        for groups in sides
        for group in (*groups, ())
    ]


def _written(groups: Sequence[Group]) -> str:
    return " ".join(
        str(group[0]) if len(group) == 1 else f"({' '.join(map(str, group))})" for group in groups
    )


@lru_cache(maxsize=4096)
def parse(text: str) -> Axes:
    """The axes of a text such as "o (h dim=16) -> h dim o". Raises BadInput."""
    left, arrow, right = text.partition("->")
    if not arrow:
        raise BadInput(f"axes {text!r}: '->' is missing; allowed is such as 'out in -> in out'")
    axes = Axes(_side(left, text), _side(right, text))
    names = [
        [a.name for group in side for a in group if a.name] for side in (axes.left, axes.right)
    ]
    for side in names:
        twice = [name for name in side if side.count(name) > 1]
        if twice:
            raise BadInput(f"axes {text!r}: {twice[0]} stands twice on one side; allowed is once")
    lonely = sorted(set(names[0]) ^ set(names[1]))
    if lonely:
        raise BadInput(f"axes {text!r}: {lonely[0]} stands on one side only; allowed is both")
    return axes


def _side(text: str, whole: str) -> tuple[Group, ...]:
    groups: list[Group] = []
    inside: list[Axis] | None = None
    for match in _tokens(text, whole):
        if match["open"]:
            if inside is not None:
                raise BadInput(f"axes {whole!r}: a bracket within a bracket; allowed is one level")
            inside = []
        elif match["close"]:
            if not inside:
                raise BadInput(f"axes {whole!r}: ')' without axes before it")
            groups.append(tuple(inside))
            inside = None
        elif inside is not None:
            inside.append(_axis(match, whole))
        else:
            groups.append((_axis(match, whole),))
    if inside is not None:
        raise BadInput(f"axes {whole!r}: ')' is missing")
    return tuple(groups)


def _axis(match: re.Match[str], whole: str) -> Axis:
    if match["name"]:
        size = int(match["size"]) if match["size"] else None
        return Axis(match["name"], size, bool(match["minus"]))
    if match["of"] is None:
        if match["index"] != "1":
            raise BadInput(f"axes {whole!r}: {match['index']} given; allowed are names, 1 and 0/3")
        return Axis("", 1)
    index, of = int(match["index"]), int(match["of"])
    if index >= of:
        raise BadInput(f"axes {whole!r}: {index}/{of} given; allowed is 0/{of} to {of - 1}/{of}")
    return Axis("", of, index=index)


def _tokens(text: str, whole: str) -> Iterator[re.Match[str]]:
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            raise BadInput(f"axes {whole!r}: cannot read {text[place:].strip()!r}")
        yield match
        place = match.end()
