"""Does the choice of framework change the outcome? Many seeds, native draws, an equivalence test.

Every run has `rng = "native"`: each framework's own initial values and dropout. The data and its
split are those of the experiment's own seed throughout; what varies is initial values, dropout and
the order of the rows. No two runs of the samples share a seed, so the samples are independent, as
the test assumes; only what an exchange changes is asked of the same seeds, which makes that one
test more careful than it says. Seeds are trained one after another, each in a session of its own;
or together, all in one step by the framework's own vmap (`twofold.engines.seeds`), which is several
times as fast with many seeds (`comparisons/seeds_together.py` measures it; with two seeds PyTorch's
is slower). No rung of the ladder sees that step, so before they are trained its first steps are
certified, seed by seed (`twofold.parity.ladder.many_seeds`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from twofold.engines import registry
from twofold.engines.seeds import open_seeds
from twofold.engines.training import evaluate, train
from twofold.errors import DataError, SpecError
from twofold.parity.ladder.many_seeds import certify_together
from twofold.problem.data import prepare
from twofold.problem.metrics import METRIC_OF_LOSS, MetricName, baseline_of, metric_of, why_no_score
from twofold.problem.problem import Problem
from twofold.results import environment
from twofold.spec.experiment import Experiment
from twofold.studies import equivalence
from twofold.studies.equivalence import Comparison, Verdict
from twofold.studies.exchanged import (
    Difference,
    Exchanged,
    differing_defaults,
    finding_of,
    trials,
    with_defaults_of,
)

SCHEMA: Final = "twofold.outcome/1"
ENGINES: Final = ("torch:eager", "flax:jit")
MARGINS: Final[dict[MetricName, float]] = {"accuracy": 0.01, "R^2": 0.02}
SEED_LIMIT: Final = 2**32


@dataclass(frozen=True)
class Sample:
    """One engine's test metric for each of its seeds; None where training diverged.

    `certified` says what the oracle found of the first steps, where seeds were trained together.
    """

    engine: str
    seeds: tuple[int, ...]
    values: tuple[float | None, ...]
    certified: str | None = None

    @property
    def finished(self) -> tuple[float, ...]:
        """The metrics of the runs that did not diverge."""
        return tuple(value for value in self.values if value is not None)


@dataclass(frozen=True)
class Pair:
    """Two engines compared; `comparison` is None where a run diverged, and `reason` says so.

    Where they differ, `differences` are the defaults that differ between them and `exchanged` what
    came of running the left engine with the right one's.
    """

    left: str
    right: str
    verdict: Verdict
    reason: str
    comparison: Comparison | None
    differences: tuple[Difference, ...] = ()
    exchanged: tuple[Exchanged, ...] = ()


@dataclass(frozen=True)
class OutcomeResult:
    """The samples of every engine and the comparison of every two.

    `baseline` is the metric of a model that ignores its inputs, on the same test rows.
    """

    experiment: Experiment
    environment: dict[str, Any]
    metric: MetricName
    margin: float
    baseline: float
    samples: tuple[Sample, ...]
    pairs: tuple[Pair, ...]

    @property
    def all_diverged(self) -> bool:
        """Whether no run of any engine came to a metric: the training itself is at fault."""
        return not any(sample.finished for sample in self.samples)

    def to_json(self) -> dict[str, Any]:
        """The result in the schema `twofold.outcome/1`."""
        return {
            "schema": SCHEMA,
            "experiment": self.experiment.model_dump(mode="json"),
            "environment": self.environment,
            "metric": self.metric,
            "margin": self.margin,
            "alpha": equivalence.ALPHA,
            "baseline": self.baseline,
            "samples": [asdict(sample) for sample in self.samples],
            "pairs": [asdict(pair) for pair in self.pairs],
        }


def measure(
    experiment: Experiment,
    *,
    seeds: int,
    margin: float | None = None,
    engines: Sequence[str] = ENGINES,
    together: bool = False,
    explain: bool = True,
    on_progress: Callable[[str, int], None] | None = None,
) -> OutcomeResult:
    """Train `seeds` seeds in each engine and compare the final test metrics.

    `margin` is the largest difference that does not matter, stated before the runs; by default
    MARGINS. With `together` each engine's backend trains all seeds in one step, and the engine
    evaluates them; such a sample is named `torch:vmap`. With `explain` an engine that differs is
    trained again with the other's initial values (`twofold.studies.exchanged`). `on_progress` is
    called with the engine and the run, counted from 1. Raises BadInput for fewer than two seeds or
    engines, an experiment without test rows or whose metric has no value on them, or one that
    cannot be trained together; ParityDiverges where a step of all seeds is not what the oracle
    says.
    """
    metric = METRIC_OF_LOSS[experiment.loss.kind]
    stated = MARGINS[metric] if margin is None else margin
    problem = _checked_problem(experiment, seeds, stated, engines)
    if together:
        _require_one_of_each_backend(engines)
        _require_no_validation(problem)
    sample = _sample_together if together else _sample
    samples = tuple(
        sample(engine, problem, _seeds_of(experiment.seed, place, seeds), on_progress)
        for place, engine in enumerate(engines)
    )
    pairs = tuple(
        compare_samples(left, right, stated) for left, right in itertools.combinations(samples, 2)
    )
    if explain:
        pairs = tuple(
            _explained(pair, problem, dict(zip(engines, samples, strict=True)), stated, on_progress)
            for pair in pairs
        )
    return OutcomeResult(
        experiment=problem.experiment,
        environment=environment.describe(),
        metric=metric,
        margin=stated,
        baseline=baseline_of(experiment.loss.kind, problem.train.targets, problem.test.targets),
        samples=samples,
        pairs=pairs,
    )


def _checked_problem(
    experiment: Experiment, seeds: int, margin: float, engines: Sequence[str]
) -> Problem:
    for engine in engines:
        registry.require_framework(registry.find_engine(engine)[0])
    if len(set(engines)) < 2 or len(set(engines)) < len(engines):
        raise SpecError(f"engines: {', '.join(engines)} given; allowed are two or more, each once")
    if seeds < 2:
        raise SpecError(f"seeds: {seeds} given; allowed is 2 or more")
    if experiment.seed + seeds * len(engines) > SEED_LIMIT:
        raise SpecError(f"seed: {experiment.seed} given, too large for {seeds} seeds an engine")
    if not 0 < margin < float("inf"):
        raise SpecError(f"margin: {margin} given; allowed is a finite number above 0")
    problem = prepare(experiment.model_copy(update={"rng": "native"}))
    if problem.test.rows == 0:
        raise SpecError("data.test_fraction: no test rows; the outcome is a metric on test rows")
    reason = why_no_score(experiment.loss.kind, problem.test.targets)
    if reason is not None:
        raise DataError(f"data.test_fraction: {experiment.data.test_fraction:g} given: {reason}")
    return problem


def _seeds_of(first: int, place: int, count: int) -> tuple[int, ...]:
    """The seeds of one engine; no other engine has any of them."""
    return tuple(range(first + place * count, first + (place + 1) * count))


def _sample(
    engine: str,
    problem: Problem,
    seeds: tuple[int, ...],
    on_progress: Callable[[str, int], None] | None,
) -> Sample:
    values: list[float | None] = []
    for number, seed in enumerate(seeds, start=1):
        if on_progress is not None:
            on_progress(engine, number)
        experiment = problem.experiment.model_copy(update={"seed": seed})
        session = registry.open_session(replace(problem, experiment=experiment), engine)
        score = train(session).score
        values.append(None if score is None else score.value)
    return Sample(engine, seeds, tuple(values))


def _require_one_of_each_backend(engines: Sequence[str]) -> None:
    if len({engine.partition(":")[0] for engine in engines}) < len(engines):
        raise SpecError(
            f"engines: {', '.join(engines)} given; allowed is one of each backend where the seeds "
            "are trained together"
        )


def _require_no_validation(problem: Problem) -> None:
    """Each seed would end at another epoch, and have another best one."""
    if problem.validation is not None:
        fraction = problem.experiment.data.validation_fraction
        raise SpecError(
            f"data.validation_fraction: {fraction:g} given; allowed is 0 where the seeds are "
            "trained together, for each has a best epoch of its own; train the seeds one by one"
        )


def _sample_together(
    engine: str,
    problem: Problem,
    seeds: tuple[int, ...],
    on_progress: Callable[[str, int], None] | None,
) -> Sample:
    """All seeds trained in one step by the engine's backend, evaluated in the engine."""
    backend = engine.partition(":")[0]
    if on_progress is not None:
        on_progress(f"{backend}:vmap", len(seeds))
    certificate = certify_together(problem, seeds, backend)
    trained = open_seeds(problem, seeds, backend)
    losses = trained.run(problem.total_steps)  # (steps, seeds)
    session = registry.open_session(problem, engine)
    loss, test = problem.experiment.loss.kind, problem.test
    values: list[float | None] = []
    for number in range(len(seeds)):
        if not np.isfinite(losses[:, number]).all():
            values.append(None)
            continue
        session.load_state(trained.state(number))
        logits = evaluate(session, test.inputs)
        known = np.isfinite(logits).all()
        value = metric_of(loss, logits, test.targets) if known else np.nan
        values.append(value if np.isfinite(value) else None)
    return Sample(f"{backend}:vmap", seeds, tuple(values), certificate.words)


def _explained(
    pair: Pair,
    problem: Problem,
    samples: Mapping[str, Sample],
    margin: float,
    on_progress: Callable[[str, int], None] | None,
) -> Pair:
    """The pair with the default that accounts for a difference, one engine run with the other's."""
    if pair.verdict != "different" or pair.comparison is None:
        return pair
    engine, other = (
        next(name for name, sample in samples.items() if sample.engine == wanted)
        for wanted in (pair.left, pair.right)
    )
    differences = differing_defaults(engine, other)
    done: list[Exchanged] = []
    for defaults in trials(differences):
        changed = with_defaults_of(problem, engine, other, defaults)
        sample = _sample(engine, changed, samples[engine].seeds, on_progress)
        found = compare_samples(sample, samples[other], margin)
        change = compare_samples(samples[engine], sample, margin).comparison
        finding = finding_of(pair.comparison, found.comparison, change)
        reason = f"{_difference_words(pair.comparison, found.comparison)}{found.reason}"
        values = (sample.seeds, sample.values)
        done.append(Exchanged(defaults, engine, other, finding, reason, *values))
        if finding == "accounts for it":
            break
    return replace(pair, differences=differences, exchanged=tuple(done))


def _difference_words(before: Comparison, after: Comparison | None) -> str:
    """By how much the means differ, before and after."""
    if after is None:
        return ""
    return f"the means differ by {after.difference:+.4f}, by {before.difference:+.4f} before; "


def compare_samples(left: Sample, right: Sample, margin: float) -> Pair:
    """The verdict on two engines; a run that diverged has no metric and leaves it undecided."""
    lost = sum(sample.values.count(None) for sample in (left, right))
    if lost:
        reason = f"{lost} of {len(left.values) + len(right.values)} runs diverged"
        return Pair(left.engine, right.engine, "undecided", reason, None)
    found = equivalence.compare(left.finished, right.finished, margin)
    return Pair(left.engine, right.engine, found.verdict, reason_of(found), found)


def reason_of(found: Comparison) -> str:
    """The verdict's reason as a sentence with its figures."""
    level = f"{1 - 2 * found.alpha:.0%}"
    interval = f"{level} interval {found.low:+.4f} to {found.high:+.4f}"
    margin = f"the margin of {found.margin:g}"
    if found.verdict == "equivalent":
        return f"{interval} lies within {margin}"
    if found.verdict == "different":
        return f"{interval} lies beyond {margin}"
    if found.samples_to_decide is None:
        return f"{interval} crosses {margin}; no number of seeds would decide at this difference"
    return f"{interval} crosses {margin}; about {found.samples_to_decide} seeds would decide"
