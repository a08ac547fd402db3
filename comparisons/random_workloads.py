"""Workloads that nobody tuned: random ones within the range of the calibration's.

And the options of the scripts that measure them.
"""

from __future__ import annotations

import argparse
import random

from comparisons.folders import add_folder_options
from twofold.spec.experiment import Experiment
from twofold.studies.advice.design import Shape, experiment_of


def drawn(count: int, seed: int) -> list[Experiment]:
    """Random workloads; fewer of the same seed are the first of these."""
    order = random.Random(seed)
    return [random_workload(order) for _ in range(count)]


def random_workload(order: random.Random) -> Experiment:
    """A workload within the range of the calibration's, and none of them."""
    depth = order.choice((1, 1, 2, 2, 3))
    shape = Shape(
        rows=power(order, 3, 9),
        hidden=tuple(power(order, 4, 9) for _ in range(depth)),
        in_features=power(order, 3, 7),
        dropout=order.choice((0.0, 0.2)),
        optimizer=order.choice(("adamw", "adamw", "sgd")),
    )
    return experiment_of(shape, "auto")


def power(order: random.Random, low: int, high: int) -> int:
    """A whole number between two powers of two, small and large ones alike."""
    return round(2 ** order.uniform(low, high))


def add_workload_options(
    parser: argparse.ArgumentParser, *, workloads: int, seconds: float, seed: int
) -> None:
    """How many workloads, how long, with how many threads, and where the result goes."""
    parser.add_argument("--workloads", type=int, default=workloads)
    parser.add_argument("--seconds", type=float, default=seconds, help="of rounds on each workload")
    parser.add_argument("--threads", type=int, help="processors and threads for each engine")
    parser.add_argument("--seed", type=int, default=seed)
    add_folder_options(parser)
