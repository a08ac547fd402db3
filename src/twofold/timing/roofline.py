"""The limits of this machine: how fast it multiplies matrices, how fast it moves memory.

A step can be no faster than its matrix products at the best rate, nor than its memory traffic at
the best bandwidth (Williams, Waterman, Patterson, *Roofline: an insightful visual performance
model for multicore architectures*, CACM 2009). Both are measured with NumPy, with as many threads
as the engines have, in a process of its own. Bandwidth depends on which cache an array fits into.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from twofold.timing.clock import Clock, seconds_since
from twofold.timing.operations import Work

PRODUCT_SIZES: Final = (256, 512, 1024)
WORKING_SETS: Final = (2**18, 2**20, 2**22, 2**24, 2**27)
SHORTEST_TRIAL_S: Final = 0.02
TRIALS: Final = 5


@dataclass(frozen=True)
class Roofline:
    """Best rates seen: `flops_per_s` of matrix products, bandwidth for growing working sets.

    `bandwidth` holds pairs (bytes of the working set, bytes read and written per second).
    """

    precision: str
    threads: int
    flops_per_s: float
    bandwidth: tuple[tuple[int, float], ...]

    def bandwidth_for(self, working_set_bytes: float) -> float:
        """Bytes per second for a working set; between two that were measured, interpolated."""
        sizes = [math.log(size) for size, _ in self.bandwidth]
        rates = [math.log(rate) for _, rate in self.bandwidth]
        return math.exp(float(np.interp(math.log(max(working_set_bytes, 1.0)), sizes, rates)))

    def shortest_step_s(self, work: Work) -> float:
        """Seconds that a step needs at least: the larger of its two limits."""
        products = work.flops / self.flops_per_s
        return max(products, work.traffic_bytes / self.bandwidth_for(work.working_set_bytes))

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Roofline:
        """The roofline that `dataclasses.asdict` and JSON made of one."""
        pairs = tuple((int(size), float(rate)) for size, rate in given["bandwidth"])
        return cls(given["precision"], given["threads"], given["flops_per_s"], pairs)


def measure_roofline(precision: str, threads: int, clock: Clock) -> Roofline:
    """Measure this machine's limits with some threads; takes about two seconds."""
    rate = max(product_rate(size, precision, clock) for size in PRODUCT_SIZES)
    bandwidth = tuple((size, copy_rate(size, threads, clock)) for size in WORKING_SETS)
    return Roofline(precision, threads, rate, bandwidth)


def product_rate(size: int, precision: str, clock: Clock) -> float:
    """Operations per second of a square matrix product; threads are those of NumPy's BLAS."""
    random = np.random.default_rng(0)
    left, right = (random.random((size, size)).astype(precision) for _ in range(2))
    result = np.empty_like(left)
    return 2 * size**3 / best_seconds(lambda: np.matmul(left, right, out=result), clock)


def copy_rate(working_set: int, threads: int, clock: Clock) -> float:
    """Bytes read and written per second by threads that copy their part of a working set."""
    part = max(1, working_set // 2 // threads)
    sources = [np.ones(part, np.uint8) for _ in range(threads)]
    targets = [np.empty_like(source) for source in sources]
    copies = max(1, 2**22 // part)  # many in a row, so that starting the threads counts little

    def copy(source: Any, target: Any) -> None:
        for _ in range(copies):
            np.copyto(target, source)

    with ThreadPoolExecutor(threads) as pool:
        seconds = best_seconds(lambda: list(pool.map(copy, sources, targets)), clock)
    return 2.0 * part * threads * copies / seconds


def best_seconds(action: Callable[[], object], clock: Clock) -> float:
    """The shortest time of an action, each trial long enough for the clock."""
    action()
    best = math.inf
    for _ in range(TRIALS):
        start, calls = clock.nanoseconds(), 0
        while calls == 0 or seconds_since(clock, start) < SHORTEST_TRIAL_S:
            action()
            calls += 1
        best = min(best, seconds_since(clock, start) / calls)
    return best
