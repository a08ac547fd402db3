"""What a program computes of its batch, operation by operation."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, final

from twofold.port.where.prints import Array, fingerprint

LOSS: Final = "(loss)"
"""The place of what the loss computes from the outputs."""

_SOURCE: Final = -1


@final
@dataclass(frozen=True)
class Operation:
    """One operation of a run that depends on the batch.

    `name` is the framework's own, `line` the person's ("" if unknown), `module` the place of the
    innermost module that runs it ("" for the model itself). `prints` are fingerprints of its
    results, `after` the places in the sequence of those whose results it takes. `moves` says that
    it only moves or copies numbers. `constants` are plain numbers that it takes.
    """

    name: str
    line: str
    module: str
    prints: tuple[Array, ...]
    after: tuple[int, ...]
    moves: bool
    constants: tuple[float, ...] = ()


@final
class Recorder:
    """Collects operations while a program runs; values are known by identity, not kept alive."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._made: dict[int, tuple[weakref.ref[Any], int]] = {}

    def source(self, value: Any) -> None:
        """A value that the program starts from, or goes on from in place of its own."""
        self._made[id(value)] = weakref.ref(value), _SOURCE

    def add(
        self,
        name: str,
        inputs: Iterable[Any],
        outputs: Iterable[Any],
        *,
        line: Callable[[], str],
        module: str,
        moves: bool,
        numbers: Callable[[Any], Array],
        constants: Iterable[float] = (),
    ) -> None:
        """One operation, unless nothing that it takes comes from a source."""
        origins = {origin for value in inputs if (origin := self._origin(value)) is not None}
        if not origins:
            return
        place = len(self.operations)
        results = list(outputs)
        prints = [fingerprint(numbers(value)) for value in results]
        after = tuple(sorted(origin for origin in origins if origin != _SOURCE))
        known = tuple(found for found in prints if found is not None)
        plain = tuple(constants)
        self.operations.append(Operation(name, line(), module, known, after, moves, plain))
        for value in results:
            self._made[id(value)] = weakref.ref(value), place

    def _origin(self, value: Any) -> int | None:
        found = self._made.get(id(value))
        return found[1] if found is not None and found[0]() is value else None
