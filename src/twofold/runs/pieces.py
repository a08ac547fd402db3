"""Where a training may stop and go on: at the ends of epochs, and every so many steps.

A session takes several steps in one call, and its state can be read between calls only. A run that
goes on after a stop has to make the same calls as one that never stopped, or its programs, and with
them its roundings, might be others. So the calls are cut at places that depend on the step alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from twofold.problem.problem import Problem


@dataclass(frozen=True)
class Piece:
    """Steps that one call takes: `steps` of them, in `epoch` (counted from 1).

    `after` is the number of steps taken when it has ended; `ends_epoch` whether it is the last of
    its epoch.
    """

    steps: int
    epoch: int
    after: int
    ends_epoch: bool


def pieces(problem: Problem, taken: int, every: int | None) -> Iterator[Piece]:
    """The calls from `taken` steps to the experiment's end; `every` cuts at its multiples too."""
    total, of_epoch = problem.total_steps, problem.steps_per_epoch
    while taken < total:
        epoch, position = divmod(taken, of_epoch)
        stop = min(total, taken - position + of_epoch)
        if every is not None:
            stop = min(stop, (taken // every + 1) * every)
        yield Piece(stop - taken, epoch + 1, stop, stop % of_epoch == 0 or stop == total)
        taken = stop


def is_boundary(problem: Problem, taken: int, every: int | None) -> bool:
    """Whether a run without a stop would have been between two calls after so many steps."""
    at_end = taken % problem.steps_per_epoch == 0 or taken == problem.total_steps
    return at_end or (every is not None and taken % every == 0)
