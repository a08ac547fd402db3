"""How far two runs are apart, step by step; what is not finite is never near."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from twofold.problem.state import Parameters

PARTED: Final = 1e-5
"""Two runs have parted where a tensor's relative distance is above this: about a hundred units in
the last place of float32."""

Kind = Literal["from float64", "between engines", "noise floor"]
Trajectory = list[Parameters]


@dataclass(frozen=True)
class Parting:
    """A tensor and the first sampled step at which its distance is above PARTED or not finite."""

    tensor: str
    step: int


@dataclass(frozen=True)
class NotFinite:
    """A run and the first sampled step at which one of its parameters is not finite.

    At `last_finite` all of them still are; 0 for the initial state.
    """

    run: str
    step: int
    last_finite: int

    @property
    def words(self) -> str:
        """`torch:eager is not finite from step 9 on`, as far as the sampled steps tell."""
        if self.last_finite == self.step - 1:
            return f"{self.run} is not finite from step {self.step:,} on"
        return f"{self.run} is not finite at step {self.step:,} (finite at {self.last_finite:,})"


@dataclass(frozen=True)
class Curve:
    """The distance of two runs at each sampled step; not finite where a parameter is not.

    `distance` is |left - right| / |right| in the 2-norm over all parameters, `tensors` the same of
    each tensor. `right` is `float64` or another engine; of a noise floor both are one engine.
    """

    kind: Kind
    left: str
    right: str
    steps: tuple[int, ...]
    distance: tuple[float, ...]
    tensors: Mapping[str, tuple[float, ...]]

    @property
    def partings(self) -> tuple[Parting, ...]:
        """The tensors that part, in the order in which they do."""
        found = (
            Parting(name, next(s for s, d in zip(self.steps, values, strict=True) if _parted(d)))
            for name, values in self.tensors.items()
            if any(_parted(value) for value in values)
        )
        return tuple(sorted(found, key=lambda parting: parting.step))

    def to_json(self) -> dict[str, Any]:
        """The curve in JSON's own types; the partings are spelt out."""
        return {
            "kind": self.kind,
            "left": self.left,
            "right": self.right,
            "distance": list(self.distance),
            "tensors": {name: list(values) for name, values in self.tensors.items()},
            "partings": [{"tensor": p.tensor, "step": p.step} for p in self.partings],
        }


def _parted(distance: float) -> bool:
    """What is not finite is not near."""
    return not distance <= PARTED


def runs_not_finite(runs: Mapping[str, Trajectory], steps: Sequence[int]) -> Iterator[NotFinite]:
    """The runs that leave the range of their numbers, and when."""
    for name, run in runs.items():
        step = first_beyond(run, steps, np.inf)
        if step is not None:
            yield NotFinite(name, step, (0, *steps)[steps.index(step)])


def first_beyond(run: Trajectory, steps: Sequence[int], largest: float) -> int | None:
    """The first sampled step at which a parameter is not finite, or larger than `largest`."""
    for parameters, step in zip(run, steps, strict=True):
        for array in parameters.values():
            if not np.all(np.isfinite(array) & (np.abs(array) <= largest)):
                return step
    return None


def curve(
    kind: Kind,
    left: tuple[str, Trajectory],
    right: tuple[str, Trajectory],
    steps: tuple[int, ...],
) -> Curve:
    """The distances of two named trajectories."""
    pairs = list(zip(left[1], right[1], strict=True))
    names = list(right[1][0])
    tensors = {
        name: tuple(relative_distance({"": a[name]}, {"": b[name]}) for a, b in pairs)
        for name in names
    }
    overall = tuple(relative_distance(a, b) for a, b in pairs)
    return Curve(kind, left[0], right[0], steps, overall, tensors)


def relative_distance(left: Parameters, right: Parameters) -> float:
    """|left - right| / |right|, 2-norms over all tensors in float64; absolute where right is zero.

    Not-a-number where a parameter is not finite.
    """
    wide = [array.astype(np.float64) for array in right.values()]
    other = [left[name].astype(np.float64) for name in right]
    if not all(np.isfinite(array).all() for array in (*wide, *other)):
        return float("nan")
    # Scaled by a power of two, so that no square overflows.
    largest = max(
        (float(np.abs(array).max()) for array in (*wide, *other) if array.size), default=0
    )
    scale = 2.0 ** -max(0, int(np.frexp(largest)[1]))
    square = sum(
        float(np.sum((a * scale - b * scale) ** 2)) for a, b in zip(other, wide, strict=True)
    )
    size = sum(float(np.sum((array * scale) ** 2)) for array in wide)
    if size == 0:
        return float(np.sqrt(square)) / scale
    return float(np.sqrt(square) / np.sqrt(size))
