"""Timing a few pieces of code against each other in one process, in turns.

For questions that are not about engines; those are timed by `twofold.timing`, in processes of
their own. Every side is a call that ends synchronised: it returns when its work is done.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

BLOCK_S: Final = 0.01
WARM_UP_S: Final = 0.2
FEWEST_ROUNDS: Final = 10
MOST_ROUNDS: Final = 200

Side = Callable[[], object]


def in_turns(sides: Mapping[str, Side], *, seconds: float) -> dict[str, Any]:
    """Seconds per call of each side, one sample a round, in random order within a round.

    Each side is first called until it is warm; a block repeats a call until it lasts 10 ms. Rounds
    go on until `seconds` are spent, but are at least ten.
    """
    repeats = {name: calls_per_block(side) for name, side in sides.items()}
    samples: dict[str, list[float]] = {name: [] for name in sides}
    order, names = random.Random(0), list(sides)
    end = time.perf_counter() + seconds
    gc.collect()
    gc.disable()
    try:
        for rounds in range(MOST_ROUNDS):
            if rounds >= FEWEST_ROUNDS and time.perf_counter() >= end:
                break
            order.shuffle(names)
            for name in names:
                samples[name].append(block(sides[name], repeats[name]))
    finally:
        gc.enable()
    return {"calls_per_block": repeats, "samples_s": samples}


def calls_per_block(side: Side) -> int:
    """Call a side until it is warm; returns how many calls make a block."""
    side()
    start, calls = time.perf_counter(), 0
    while calls < 2 or time.perf_counter() - start < WARM_UP_S:
        side()
        calls += 1
    each = (time.perf_counter() - start) / calls
    return max(1, round(BLOCK_S / each))


def block(side: Side, calls: int) -> float:
    """Seconds per call, over some calls."""
    start = time.perf_counter()
    for _ in range(calls):
        side()
    return (time.perf_counter() - start) / calls
