"""Ways of predicting compared over many calibrations, drawn from the workloads of one machine.

One calibration and its 40 further workloads give one score, and where two ways differ by a winner
or two that is chance. So the same measurements are divided again and again.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from twofold.studies.advice.measured_point import Point
from twofold.studies.advice.predictors import score_all
from twofold.studies.advice.score import Score, Truth, by_workload

DRAWS: Final = 50


@dataclass(frozen=True)
class MeanScore:
    """How one way did on average; `median_error` is None for a way that names a winner only."""

    name: str
    median_error: float | None
    share_right: float
    lost: float

    def to_json(self) -> dict[str, Any]:
        """The score in JSON's types."""
        return asdict(self)


def resampled(
    points: Sequence[Point], workloads: int, *, draws: int = DRAWS, seed: int = 0
) -> list[MeanScore]:
    """Every way, learning from some workloads and judged on all others, on average over draws.

    `workloads`: how many a way learns from. Engines that it learns nothing of are not judged.
    Empty where no draw leaves two engines to choose from, with a clear gap between them.
    """
    known = list(dict.fromkeys(point.workload for point in points))
    order = random.Random(seed)
    found: dict[str, list[Score]] = {}
    for _ in range(draws):
        drawn = set(order.sample(known, min(workloads, len(known) - 1)))
        learnt = [point for point in points if point.workload in drawn]
        engines = {point.engine for point in learnt}
        rest = [p for p in points if p.workload not in drawn and p.engine in engines]
        truths = [Truth(*item) for item in by_workload(rest).items() if len(item[1]) > 1]
        for score in score_all(learnt, truths):
            if score.clear:
                found.setdefault(score.name, []).append(score)
    return [_mean(name, scores) for name, scores in found.items()]


def _mean(name: str, scores: Sequence[Score]) -> MeanScore:
    errors = [score.median_error for score in scores if score.median_error is not None]
    return MeanScore(
        name,
        statistics.fmean(errors) if errors else None,
        statistics.fmean(score.right / score.clear for score in scores),
        statistics.fmean(score.lost for score in scores),
    )
