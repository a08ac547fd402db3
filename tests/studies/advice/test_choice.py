"""Which way of predicting a calibration's own points speak for."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from twofold.problem.data import prepare
from twofold.studies.advice.advise import advise
from twofold.studies.advice.choice import (
    FEWEST_WORKLOADS,
    SimplerModel,
    _clearly_less,
    choose,
    predictors,
)
from twofold.studies.advice.design import (
    CORNERS,
    DESIGN,
    IN_FEATURES,
    ROWS,
    WIDTHS,
    experiment_of,
    spread_shapes,
)
from twofold.studies.advice.measured_point import Point, parts_of
from twofold.studies.advice.model import fit_models
from twofold.studies.advice.predictors import WAYS
from twofold.studies.advice.workload import Workload, workload_of

WORKLOADS = [workload_of(prepare(experiment_of(shape, "cpu"))) for shape in DESIGN]
COST_MODEL, OVERALL_BEST, NEAREST = WAYS


def points_of(engine: str, step_s: dict[Workload, float]) -> list[Point]:
    return [
        Point(engine, workload, False, 0.0, 0.1, 0.5, 1, seconds)
        for workload, seconds in step_s.items()
    ]


def by_the_terms(workload: Workload, overhead: float, rate: float) -> float:
    return overhead + float(workload.terms()[4]) / rate


def test_points_that_follow_the_terms_speak_for_the_cost_model() -> None:
    quick_start = {w: by_the_terms(w, 1e-4, 5e10) for w in WORKLOADS}
    quick_products = {w: by_the_terms(w, 3e-4, 5e11) for w in WORKLOADS}
    found = choose([*points_of("a", quick_start), *points_of("b", quick_products)])
    assert found.way is COST_MODEL
    assert found.lost[COST_MODEL.name] < 0.02
    assert found.lost[OVERALL_BEST.name] > 0.2  # neither is the best everywhere
    assert "step times by: cost model" in found.why()


def test_points_without_a_law_speak_for_always_the_overall_best() -> None:
    """`b` and `c` are always a third slower than `a`, each measured on every second workload.

    Times have nothing to do with the workload: what a model takes from one says nothing of others.
    """
    noise = [math.exp(2 * math.sin(37.0 * index**2)) for index in range(len(WORKLOADS))]
    first = dict(zip(WORKLOADS, (1e-4 * factor for factor in noise), strict=True))
    points = points_of("a", first)
    for engine, some in (("b", WORKLOADS[::2]), ("c", WORKLOADS[1::2])):
        points += points_of(engine, {workload: 1.33 * first[workload] for workload in some})
    found = choose(points)
    assert found.lost[found.way.name] == min(found.lost.values())
    assert found.lost[OVERALL_BEST.name] < found.lost[COST_MODEL.name]
    assert found.way is OVERALL_BEST


def test_a_simpler_way_must_be_clearly_better() -> None:
    """One close race among many workloads is no reason to change the way."""
    quick_start = {w: by_the_terms(w, 1e-4, 5e10) for w in WORKLOADS}
    quick_products = {w: by_the_terms(w, 3e-4, 5e11) for w in WORKLOADS}
    odd = WORKLOADS[7]
    quick_start[odd], quick_products[odd] = quick_products[odd], quick_start[odd]
    found = choose([*points_of("a", quick_start), *points_of("b", quick_products)])
    assert found.way is COST_MODEL
    assert _clearly_less([0.0] * 9 + [0.1], [0.0] * 9 + [0.5]) is False
    assert _clearly_less([0.01, 0.02, 0.0, 0.01], [0.05, 0.07, 0.04, 0.06]) is True


def test_a_simpler_way_gives_the_times_and_the_model_the_cold_start() -> None:
    slower = {w: 2.0 * by_the_terms(w, 1e-4, 1e11) for w in WORKLOADS}
    points = [
        *points_of("a", {w: by_the_terms(w, 1e-4, 1e11) for w in WORKLOADS}),
        *points_of("b", slower),
    ]
    models = fit_models(points)
    choice = replace(choose(points), way=OVERALL_BEST)
    found = predictors(points, models, choice)
    workload = Workload((10, 50, 3), 100, 2, 4, False)
    assert all(isinstance(model, SimplerModel) for model in found.values())
    assert found["b"].step_s(workload) == pytest.approx(2 * found["a"].step_s(workload))
    level = math.sqrt(models["a"].step_s(workload) * models["b"].step_s(workload))
    assert found["a"].step_s(workload) == pytest.approx(level / math.sqrt(2))
    assert found["a"].cold_start_s(workload) == models["a"].cold_start_s(workload)
    assert advise(found, workload, 1000, WORKLOADS).best.engine == "a"
    assert predictors(points, models, replace(choice, way=COST_MODEL)) is models


def test_parts_of_step_times_are_found_where_engines_miss_workloads() -> None:
    """Times that are a product of two parts; every engine misses another third."""
    seconds = {workload: 1e-4 * 1.7**index for index, workload in enumerate(WORKLOADS[:9])}
    points = []
    for missing, (engine, factor) in enumerate({"a": 1.0, "b": 3.0, "c": 0.2}.items()):
        rest = [workload for index, workload in enumerate(seconds) if index % 3 != missing]
        points += points_of(engine, {workload: factor * seconds[workload] for workload in rest})
    found = parts_of(points)
    assert found.engines["b"] - found.engines["a"] == pytest.approx(math.log(3.0))
    assert found.engines["c"] - found.engines["a"] == pytest.approx(math.log(0.2))
    for point in points:
        together = found.engines[point.engine] + found.workloads[point.workload]
        assert together == pytest.approx(math.log(point.step_s))


def test_an_engine_is_not_judged_by_which_workloads_it_was_measured_on() -> None:
    """`b` is always 10 % slower than `a`; `c`, the best, was measured on the slow half alone."""
    first = {workload: 1e-4 * (index + 1) for index, workload in enumerate(WORKLOADS)}
    second = {workload: 1.1 * seconds for workload, seconds in first.items()}
    third = {workload: 0.8 * first[workload] for workload in WORKLOADS[len(WORKLOADS) // 2 :]}
    ranks = parts_of(
        [*points_of("a", first), *points_of("b", second), *points_of("c", third)]
    ).engines
    assert ranks["b"] - ranks["a"] == pytest.approx(math.log(1.1))
    assert ranks["c"] - ranks["a"] == pytest.approx(math.log(0.8))


def test_the_nearest_neighbour_is_found_in_every_term() -> None:
    step_s = {workload: 1e-4 * (index + 1) for index, workload in enumerate(WORKLOADS)}
    points = points_of("a", step_s)
    predict = NEAREST.learn(points, fit_models(points))
    for workload, seconds in step_s.items():
        assert predict("a", workload) == seconds
        beside = replace(workload, rows=workload.rows + 1)
        assert predict("a", beside) == seconds


def test_too_few_workloads_choose_nothing() -> None:
    few = WORKLOADS[: FEWEST_WORKLOADS - 1]
    points = [*points_of("a", dict.fromkeys(few, 1e-4)), *points_of("b", dict.fromkeys(few, 2e-4))]
    found = choose(points)
    assert (found.way, dict(found.lost)) == (COST_MODEL, {})
    assert "too few workloads" in found.why()
    alone = points_of("a", dict.fromkeys(WORKLOADS, 1e-4))
    assert choose(alone).way is COST_MODEL  # one engine has no rival


def test_engines_measured_once_have_no_say() -> None:
    """Two that broke after their first workload, which nobody else was measured on."""
    rest = WORKLOADS[1:]
    points = [
        *points_of("a", dict.fromkeys(rest, 1e-4)),
        *points_of("b", dict.fromkeys(rest, 2e-4)),
    ]
    broken = [*points_of("c", {WORKLOADS[0]: 1e-4}), *points_of("d", {WORKLOADS[0]: 2e-4})]
    with_them, without = choose([*points, *broken]), choose(points)
    assert (with_them.way, dict(with_them.lost)) == (without.way, dict(without.lost))


def test_a_spread_is_that_of_workloads_left_out() -> None:
    step_s = {w: by_the_terms(w, 1e-4, 1e11) for w in WORKLOADS}
    found = choose(
        [*points_of("a", step_s), *points_of("b", {w: 2 * s for w, s in step_s.items()})]
    )
    assert set(found.spread) == {"a", "b"}
    assert all(0 < spread < 0.05 for spread in found.spread.values())


@pytest.mark.parametrize("count", [6, 12, 20])
def test_every_beginning_of_the_design_fills_the_space(count: int) -> None:
    """Few points are spread as well as many: each third of each range holds some."""
    shapes = list(spread_shapes(count))
    for values, (low, high) in (
        ([shape.rows for shape in shapes], ROWS),
        ([shape.in_features for shape in shapes], IN_FEATURES),
        ([width for shape in shapes for width in shape.hidden], WIDTHS),
    ):
        thirds = {min(2, int(3 * math.log(value / low) / math.log(high / low))) for value in values}
        assert thirds == {0, 1, 2}
    assert {len(shape.hidden) for shape in shapes} == {1, 2, 3}
    assert {(shape.dropout > 0, shape.optimizer) for shape in shapes} == {
        (mask, optimizer) for mask in (True, False) for optimizer in ("adamw", "sgd")
    }


def test_the_corners_hold_the_design_and_most_widths_are_no_powers_of_two() -> None:
    for shape in spread_shapes(200):
        assert ROWS[0] <= shape.rows <= ROWS[1]
        assert all(WIDTHS[0] <= width <= WIDTHS[1] for width in shape.hidden)
    assert {shape.rows for shape in CORNERS} >= set(ROWS)
    widths = [width for shape in spread_shapes(20) for width in shape.hidden]
    assert sum(width & (width - 1) == 0 for width in widths) <= len(widths) / 10
