"""The workloads that a calibration measures: three corners, then points that fill the space."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from twofold.spec.experiment import Device, Experiment

ROWS: Final = (8, 512)
WIDTHS: Final = (16, 512)
IN_FEATURES: Final = (8, 128)
DEPTHS: Final = (2, 1, 3, 2, 3)
DROPOUTS: Final = (0.2, 0.0)
OPTIMIZERS: Final = ("adamw", "adamw", "sgd")
STEPS_PER_EPOCH: Final = 100
"""As in the lesson, about. Beginning an epoch costs some engines several steps: with 8 steps in
an epoch torch:compile-step took 242 us a step where it takes 159 with 100 (Intel Xeon)."""
SPREAD: Final = 29
"""How many workloads the design has beside its corners."""


@dataclass(frozen=True)
class Shape:
    """One workload of the design."""

    rows: int
    hidden: tuple[int, ...]
    in_features: int = 20
    dropout: float = 0.0
    optimizer: str = "adamw"


CORNERS: Final = (
    Shape(64, (128, 128), 20, 0.2),  # the lesson's own
    Shape(ROWS[1], (WIDTHS[1],) * 3, IN_FEATURES[1]),
    Shape(ROWS[0], (WIDTHS[0],), IN_FEATURES[0], 0.2, "sgd"),
)


def spread_shapes(count: int) -> Iterator[Shape]:
    """Shapes that fill the space evenly, however few of them are used.

    Rows, features and widths are logarithmically even: point i has the fractional parts of
    (i + 1/2) g^-1 .. g^-5, where g^6 = g + 1 (the generalised golden ratio; M. Roberts, 2018, "The
    unreasonable effectiveness of quasirandom sequences"). So widths are seldom powers of two,
    which both frameworks are quicker at than at their neighbours. Depth, dropout and optimizer go
    round in cycles of 5, 2 and 3, so that each meets each.
    """
    ratio = _golden(5)
    for index in range(count):
        parts = [(index + 0.5) / ratio ** (power + 1) % 1.0 for power in range(5)]
        depth = DEPTHS[index % len(DEPTHS)]
        yield Shape(
            rows=_between(ROWS, parts[0]),
            hidden=tuple(_between(WIDTHS, part) for part in parts[2 : 2 + depth]),
            in_features=_between(IN_FEATURES, parts[1]),
            dropout=DROPOUTS[index % len(DROPOUTS)],
            optimizer=OPTIMIZERS[index % len(OPTIMIZERS)],
        )


def _golden(dimensions: int) -> float:
    """The positive root of g^(dimensions + 1) = g + 1, by fixed-point iteration."""
    found = 1.5
    for _ in range(100):
        found = (1 + found) ** (1 / (dimensions + 1))
    return found


def _between(limits: tuple[int, int], part: float) -> int:
    low, high = limits
    return round(low * math.pow(high / low, part))


DESIGN: Final = (*CORNERS, *spread_shapes(SPREAD))


def experiment_of(shape: Shape, device: Device) -> Experiment:
    """The experiment that has a shape of the design."""
    return Experiment.load("lesson").with_values(
        name="calibration",
        device=device,
        model__hidden=shape.hidden,
        model__in_features=shape.in_features,
        model__out_features=3,
        model__dropout=shape.dropout,
        optimizer__kind=shape.optimizer,
        **({"optimizer__momentum": 0.9} if shape.optimizer == "sgd" else {}),
        data__rows=STEPS_PER_EPOCH * shape.rows,
        data__batch_size=shape.rows,
        data__test_fraction=0.0,
    )
