"""From the first step to the steady state: how many steps a block needs, and when to begin."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from twofold.errors import EngineFailed
from twofold.timing.clock import Clock, seconds_since
from twofold.timing.protocol import EngineWorker
from twofold.timing.timed_engine import Block

SHORTEST_BLOCK_S: Final = 0.025
CLOCK_SHARE: Final = 1e-3  # the two readings of a block take at most one per mille of it
WINDOW: Final = 5
CLOSE: Final = 0.01
WARM_UP_LIMIT_S: Final = 10.0
ATTEMPTS: Final = 4
MOST_BLOCKS_TO_CALIBRATE: Final = 40


@dataclass(frozen=True)
class WarmUp:
    """How the steady state was reached: blocks run, seconds spent, and whether it was reached."""

    blocks: int
    seconds: float
    steady: bool


def shortest_block(clock_reading_s: float) -> float:
    """Seconds that a block must last."""
    return max(SHORTEST_BLOCK_S, 2 * clock_reading_s / CLOCK_SHARE)


def warm_up(
    worker: EngineWorker, shortest_s: float, clock: Clock, limit_s: float = WARM_UP_LIMIT_S
) -> tuple[int, WarmUp]:
    """Run blocks until their times stop trending; returns steps per block, and how it went.

    The limit counts from the first sizing of blocks, in which programs may still be compiled. An
    engine that still speeds up while its block is sized ends with blocks that are too short: then
    they are sized again. With a limit of 0 blocks are sized and nothing else, for medians of
    many rounds, which the first few do not move.
    """
    start, blocks_run, steps = clock.nanoseconds(), 0, 1
    if limit_s == 0:
        steps, blocks_run = steps_per_block(worker, steps, shortest_s)
        return steps, WarmUp(blocks_run, seconds_since(clock, start), False)
    steady, recent, sized = False, list[Block](), 0
    for _ in range(ATTEMPTS):
        steps, needed = steps_per_block(worker, steps, shortest_s)
        sized = sized or clock.nanoseconds()
        recent = []
        while not (steady := is_steady(recent)) and (
            len(recent) < 2 * WINDOW or seconds_since(clock, sized) < limit_s
        ):
            recent.append(worker.block(steps))
        blocks_run += needed + len(recent)
        if statistics.median(block.seconds for block in recent[-WINDOW:]) >= 0.8 * shortest_s:
            break
    return steps, WarmUp(blocks_run, seconds_since(clock, start), steady)


def steps_per_block(worker: EngineWorker, steps: int, shortest_s: float) -> tuple[int, int]:
    """Steps that last long enough, and the blocks it took to find out.

    Blocks in which something was compiled say nothing of the steps. Raises EngineFailed if every
    block compiles.
    """
    for blocks in range(1, MOST_BLOCKS_TO_CALIBRATE + 1):
        block = worker.block(steps)
        if block.compilations:
            continue
        if block.seconds >= shortest_s:
            return steps, blocks
        steps = longer(block.steps, block.seconds, shortest_s)
    raise EngineFailed(
        f"no steady block in {MOST_BLOCKS_TO_CALIBRATE}: it compiles again and again"
    )


def longer(steps: int, seconds: float, shortest_s: float) -> int:
    """How many steps to try next when some took too little time."""
    growth = 1.2 * shortest_s / max(seconds, 1e-9)
    return math.ceil(steps * min(10.0, max(1.2, growth)))


def is_steady(blocks: Sequence[Block]) -> bool:
    """Whether times stopped trending: the last blocks' median is within the range of those before.

    The two windows of blocks must be free of compilations.
    """
    if len(blocks) < 2 * WINDOW:
        return False
    earlier, later = blocks[-2 * WINDOW : -WINDOW], blocks[-WINDOW:]
    if any(block.compilations for block in (*earlier, *later)):
        return False
    before = [block.step_s for block in earlier]
    now = statistics.median(block.step_s for block in later)
    inside = min(before) <= now <= max(before)
    return inside or abs(now / statistics.median(before) - 1) < CLOSE
