"""What the further studies found: many seeds, free runs, feeding, other trainers, speed targets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from twofold.report.evidence import Evidence, Result, experiment_name
from twofold.report.parity_findings import unique
from twofold.report.timing_findings import Comparison


@dataclass(frozen=True)
class SeedSample:
    """One engine's final metric over its seeds; `spread` is the standard deviation.

    `lost`: seeds without a metric, such as those that diverged. Mean and spread leave them out.
    """

    engine: str
    seeds: int
    lost: int
    mean: float | None
    spread: float | None


@dataclass(frozen=True)
class SeedVerdict:
    """Whether two engines end in the same place: `equivalent`, `different` or `undecided`."""

    left: str
    right: str
    verdict: str
    reason: str


@dataclass(frozen=True)
class Outcomes:
    """The equivalence test of one experiment."""

    experiment: str
    metric: str
    margin: float
    samples: tuple[SeedSample, ...]
    verdicts: tuple[SeedVerdict, ...]


@dataclass(frozen=True)
class FreeRun:
    """The distance of two runs after the first and after the last step, relative.

    `floor` is what exact symmetries alone make of the left engine's run by the last step.
    """

    left: str
    right: str
    first: float | None
    last: float | None
    floor: float | None
    parted: str


@dataclass(frozen=True)
class FreeRuns:
    """How far free-running trajectories of one experiment are apart; `figure` is its chart."""

    experiment: str
    figure: str
    steps: int
    threshold: float
    runs: tuple[FreeRun, ...]


@dataclass(frozen=True)
class Timed:
    """One subject of a run that times more than engines; None where it was not measured."""

    name: str
    step: float | None
    low: float | None
    high: float | None
    comparison: Comparison | None
    reason: str
    unlike: str


@dataclass(frozen=True)
class TimedTable:
    """All subjects of such a run, the shortest step first."""

    threads: int | None
    reference: str
    subjects: tuple[Timed, ...]


@dataclass(frozen=True)
class SpeedTarget:
    """One target with its figure, its limit in words and what came of it."""

    name: str
    subject: str
    figure: float | None
    low: float | None
    high: float | None
    limit: str
    outcome: str
    reason: str


@dataclass(frozen=True)
class SpeedTargets:
    """All targets at one number of threads."""

    threads: int | None
    targets: tuple[SpeedTarget, ...]


@dataclass(frozen=True)
class StudyFindings:
    """All further studies whose results lie in the folder."""

    outcomes: tuple[Outcomes, ...]
    free_runs: tuple[FreeRuns, ...]
    feeding: tuple[TimedTable, ...]
    peers: tuple[TimedTable, ...]
    targets: tuple[SpeedTargets, ...]


def find_studies(evidence: Evidence) -> StudyFindings:
    """The findings of every further study; empty where there is no result."""
    return StudyFindings(
        outcomes=tuple(_outcomes(result) for result in evidence.outcome),
        free_runs=tuple(
            _free_runs(result, figure)
            for result, figure in zip(
                evidence.divergence, figure_names(evidence.divergence), strict=True
            )
        ),
        feeding=tuple(_timed_table(result) for result in evidence.feeding),
        peers=tuple(_timed_table(result) for result in evidence.peers),
        targets=tuple(_targets(result) for result in evidence.targets),
    )


def figure_names(results: Sequence[Result]) -> list[str]:
    """A name for each result's chart: safe as a file's name, and no two alike.

    Escaped text gives the same names: what an escape adds is not kept.
    """
    names: list[str] = []
    for result in results:
        slug = re.sub(r"[^A-Za-z0-9-]+", "-", experiment_name(result)).strip("-")[:40]
        name = f"divergence-{slug or 'unnamed'}"
        same = sum(
            re.fullmatch(rf"{re.escape(name)}(-no-\d+)?", other) is not None for other in names
        )
        names.append(f"{name}-no-{same + 1}" if same else name)
    return names


def _outcomes(result: Result) -> Outcomes:
    return Outcomes(
        experiment=experiment_name(result),
        metric=result["metric"],
        margin=result["margin"],
        samples=tuple(_sample(sample) for sample in result["samples"]),
        verdicts=tuple(
            SeedVerdict(pair["left"], pair["right"], pair["verdict"], pair["reason"])
            for pair in result["pairs"]
        ),
    )


def _sample(sample: Result) -> SeedSample:
    values = [value for value in sample["values"] if value is not None]
    return SeedSample(
        engine=sample["engine"],
        seeds=len(sample["values"]),
        lost=len(sample["values"]) - len(values),
        mean=fmean(values) if values else None,
        spread=stdev(values) if len(values) > 1 else None,
    )


def _free_runs(result: Result, figure: str) -> FreeRuns:
    floors = {
        engine: max(lasts)
        for engine in unique(curve["left"] for curve in _curves(result, "noise floor"))
        if (lasts := _lasts(result, engine)) and None not in lasts
    }
    between = [*_curves(result, "from float64"), *_curves(result, "between engines")]
    return FreeRuns(
        experiment=experiment_name(result),
        figure=figure,
        steps=result["steps"][-1],
        threshold=result["parted_above"],
        runs=tuple(
            FreeRun(
                left=curve["left"],
                right=curve["right"],
                first=curve["distance"][0],
                last=curve["distance"][-1],
                floor=floors.get(curve["left"]),
                parted=_parted(curve, result["steps"]),
            )
            for curve in between
        ),
    )


def _curves(result: Result, kind: str) -> list[Result]:
    return [curve for curve in result["curves"] if curve["kind"] == kind]


def _lasts(result: Result, engine: str) -> list[Any]:
    """The last distance of each of an engine's noise floors; None where it is not finite."""
    curves = [curve for curve in _curves(result, "noise floor") if curve["left"] == engine]
    return [curve["distance"][-1] for curve in curves]


def _parted(curve: Result, steps: Sequence[int]) -> str:
    """`layers.1.weight at step 288`: what went over the threshold first, or was not finite.

    A distance that is not finite is stored as null; results of old do not count it as a parting.
    """
    lost = [s for s, distance in zip(steps, curve["distance"], strict=True) if distance is None]
    said = [f"not finite at step {lost[0]:,}"] if lost else []
    partings = [p for p in curve["partings"] if not lost or p["step"] < lost[0]]
    if partings:
        step = min(parting["step"] for parting in partings)
        names = [parting["tensor"] for parting in partings if parting["step"] == step]
        said.insert(0, f"{', '.join(names)} at step {step:,}")
    return "; ".join(said) or "none"


def _timed_table(result: Result) -> TimedTable:
    ratios = {ratio["engine"]: ratio for ratio in result["ratios"]}
    unlike = result.get("unlike", {})
    subjects = [
        _timed(timing, ratios.get(timing["engine"]), unlike.get(timing["engine"], ""))
        for timing in result["timings"]
    ]
    subjects.sort(key=lambda subject: (subject.step is None, subject.step or 0.0))
    return TimedTable(result["environment"].get("threads"), result["reference"], tuple(subjects))


def _timed(timing: Result, ratio: Result | None, unlike: str) -> Timed:
    step = timing["step_s"] or {"median": None, "low": None, "high": None}
    comparison = None
    if ratio is not None and None not in (ratio["median"], ratio["low"], ratio["high"]):
        fields = ("engine", "reference", "median", "low", "high", "outcome")
        comparison = Comparison(**{field: ratio[field] for field in fields})
    return Timed(
        name=timing["engine"],
        step=step["median"],
        low=step["low"],
        high=step["high"],
        comparison=comparison,
        reason=timing["reason"] or "",
        unlike=unlike,
    )


def _targets(result: Result) -> SpeedTargets:
    targets = tuple(_target(target) for target in result["targets"])
    return SpeedTargets(result["environment"].get("threads"), targets)


def _target(target: Result) -> SpeedTarget:
    most, least = target["at_most"], target["at_least"]
    return SpeedTarget(
        name=target["name"],
        subject=target["subject"],
        figure=target["figure"],
        low=target["low"],
        high=target["high"],
        limit=f"at most {most:.2f}" if most is not None else f"at least {least:.2f}",
        outcome=target["outcome"],
        reason=target["reason"],
    )
