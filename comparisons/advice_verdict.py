"""The verdict on the advice: scores of all ways of predicting, as a result and as a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from twofold.studies.advice.advise import SURENESS, advise
from twofold.studies.advice.calibrate import Calibration
from twofold.studies.advice.measured_point import Point, points_to_json
from twofold.studies.advice.predictors import score_all
from twofold.studies.advice.resampled import DRAWS, MeanScore, resampled
from twofold.studies.advice.score import Score, Truth, by_workload
from twofold.timing.disturbance import busy_limit

LARGEST_ERROR: Final = 0.20
SMALLEST_RIGHT: Final = 0.90
MANY_STEPS: Final = 10**9
"""So many that only the steps count, not the start."""


def scores_of(calibration: Calibration, points: Sequence[Point]) -> dict[str, Any]:
    """The scores with all that they were made from."""
    truths = [Truth(*item) for item in by_workload(points).items()]
    scores = score_all(calibration.points, truths)
    way = calibration.choice.way.name
    used = next(item for item in scores if item.name == way)
    redrawn = resampled([*calibration.points, *points], len(calibration.workloads))
    return {
        "workloads": len(truths),
        "calibration_points": len(calibration.points),
        "calibration_seconds": calibration.seconds,
        "scores": [item.to_json() for item in scores],
        "targets": {"median_error": LARGEST_ERROR, "share_right": SMALLEST_RIGHT},
        "way": way,
        "met": meets_targets(used),
        "beats_others": beats(way, scores),
        "resampled": {
            "draws": DRAWS,
            "scores": [item.to_json() for item in redrawn],
            "beats_others": beats(way, redrawn),
        },
        "sureness": sureness_of(calibration, truths),
        "errors": errors_of(calibration, truths),
        "first_step_errors": first_step_errors_of(calibration, points),
        "points": points_to_json(points),
    }


def meets_targets(used: Score) -> bool:
    """Whether the way that the advice uses is as good as asked for."""
    return (
        used.median_error is not None
        and used.median_error <= LARGEST_ERROR
        and used.share_right is not None
        and used.share_right >= SMALLEST_RIGHT
    )


def beats(way: str, scores: Sequence[Score] | Sequence[MeanScore]) -> bool:
    """Whether a way is as good as all others in winners and losses, and better in step times."""
    used = next((item for item in scores if item.name == way), None)
    return used is not None and all(
        (used.share_right or 0.0) >= (other.share_right or 0.0)
        and used.lost <= other.lost
        and (
            used.median_error is None
            or other.median_error is None
            or used.median_error < other.median_error
        )
        for other in scores
        if other is not used
    )


def sureness_of(calibration: Calibration, truths: Sequence[Truth]) -> dict[str, dict[str, int]]:
    """How often the quickest engine was named rightly, by how sure the advice said to be."""
    found = {word: {"right": 0, "of": 0} for word in SURENESS}
    for truth in truths:
        models = {engine: calibration.predictors[engine] for engine in truth.step_s}
        given = advise(models, truth.workload, MANY_STEPS, calibration.workloads)
        found[given.sureness]["of"] += 1
        found[given.sureness]["right"] += given.best.engine == truth.best
    return found


def errors_of(calibration: Calibration, truths: Sequence[Truth]) -> dict[str, list[float]]:
    """Step time as the advice predicts it over the measured one, for each engine and workload."""
    return {
        engine: [
            predictor.step_s(truth.workload) / truth.step_s[engine]
            for truth in truths
            if engine in truth.step_s
        ]
        for engine, predictor in calibration.predictors.items()
    }


def first_step_errors_of(
    calibration: Calibration, points: Sequence[Point]
) -> dict[str, list[float]]:
    """Predicted over measured seconds of the first step, compiling included, for each engine."""
    found: dict[str, list[float]] = {engine: [] for engine in calibration.models}
    for point in points:
        model = calibration.models[point.engine]
        predicted = model.first_step_s(point.workload, first_in_process=point.first)
        found[point.engine].append(predicted / point.first_step_s)
    return found


def table(result: Mapping[str, Any]) -> list[str]:
    """The scores, then the error of each engine."""
    redrawn = result["resampled"]
    lines = [
        f"{'':28} median error   right winner   slower than the best by",
        *(_row(item, f"{item['right']} of {item['clear']}") for item in result["scores"]),
        f"the same, on average over {redrawn['draws']} redrawn calibrations:",
        *(_row(item, f"{item['share_right']:.1%}") for item in redrawn["scores"]),
    ]
    if result["other_cores"] is not None and result["other_cores"] > busy_limit(1):
        lines.append(f"other programs kept {result['other_cores']:.1f} processors busy meanwhile")
    lines.append(f"the advice uses: {result['way']}")
    met = "met" if result["met"] else "NOT met"
    lines.append(f"targets: error at most 20 %, winner right in at least 90 %: {met}")
    for where, verdict in (("here", result), ("over the redrawn ones", redrawn)):
        answer = "yes" if verdict["beats_others"] else "NO"
        lines.append(f"at least as good as the other ways in all, {where}: {answer}")
    for word, counts in result["sureness"].items():
        lines.append(f"where it is {word}: right in {counts['right']} of {counts['of']}")
    return [*lines, *_engine_rows(result)]


def _row(item: Mapping[str, Any], right: str) -> str:
    error = "-" if item["median_error"] is None else f"{item['median_error']:.0%}"
    return f"{item['name']:28} {error:>12} {right:>14} {item['lost']:>25.1%}"


def _engine_rows(result: Mapping[str, Any]) -> Iterator[str]:
    """Median errors of each engine; where all lean to one side, the machine changed its speed."""
    yield f"{'':28} {'step off by':>12} {'predicted/measured':>20} {'first step off by':>18}"
    for engine, ratios in result["errors"].items():
        if ratios:
            first = typical_error(result["first_step_errors"][engine])
            step, lean = typical_error(ratios), statistics.median(ratios)
            row = f"{engine:28} {step:>12.0%} {lean:>20.2f} {first:>18.0%}"
            yield f"{row}   {len(ratios)} workloads"


def typical_error(ratios: Sequence[float]) -> float:
    """The median of how far ratios are from one."""
    return statistics.median(abs(ratio - 1) for ratio in ratios)
