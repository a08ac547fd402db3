"""Ways of predicting over many divisions of the same measurements."""

from __future__ import annotations

import pytest

from comparisons.advice_verdict import beats
from twofold.problem.data import prepare
from twofold.studies.advice.design import DESIGN, experiment_of
from twofold.studies.advice.measured_point import Point
from twofold.studies.advice.resampled import MeanScore, resampled
from twofold.studies.advice.workload import Workload, workload_of

MODEL, BEST, NEAREST = "cost model", "always the overall best", "nearest measured neighbour"
WORKLOADS = [workload_of(prepare(experiment_of(shape, "cpu"))) for shape in DESIGN]


def points(engine: str, overhead: float, rate: float, some: list[Workload]) -> list[Point]:
    return [
        Point(engine, w, False, 0.0, 0.0, 0.0, 0, overhead + float(w.terms()[4]) / rate)
        for w in some
    ]


# `a` starts sooner and `b` multiplies faster: which is the quicker depends on the workload.
TWO = [*points("a", 1e-4, 5e10, WORKLOADS), *points("b", 3e-4, 5e11, WORKLOADS)]


def test_the_model_names_more_winners_than_the_simple_ways() -> None:
    scores = {item.name: item for item in resampled(TWO, 15, draws=8)}
    assert set(scores) == {MODEL, BEST, NEAREST}
    assert scores[MODEL].share_right > 0.9
    assert scores[BEST].share_right < 0.75
    assert scores[MODEL].lost < scores[NEAREST].lost < scores[BEST].lost
    assert scores[BEST].median_error is None
    assert beats(MODEL, list(scores.values()))
    assert not beats(NEAREST, list(scores.values()))


def test_draws_are_the_same_each_time_and_others_with_another_seed() -> None:
    first, again, other = (resampled(TWO, 15, draws=3, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_what_is_learnt_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 32 workloads each draw learns from 12 and is judged on the 20 others."""
    import twofold.studies.advice.resampled as module

    seen, original = [], module.score_all

    def spy(learnt, truths):
        seen.append(({point.workload for point in learnt}, {truth.workload for truth in truths}))
        return original(learnt, truths)

    monkeypatch.setattr(module, "score_all", spy)
    resampled(TWO, 12, draws=4)
    assert [(len(learnt), len(judged)) for learnt, judged in seen] == [(12, 20)] * 4
    assert not any(learnt & judged for learnt, judged in seen)
    assert len({frozenset(learnt) for learnt, _ in seen}) == 4


def test_an_engine_of_few_workloads_does_not_break_a_draw() -> None:
    rare = points("c", 1e-5, 1e11, WORKLOADS[:2])
    assert [item.name for item in resampled([*TWO, *rare], 10, draws=6)] == [MODEL, BEST, NEAREST]


def test_engines_that_never_differ_give_no_score() -> None:
    twins = [*points("a", 1e-4, 5e10, WORKLOADS), *points("b", 1e-4, 5e10, WORKLOADS)]
    assert resampled(twins, 10, draws=2) == []
    assert not beats(MODEL, [])


def test_to_beat_others_is_to_be_nowhere_worse_and_better_in_times() -> None:
    model = MeanScore(MODEL, 0.1, 0.95, 0.01)

    def beaten(*other: float | None) -> bool:
        return beats(MODEL, [model, MeanScore(NEAREST, *other)])  # type: ignore[arg-type]

    assert beaten(0.3, 0.90, 0.02)
    assert beaten(None, 0.95, 0.01)  # a way that names winners only, and no better ones
    assert not beaten(0.3, 0.96, 0.02)
    assert not beaten(0.3, 0.90, 0.009)
    assert not beaten(0.1, 0.90, 0.02)
