"""Under which conditions engines are timed, and what they may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from twofold.errors import BadInput
from twofold.results import environment

LARGEST_SEED: Final = 2**32 - 1
MOST_PROCESSES: Final = 64


@dataclass(frozen=True)
class Conditions:
    """How engines are timed, each in processes of its own.

    `threads`: processors and threads for each engine (None: all it may use); `cpus`: which
    processors (None: the first of those that this process may use). `seconds`: what the rounds
    take; parity, cold starts and warm-up come on top. `seed`: of the order of blocks and of the
    resampling. `batch_sizes`: take batches of these sizes in turn, a workload of its own.
    `warm_start`: start each engine once more with a full compile cache. `processes`: how many of
    each engine take turns; with several the intervals hold what differs from one process of a
    program to the next (see `twofold.timing.fleet`). `world`: how many share each batch, in the
    engines that can do that; all others are one (see `twofold.timing.world`).
    """

    threads: int | None = None
    cpus: tuple[int, ...] | None = None
    seconds: float = 20.0
    seed: int = 0
    batch_sizes: tuple[int, ...] = ()
    warm_start: bool = False
    processes: int = 1
    world: int = 1

    def require_possible(self, rows: int) -> None:
        """Raise BadInput for numbers that make no sense for an experiment of some training rows."""
        if not 1 <= self.processes <= MOST_PROCESSES:
            raise BadInput(f"processes: {self.processes} given; allowed is 1 to {MOST_PROCESSES}")
        if not 1 <= self.world <= MOST_PROCESSES:
            raise BadInput(f"world: {self.world} given; allowed is 1 to {MOST_PROCESSES}")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise BadInput(f"seconds: {self.seconds} given; allowed is a number above 0")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise BadInput(f"seed: {self.seed} given; allowed is 0 to {LARGEST_SEED}")
        sizes = self.batch_sizes
        if sizes and not (len(sizes) > 1 and all(1 <= size <= rows for size in sizes)):
            raise BadInput(
                f"batch sizes: {', '.join(map(str, sizes))} given; allowed are two or more of 1 to "
                f"{rows}, the training rows"
            )


def checked_cpus(threads: int | None, cpus: Sequence[int] | None = None) -> tuple[int, ...]:
    """The processors to measure on, one for each thread. Raises BadInput."""
    usable = environment.usable_cpus()
    if cpus is not None:
        absent = sorted(set(cpus) - set(usable))
        if absent or not cpus:
            listed = ", ".join(str(cpu) for cpu in usable)
            raise BadInput(f"cpus: {absent or 'none'} given; allowed on this machine: {listed}")
        usable = tuple(dict.fromkeys(cpus))
    if threads is not None and not 1 <= threads <= len(usable):
        where = "on this machine" if cpus is None else "on the processors given"
        raise BadInput(f"threads: {threads} given; allowed is 1 to {len(usable)} {where}")
    return usable[:threads]
