"""The mistakes, in a file for each kind; `catalogue()` has all of them."""

from __future__ import annotations

from itertools import zip_longest

from comparisons.evidence.ports.bugs.bug import Bug


def catalogue() -> tuple[Bug, ...]:
    """Every mistake; kinds take turns, so that a run that is stopped has seen some of each."""
    from comparisons.evidence.ports.bugs import (
        constants,
        data,
        loss,
        modes,
        optimizer,
        schedule,
        shapes,
        weights,
    )

    kinds = (weights, constants, modes, shapes, loss, optimizer, schedule, data)
    turns = zip_longest(*(kind.BUGS for kind in kinds))
    return tuple(bug for turn in turns for bug in turn if bug is not None)
