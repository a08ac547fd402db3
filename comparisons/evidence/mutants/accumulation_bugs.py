"""Bugs of adding up the gradients of micro-batches."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

from comparisons.evidence.mutants.hosts import Host
from comparisons.evidence.mutants.mutant import Mutant, Plant
from twofold.problem.micro_batches import Part

THEME: Final = "micro-batches"
BASE: Final = "classes, in parts"
Parts = tuple[Part, ...]


def cut(change: Callable[[Parts], Parts]) -> Plant:
    """The parts of every batch are changed after it was cut."""

    def plant(host: Host) -> AbstractContextManager[Any]:
        room = host.module("accumulation")
        original = room.parts_of
        return patch.object(room, "parts_of", lambda *given: change(original(*given)))

    return plant


def shares(share: Callable[[Part, Parts], float]) -> Plant:
    """Other weights for the parts."""
    return cut(lambda parts: tuple(replace(part, share=share(part, parts)) for part in parts))


def masks(pick: Callable[[slice], slice]) -> Plant:
    """Other rows of the whole batch's masks."""

    def plant(host: Host) -> AbstractContextManager[Any]:
        room = host.module("accumulation")
        original = room.rows_of
        return patch.object(room, "rows_of", lambda given, rows: original(given, pick(rows)))

    return plant


def _cleared(host: Host) -> AbstractContextManager[Any]:
    """Gradients are set to zero before each part; the loss is the right one."""
    program = host.module("program")
    if host.is_torch:
        original = program.Program.add_gradients

        def last(self: Any, *given: Any) -> Any:
            self.optimizer.zero_grad(set_to_none=True)
            return original(self, *given)

        return patch.object(program.Program, "add_gradients", last)
    accumulated = program.accumulated
    return patch.object(program, "accumulated", lambda parts: (accumulated(parts)[0], parts[-1][1]))


def _mutant(name: str, description: str, plant: Plant) -> Mutant:
    return Mutant(name, THEME, description, BASE, plant=plant)


MUTANTS: Final = (
    _mutant("parts-not-scaled", "the parts' means are added unscaled", shares(lambda *_: 1.0)),
    _mutant(
        "parts-weighted-equally",
        "the mean of the parts' means, where the parts are unequal",
        shares(lambda _, parts: 1.0 / len(parts)),
    ),
    _mutant(
        "parts-weighted-by-the-first",
        "every part is taken for one as large as the first",
        shares(lambda _, parts: parts[0].share),
    ),
    _mutant("last-part-forgotten", "the last part is left out", cut(lambda parts: parts[:-1])),
    _mutant("gradients-cleared-between-parts", "only the last part's gradient is left", _cleared),
    _mutant(
        "same-masks-for-each-part",
        "each part draws its masks from the step's key: all get the first rows'",
        masks(lambda rows: slice(0, rows.stop - rows.start)),
    ),
)
