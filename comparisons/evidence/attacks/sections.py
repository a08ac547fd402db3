"""The sections of cases, and how many cases the whole of each has."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOME: Final = "comparisons.evidence.attacks"
Attack = Callable[[int, int, Path], str]
"""`attack(seed, number, folder)` runs one case in an empty folder and says what came of it. What it
raises is what came of it, too."""


@dataclass(frozen=True)
class Section:
    """One kind of attack; `attack` as "module:function"."""

    name: str
    cases: int
    attack: str
    about: str


SECTIONS: Final = (
    Section("specs", 20_000, f"{HOME}.specs:attack", "random bad specs and overrides"),
    Section("tables", 5_000, f"{HOME}.tables:attack", "broken tables and arrays, odd options"),
    Section("results", 2_000, f"{HOME}.results:attack", "damaged stored results"),
    Section(
        "checkpoints",
        0,  # as many as there are
        f"{HOME}.checkpoints:attack",
        "every bit of a small checkpoint flipped, and the file cut at every length",
    ),
)


def load(attack: str) -> Attack:
    """A section's function by its "module:function"."""
    module, function = attack.split(":")
    found: Attack = getattr(importlib.import_module(module), function)
    return found
