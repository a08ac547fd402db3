"""Do both reach the same result? The test metric of each engine beside the others."""

from __future__ import annotations

from dataclasses import dataclass

from twofold.report.evidence import Result, experiment_name


@dataclass(frozen=True)
class TrainedEngine:
    """One engine's outcome; the metric is None when training diverged or has no test rows."""

    engine: str
    outcome: str
    value: float | None
    last_loss: float | None
    steps: int
    training_seconds: float


@dataclass(frozen=True)
class ExperimentTraining:
    """All engines on one experiment; `spread` is the largest difference of their metrics.

    `spread_rows` is the same as a number of test rows, for accuracy alone.
    """

    experiment: str
    seed: int
    metric: str | None
    baseline: float | None
    rows: int
    engines: tuple[TrainedEngine, ...]
    spread: float | None
    spread_rows: int | None

    @property
    def steps(self) -> int:
        """The steps that the longest training took."""
        return max(engine.steps for engine in self.engines)


def find_training(
    results: tuple[Result, ...], engine_order: tuple[str, ...] = ()
) -> tuple[ExperimentTraining, ...]:
    """One finding for each experiment, by name.

    Engines come in `engine_order`, those that it lacks after the others.
    """
    rank = {engine: place for place, engine in enumerate(engine_order)}
    results = tuple(sorted(results, key=lambda result: rank.get(result["engine"], len(rank))))
    results = tuple(sorted(results, key=experiment_name))
    by_experiment: dict[str, list[Result]] = {}
    for result in results:
        by_experiment.setdefault(experiment_name(result), []).append(result)
    return tuple(_experiment(name, members) for name, members in by_experiment.items())


def _experiment(name: str, members: list[Result]) -> ExperimentTraining:
    found = (member["score"] for member in members)
    scores = [score for score in found if score is not None and score["value"] is not None]
    values = [score["value"] for score in scores]
    spread = max(values) - min(values) if len(values) > 1 else None
    metric, rows = (scores[0]["name"], scores[0]["rows"]) if scores else (None, 0)
    counted = spread is not None and metric == "accuracy"
    return ExperimentTraining(
        experiment=name,
        seed=members[0]["experiment"]["seed"],
        metric=metric,
        baseline=scores[0]["baseline"] if scores else None,
        rows=rows,
        engines=tuple(_engine(member) for member in members),
        spread=spread,
        spread_rows=round((spread or 0.0) * rows) if counted else None,
    )


def _engine(member: Result) -> TrainedEngine:
    score = member["score"]
    return TrainedEngine(
        engine=member["engine"],
        outcome=member["outcome"],
        value=None if score is None else score["value"],
        last_loss=member["epochs"][-1]["loss"] if member["epochs"] else None,
        steps=member["steps"],
        training_seconds=member["training_seconds"],
    )
