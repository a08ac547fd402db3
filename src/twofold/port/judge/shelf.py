"""All runs of one question: in memory where they are small, else on disk a tensor at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, final

import numpy as np

from twofold.port.side import Array
from twofold.port.twins import Lazy
from twofold.temporary import temporary_folder

IN_MEMORY: Final = 2**25
"""Bytes of one run up to which runs stay in memory: four million numbers."""


@final
class Filed:
    """An array in a file, which can be read piece by piece."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.shape: tuple[int, ...] = self._mapped().shape
        self.size = int(np.prod(self.shape))

    def whole(self) -> Array:
        """All of it."""
        return np.asarray(np.load(self._path))

    def __getitem__(self, flat: int | slice) -> Array:
        """A piece, by its place in the flattened array."""
        return np.array(self._mapped().reshape(-1)[flat])

    def _mapped(self) -> Array:
        return np.asarray(np.load(self._path, mmap_mode="r"))


@final
class Shelf:
    """Tensors of several runs by name. Above the limit each goes to a file that ends with it."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._limit = in_memory
        self._runs: dict[str, list[Array | Filed]] = defaultdict(list)
        self._resources = ExitStack()
        self._folder: Path | None = None
        self._files = 0

    def add(self, run: Mapping[str, Array]) -> None:
        """Put one run on the shelf. Runs come in order, the point first."""
        to_disk = sum(value.nbytes for value in run.values()) > self._limit
        for name in run:
            self._runs[name].append(self._filed(run[name]) if to_disk else np.array(run[name]))

    def __contains__(self, name: str) -> bool:
        return name in self._runs

    def names(self) -> tuple[str, ...]:
        """Every name that the point has."""
        return tuple(self._runs)

    def stored(self, name: str) -> list[Array | Filed]:
        """One tensor of all runs, where they are."""
        return list(self._runs[name])

    def runs(self, name: str) -> list[Array]:
        """One tensor of all runs, in memory."""
        return [self.one(name, run) for run in range(len(self._runs[name]))]

    def one(self, name: str, run: int) -> Array:
        """One tensor of one run, in memory."""
        item = self._runs[name][run]
        return item.whole() if isinstance(item, Filed) else item

    def close(self) -> None:
        """Remove the files."""
        self._runs.clear()
        self._folder = None
        self._resources.close()

    def _filed(self, value: Array) -> Filed:
        if self._folder is None:
            self._folder = self._resources.enter_context(temporary_folder())
        self._files += 1
        path = self._folder / f"{self._files}.npy"
        np.save(path, value)
        return Filed(path)


@final
class Points:
    """The state before each step of an optimizer: the first as it is given, the others shelved."""

    def __init__(self, first: Mapping[str, Array], steps: int) -> None:
        self._states = [first]
        self._shelf = Shelf(IN_MEMORY // max(steps, 1))

    def __getitem__(self, step: int) -> Mapping[str, Array]:
        return self._states[step]

    def add(self, tensors: Mapping[str, Array]) -> None:
        """The state after the last step."""
        after = {name: tensors[name] for name in self._states[0] if name in tensors}
        self._shelf.add(after)
        run = len(self._states) - 1
        self._states.append(Lazy({name: partial(self._shelf.one, name, run) for name in after}))

    def close(self) -> None:
        """Remove what was shelved."""
        self._shelf.close()
