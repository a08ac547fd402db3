"""All runs of one question: in memory where they are small, else on disk a tensor at a time."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final, final

import numpy as np

from twofold.port.side import Array

IN_MEMORY: Final = 2**28
"""Bytes of one run up to which runs stay in memory."""


@final
class Shelf:
    """Tensors of several runs by name. Above the limit each goes to a file that ends with it."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._limit = in_memory
        self._runs: dict[str, list[Array | Path]] = defaultdict(list)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
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

    def runs(self, name: str) -> list[Array]:
        """One tensor of all runs."""
        return [
            item if isinstance(item, np.ndarray) else np.load(item) for item in self._runs[name]
        ]

    def close(self) -> None:
        """Remove the files."""
        self._runs.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def _filed(self, value: Array) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="twofold-port-")
        self._files += 1
        path = Path(self._folder.name) / f"{self._files}.npy"
        np.save(path, value)
        return path
