"""Whether rounds say enough: every engine told from the reference, or known to be alike.

An engine whose blocks scatter needs more rounds than one whose blocks do not. So rounds go on while
a ratio is undecided: its interval reaches beyond the resolution, and does not lie beyond it. That
is looked at a few times only, since an interval that is looked at again and again until it excludes
one does so in the end by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twofold.timing.statistics import (
    RESOLUTION,
    Interval,
    outcome_of,
    paired_ratio,
    resolution_for,
)
from twofold.timing.timed_engine import Block

LOOKS: Final = (1.0, 1.25, 1.5, 2.0)
"""When to look, in multiples of the seconds asked for; after the last the rounds end."""


def is_decided(ratio: Interval, resolution: float = RESOLUTION) -> bool:
    """Whether more rounds could not change what a ratio's interval says, but by chance."""
    if outcome_of(ratio, resolution) != "not distinguishable":
        return True
    return 1 / (1 + resolution) <= ratio.low and ratio.high <= 1 + resolution


def all_decided(runs: Sequence[Sequence[Block]], seed: int) -> bool:
    """Whether every engine is told from the first, or known to be alike.

    `runs` are the engines' blocks, one for each round.
    """
    reference, *others = runs
    return all(_is_decided(blocks, reference, seed) for blocks in others)


def _is_decided(blocks: Sequence[Block], reference: Sequence[Block], seed: int) -> bool:
    step_s, base_s = ([block.step_s for block in side] for side in (blocks, reference))
    pairs = [(one.process, other.process) for one, other in zip(blocks, reference, strict=True)]
    return is_decided(paired_ratio(step_s, base_s, seed, pairs), resolution_for(pairs))
