"""States as engines hold them, and the way in which processes write and read one together.

A `TrainState` is the whole state in NumPy. An engine of several processes may hold a state in
parts, and none of them the whole. What it can do then, it does with a `Held`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Held:
    """A train state after `step` steps; `state` is as its engine holds it, and for it alone."""

    step: int
    state: Any


class Parts(ABC):
    """How the processes of a world write a state, each its own part, and read it.

    All processes call the same methods in the same order, and see the same folders. `form` names
    the library that writes, and what it writes. `scattered` says whether the state lies in parts;
    else every process has all of it.
    """

    form: str
    scattered: bool

    @abstractmethod
    def write(self, held: Held, folder: Path) -> None:
        """Write a state into a new folder, whose parent is there.

        Returns when this process's part is written. Raises ResultError where it cannot be.
        """

    @abstractmethod
    def read(self, folder: Path, step: int) -> Held:
        """Read what any number of processes wrote after so many steps; nothing is unpickled.

        Whoever calls has made sure that the files are those that were written. Raises DataError
        for a state of another problem.
        """

    @abstractmethod
    def first_says(self, answer: bool) -> bool:
        """The first process's answer, in all of them. None returns before all have come."""

    @abstractmethod
    def require_same(self, fingerprint: bytes) -> None:
        """Raise DataError where the processes have different fingerprints, of 32 bytes."""
