"""Tables: numbers that depend on nothing that is judged, where they meet what does.

A table of positions, a frequency or a factor is made of constants and whole numbers alone. Where
such a constant was rounded to float32 before the judge came, it cannot be kept in float64.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np

from twofold.port.where.prints import Array

_JUDGED: Final = None


def is_narrow(value: Array) -> bool:
    """Whether an array has real numbers of less than float64."""
    return value.dtype.kind == "f" and value.dtype.itemsize < 8


@final
@dataclass(frozen=True)
class Table:
    """The numbers of a table as an operation takes them, with the person's line of it.

    `makers` are the constants of float32 that they are made of: names of tensors, or lines.
    """

    value: Array
    makers: tuple[str, ...]
    line: str


@final
@dataclass(frozen=True)
class Replacement:
    """Other numbers for a table, wherever an operation takes it."""

    old: Array
    new: Array

    def of(self, value: Array) -> Array | None:
        """The new numbers, if these are the old ones."""
        if value.shape != self.old.shape or not np.array_equal(value, self.old):
            return None
        return self.new


@final
class Tables:
    """Collects tables while a program runs; values are known by identity, not kept alive."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], frozenset[str] | None]] = {}
        self._found: dict[tuple[tuple[int, ...], bytes], Table] = {}

    @property
    def found(self) -> tuple[Table, ...]:
        """Every table, once, in the order of the program."""
        return tuple(self._found.values())

    def judged(self, value: Any) -> None:
        """A value that is judged, such as a weight: what is made of it is no table."""
        self._known[id(value)] = weakref.ref(value), _JUDGED

    def narrow(self, value: Any, name: str) -> None:
        """A constant that was made in float32."""
        self._known[id(value)] = weakref.ref(value), frozenset({name})

    def ran(
        self,
        inputs: Sequence[tuple[Any, str]],
        outputs: Iterable[Any],
        *,
        line: Callable[[], str],
        numbers: Callable[[Any], Array | None],
    ) -> None:
        """One operation. Each input comes with its name if it is a constant of float32, else "".

        `numbers` gives None for what has no real numbers.
        """
        makers = [self._makers(value, name) for value, name in inputs]
        judged = any(made is _JUDGED for made in makers)
        if judged:
            for (value, _), made in zip(inputs, makers, strict=True):
                if made is not _JUDGED:
                    self._keep(numbers(value), made, line)
        every = frozenset[str]().union(*(made for made in makers if made is not _JUDGED))
        for value in outputs:
            self._known[id(value)] = weakref.ref(value), _JUDGED if judged else every

    def _keep(self, value: Array | None, makers: frozenset[str], line: Callable[[], str]) -> None:
        if value is None or not (makers or value.size > 1) or not np.isfinite(value).all():
            return
        key = value.shape, value.tobytes()
        if key not in self._found:
            self._found[key] = Table(np.array(value), tuple(sorted(makers)), line())

    def _makers(self, value: Any, name: str) -> frozenset[str] | None:
        known = self._known.get(id(value))
        if known is not None and known[0]() is value:
            return known[1]
        return frozenset({name} if name else ())
