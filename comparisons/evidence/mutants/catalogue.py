"""All mutants."""

from __future__ import annotations

from typing import Final

from comparisons.evidence.mutants import (
    accumulation_bugs,
    call_bugs,
    embedding_bugs,
    feed_bugs,
    loss_bugs,
    model_bugs,
    norm_bugs,
    optimizer_bugs,
    schedule_bugs,
    weighted_loss_bugs,
)
from comparisons.evidence.mutants.mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    *model_bugs.MUTANTS,
    *norm_bugs.MUTANTS,
    *embedding_bugs.MUTANTS,
    *loss_bugs.MUTANTS,
    *optimizer_bugs.MUTANTS,
    *schedule_bugs.MUTANTS,
    *feed_bugs.MUTANTS,
    *accumulation_bugs.MUTANTS,
    *call_bugs.MUTANTS,
    *weighted_loss_bugs.MUTANTS,
)
CONTROLS: Final[tuple[Mutant, ...]] = (
    Mutant("control", "control", "no bug at all", "classes"),
    Mutant("control-in-parts", "control", "no bug at all, micro-batches", "classes, in parts"),
    *norm_bugs.CONTROLS,
    *embedding_bugs.CONTROLS,
    *optimizer_bugs.CONTROLS,
    *call_bugs.CONTROLS,
)


def find(text: str) -> tuple[Mutant, ...]:
    """The mutants whose name or theme contains a text."""
    return tuple(m for m in (*MUTANTS, *CONTROLS) if text in m.name or text in m.theme)
