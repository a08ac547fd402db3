"""Compile caches on disk: one for each engine, and copies of what several have compiled.

A cold start is measured with a cache that is empty. What the engine compiles there and in its
warm-up lies in it afterwards: the engine's further processes, a start with a full cache, and its
certification find it, so that no program is compiled twice. Certification works on a copy, to which
it adds what only parity asks for; so a full cache holds what timed processes compiled, and nothing
else.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from twofold.backends.installed import backend_of


@dataclass(frozen=True)
class CompileCaches:
    """The caches of one measurement, in a folder of their own."""

    folder: Path

    def of_engine(self, engine: str) -> Path:
        """The cache of an engine's timed processes, empty until one compiles."""
        return self._made(engine.replace(":", "-"))

    def copies(self, engines: Sequence[str]) -> Mapping[str, Path]:
        """A cache for each backend: copies of what its timed `engines` compiled.

        Keys of programs are made of what is compiled, so copies of several lie in one folder.
        """
        copied = {name: self._made(f"parity-{name}") for name in map(backend_of, engines)}
        for engine in engines:
            shutil.copytree(self.of_engine(engine), copied[backend_of(engine)], dirs_exist_ok=True)
        return copied

    def _made(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path
