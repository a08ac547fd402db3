"""Weights: a square one transposed, two exchanged, a bias that is not used, a kernel turned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import combinations
from typing import Final

import numpy as np

from twofold.port.causes.hypothesis import Clues, Exchange, TensorAlternative, TensorKind
from twofold.port.side import Array

MOST_PAIRS: Final = 40
MOST_PARTS: Final = 4
"""A packed projection has three parts (query, key, value), a packed recurrent cell four."""


def _transposed(clues: Clues) -> Iterator[TensorAlternative]:
    for name, value in clues.tensors.items():
        for part, count in _parts(value):
            if value.ndim == 2 and value.shape[0] // count == value.shape[1] > 1:
                told = _part_told(name, part, count)
                change = partial(_of_part, part, count, lambda block: block.T)
                yield TensorAlternative(_only(name, change), told, f"{told} transposed")


def _missing(clues: Clues) -> Iterator[TensorAlternative]:
    for name, value in clues.tensors.items():
        if value.ndim != 1 or "bias" not in name.rpartition(".")[2]:
            continue
        for part, count in _parts(value):
            told = _part_told(name, part, count)
            change = partial(_of_part, part, count, np.zeros_like)
            yield TensorAlternative(_only(name, change), f"{told} added", f"{told} not added")


def _exchanged(clues: Clues) -> Iterator[TensorAlternative]:
    named = list(clues.tensors.items())
    pairs = [(a, b) for (a, one), (b, two) in combinations(named, 2) if one.shape == two.shape]
    for a, b in pairs[:MOST_PAIRS]:
        yield TensorAlternative(
            lambda tensors, a=a, b=b: {a: tensors[b], b: tensors[a]},  # type: ignore[misc]
            f"{a} and {b} in their own places",
            f"{a} and {b} exchanged",
        )
    for count in (3, 4):
        packed = [name for name, v in named if v.ndim in (1, 2) and v.shape[0] % count == 0]
        for one, two in combinations(range(count), 2) if packed else ():
            told = ", ".join(packed)
            yield TensorAlternative(
                partial(_all_parts, packed, (one, two, count)),
                f"the parts of {told} in their own places",
                f"parts {one + 1} and {two + 1} of {told} exchanged",
            )


def _turned(clues: Clues) -> Iterator[TensorAlternative]:
    for name, value in clues.tensors.items():
        if value.ndim in (3, 4, 5):
            axes = tuple(range(2, value.ndim))
            change = partial(np.flip, axis=axes)
            yield TensorAlternative(_only(name, change), name, f"{name} turned round in space")
            if value.ndim == 4 and value.shape[2] == value.shape[3] > 1:
                swap = partial(np.swapaxes, axis1=2, axis2=3)
                told = f"{name} with height and width exchanged"
                yield TensorAlternative(_only(name, swap), name, told)


def _parts(value: Array) -> Iterator[tuple[int, int]]:
    """The whole tensor, then each of the parts that it may be packed of."""
    for count in range(1, MOST_PARTS + 1):
        if value.shape[0] % count == 0 and value.shape[0] >= count:
            yield from ((part, count) for part in range(count))


def _of_part(part: int, count: int, change: Callable[[Array], Array], value: Array) -> Array:
    size = value.shape[0] // count
    new = value.copy()
    new[part * size : (part + 1) * size] = change(value[part * size : (part + 1) * size])
    return new


def _all_parts(
    names: list[str], places: tuple[int, int, int], tensors: Mapping[str, Array]
) -> dict[str, Array]:
    one, two, count = places
    found = {}
    for name in names:
        blocks = np.split(tensors[name], count)
        blocks[one], blocks[two] = blocks[two], blocks[one]
        found[name] = np.concatenate(blocks)
    return found


def _part_told(name: str, part: int, count: int) -> str:
    return name if count == 1 else f"part {part + 1} of {count} of {name}"


def _only(name: str, change: Callable[[Array], Array]) -> Exchange:
    return lambda tensors: {name: np.ascontiguousarray(change(tensors[name]))}


KINDS: Final = (
    TensorKind("transposed weight", "the weight", _transposed, "linear-weight-layout"),
    TensorKind("missing bias", "the bias", _missing),
    TensorKind("exchanged weights", "the weights", _exchanged),
    TensorKind("turned kernel", "the kernel", _turned, "conv-kernel-layout"),
)
