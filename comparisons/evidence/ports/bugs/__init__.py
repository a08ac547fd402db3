"""The mistakes, in a file for each kind; `catalogue()` has all of them."""

from __future__ import annotations

from comparisons.evidence.ports.bugs.bug import Bug


def catalogue() -> tuple[Bug, ...]:
    """Every mistake."""
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
    return tuple(bug for kind in kinds for bug in kind.BUGS)
