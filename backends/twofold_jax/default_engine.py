"""The engine for who does not choose one: how many steps repay the longer compilation."""

from __future__ import annotations

from typing import Final

from twofold.backends.description import EngineChoice
from twofold.problem.problem import Problem

BREAK_EVEN: Final = 500
"""Steps from which `scan` is done before `jit`. On 40 random workloads the median was 485 on one
thread and 334 on two of an Intel Xeon (its stored `advice-score-1-threads.json` and `-2-`): the
difference of the first steps over that of the later ones."""


def default_engine(_: Problem, steps: int) -> EngineChoice:
    """`jit` for few steps, `scan` for many; a compile cache makes both start sooner alike."""
    if steps < BREAK_EVEN:
        return EngineChoice("jit", f"{steps:,} steps are too few to repay compiling a loop of them")
    return EngineChoice("scan", f"{steps:,} steps repay compiling the loop over an epoch's batches")
