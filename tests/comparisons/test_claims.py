"""The ledger: every rule decides both ways, and quick experiments give what they must give."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from comparisons.claims import __main__ as command
from comparisons.claims import studies
from comparisons.claims.claim import Case, Figure, NotMeasured
from comparisons.claims.judging import (
    above,
    below,
    faster,
    judge,
    mean_interval,
    paired,
    student,
)
from comparisons.claims.ledger import CLAIMS, entries, find, studies_of
from comparisons.claims.page import page
from comparisons.claims.paired import FEWEST_ROUNDS, in_turns
from comparisons.claims.rules import engines, observed, timed
from comparisons.claims.store import Record, load, save
from comparisons.claims.wording import value_text
from twofold.errors import BadInput, ResultError
from twofold.timing.statistics import Interval, paired_ratio

ENVIRONMENT = {
    "processor": "Testonium 9000",
    "cores_usable": 2,
    "system": "Linux 6.1",
    "versions": {"torch": "2.13.0", "jax": None},
    "load_average": [0.25, 0.3, 0.4],
    "time_utc": "2026-01-31T12:00:00+00:00",
}


# The ledger itself


def test_the_lesson_has_all_its_claims_and_others_are_popular() -> None:
    assert {claim.lesson for claim in CLAIMS if claim.source == "the lesson"} == set(range(1, 16))
    assert sum(claim.source == "popular" for claim in CLAIMS) >= 8
    assert all((claim.lesson is None) == (claim.source == "popular") for claim in CLAIMS)


def test_every_claim_has_a_sentence_a_criterion_a_rule_and_an_experiment() -> None:
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim.sentence.endswith((".", "?"))
        assert claim.criterion
        assert claim.rule.__doc__
        assert set(claim.studies) <= set(studies.STUDIES)
        if not claim.studies:
            assert claim.rule().verdict == "not testable here"


def test_every_study_serves_a_claim() -> None:
    assert set(studies_of(CLAIMS)) == set(studies.STUDIES)


@pytest.mark.parametrize("name", studies.STUDIES)
def test_every_study_can_be_found(name: str) -> None:
    assert studies.study(name).__doc__


def test_an_unknown_claim_names_its_neighbours() -> None:
    with pytest.raises(BadInput, match="did you mean jax-faster"):
        find("jax-is-faster")


# From cases to verdicts


def case(name: str, holds: bool | None) -> Case:
    return Case(name, holds, (Figure(name, 1.0),))


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ((True, True), "confirmed"),
        ((False, False), "refuted"),
        ((True, False), "depends"),
        ((True, None), "depends"),
        ((False, None), "depends"),
        ((None, None), "depends"),
    ],
)
def test_verdicts_of_cases(answers: tuple[bool | None, ...], verdict: str) -> None:
    cases = [case(f"size {i}", holds) for i, holds in enumerate(answers)]
    judgement = judge(cases, "it is so")
    assert judgement.verdict == verdict
    assert [figure.label for figure in judgement.figures] == ["size 0", "size 1"]


def test_flips_lie_between_neighbours_that_are_decided() -> None:
    cases = [case("small", True), case("middle", None), case("large", False)]
    assert judge(cases, "it is so").flips == ("between small (holds) and large (does not hold)",)
    assert (
        judge(cases, "it is so").because
        == "It is so: in 1 of 3 cases (small); not decided: middle."
    )


def test_nothing_is_judged_from_nothing() -> None:
    with pytest.raises(NotMeasured):
        judge([], "it is so")


def test_limits_need_the_whole_interval() -> None:
    assert below(Interval(0.8, 0.7, 0.9), 1.0) is True
    assert below(Interval(1.2, 1.1, 1.3), 1.0) is False
    assert below(Interval(1.0, 0.9, 1.1), 1.0) is None
    assert below(Interval(1.0, 1.0, 1.0), 1.0) is False
    assert above(Interval(1.2, 1.1, 1.3), 1.0) is True
    assert above(Interval(0.8, 0.7, 0.9), 1.0) is False
    assert above(Interval(1.0, 0.9, 1.1), 1.0) is None
    assert above(Interval(1.0, 1.0, 1.0), 1.0) is False
    assert below(None, 1.0) is None
    assert above(None, 1.0) is None


def test_faster_means_beyond_the_resolution() -> None:
    assert faster(Interval(0.5, 0.4, 0.6)) is True
    assert faster(Interval(1.0, 0.995, 1.005)) is False
    assert faster(Interval(0.98, 0.97, 0.99)) is None
    assert faster(Interval(2.0, 1.9, 2.1)) is False


def test_mean_interval_is_students() -> None:
    # Mean 2, standard deviation 1, n = 3: half width 4.303 / sqrt(3).
    found = mean_interval([1.0, 2.0, 3.0])
    assert found.median == pytest.approx(2.0)
    assert found.high - found.median == pytest.approx(4.303 / math.sqrt(3))
    with pytest.raises(NotMeasured):
        mean_interval([1.0])


def test_students_quantiles_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for freedom in range(1, 11):
        assert student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=1e-3)
    assert student(30) > stats.t.ppf(0.975, 30)


def test_ratios_are_paired_and_need_both_sides() -> None:
    timed_sides = {"samples_s": {"a": [2.0, 4.0, 8.0] * 4, "b": [1.0, 2.0, 4.0] * 4}}
    assert paired(timed_sides, "a", "b").median == pytest.approx(2.0)
    with pytest.raises(NotMeasured, match="no samples of c"):
        paired(timed_sides, "c", "b")


def test_turns_take_the_same_number_of_samples_of_every_side() -> None:
    calls = {"a": 0, "b": 0}

    def side(name: str) -> None:
        calls[name] += 1

    found = in_turns({"a": lambda: side("a"), "b": lambda: side("b")}, seconds=0.01)
    lengths = {len(samples) for samples in found["samples_s"].values()}
    assert len(lengths) == 1
    assert lengths.pop() >= FEWEST_ROUNDS
    for name in calls:
        rounds = len(found["samples_s"][name])
        assert calls[name] > rounds * found["calls_per_block"][name]


# Rules about engines


def engine(name: str, cold: float, step: float) -> dict[str, Any]:
    return {
        "engine": name,
        "status": "measured",
        "cold_start": {"import_s": 1.0, "open_s": 0.0, "first_step_s": cold},
        "cold_start_s": 1.0 + cold,
        "step_s": {"median": step, "low": step * 0.99, "high": step * 1.01},
    }


def timing(*figures: tuple[str, float, float], batch: int = 64) -> dict[str, Any]:
    """A timing from (engine, first step, later step), both in seconds; intervals of 1 %."""
    made = [engine(*each) for each in figures]
    ratios = [
        {
            "engine": one["engine"],
            "reference": other["engine"],
            "median": (middle := one["step_s"]["median"] / other["step_s"]["median"]),
            "low": middle * 0.99,
            "high": middle * 1.01,
        }
        for i, other in enumerate(made)
        for one in made[i + 1 :]
    ]
    return {
        "experiment": {"data": {"batch_size": batch}},
        "engines": [*made, {"engine": "torch:lesson", "status": "failed", "step_s": None}],
        "ratios": ratios,
    }


def by_size(*timings: dict[str, Any], cuda: bool = False) -> dict[str, Any]:
    named = [
        {"size": f"size {i}", "batch": 16 * 4**i, "width": 32 * 2**i, "timing": each}
        for i, each in enumerate(timings)
    ]
    return {"conditions": "made by hand", "cuda": cuda, "sizes": named}


JAX_WINS = timing(("torch:eager", 0.1, 2e-3), ("torch:compile", 10, 2e-3), ("flax:jit", 1, 1e-3))
TORCH_WINS = timing(
    ("torch:eager", 0.1, 2e-3), ("torch:compile", 10, 0.9e-3), ("flax:jit", 1, 1e-3)
)
EVEN = timing(("torch:eager", 0.1, 1e-3), ("torch:compile", 0.1, 1e-3), ("flax:jit", 0.1, 1e-3))
CONTENDERS = ("torch:compile-step", "torch:compile-epoch", "flax:jit", "flax:scan")


def with_contenders(given: dict[str, Any], *without: str) -> dict[str, Any]:
    """The timing with every engine that could be a framework's fastest; those added are slow."""
    had = {each["engine"]: each for each in given["engines"] if each["status"] == "measured"}
    old = [(n, e["cold_start"]["first_step_s"], e["step_s"]["median"]) for n, e in had.items()]
    new = [(name, 1.0, 1.0) for name in CONTENDERS if name not in (*had, *without)]
    return timing(*old, *new)


JAX_AHEAD, TORCH_AHEAD, LEVEL = (with_contenders(each) for each in (JAX_WINS, TORCH_WINS, EVEN))


@pytest.mark.parametrize(
    ("timings", "verdict"),
    [
        ((JAX_AHEAD,), "confirmed"),
        ((TORCH_AHEAD, LEVEL), "refuted"),
        ((JAX_AHEAD, LEVEL), "depends"),
    ],
)
def test_jax_faster(timings: tuple[dict[str, Any], ...], verdict: str) -> None:
    assert engines.jax_faster(by_size(*timings)).verdict == verdict


@pytest.mark.parametrize("absent", ["torch:compile-step", "torch:compile-epoch"])
def test_jax_is_not_called_faster_than_what_was_not_measured(absent: str) -> None:
    judgement = engines.jax_faster(by_size(with_contenders(JAX_WINS, absent)))
    assert judgement.verdict == "depends"
    assert f"not decided: size 0 ({absent} was not measured)" in judgement.because
    behind = engines.jax_faster(by_size(with_contenders(TORCH_WINS, absent)))
    assert behind.verdict == "refuted"  # a further PyTorch engine cannot put JAX ahead


def test_jax_is_not_called_slower_without_its_own_fastest() -> None:
    judgement = engines.jax_faster(by_size(with_contenders(TORCH_WINS, "flax:scan")))
    assert judgement.verdict == "depends"
    assert "not decided: size 0 (flax:scan was not measured)" in judgement.because
    ahead = engines.jax_faster(by_size(with_contenders(JAX_WINS, "flax:scan")))
    assert ahead.verdict == "confirmed"


def test_jax_faster_says_where_it_flips() -> None:
    judgement = engines.jax_faster(by_size(JAX_AHEAD, TORCH_AHEAD))
    assert judgement.flips == ("between size 0 (holds) and size 1 (does not hold)",)
    assert judgement.figures[0].label == "size 0: flax:jit over torch:eager"
    assert judgement.figures[0].value == pytest.approx(0.5)


def test_a_withheld_ratio_decides_nothing() -> None:
    ratios = [{**each, "median": None, "reason": "busy"} for each in JAX_WINS["ratios"]]
    withheld = {**JAX_WINS, "ratios": ratios}
    with pytest.raises(NotMeasured, match="busy"):
        engines.jax_faster(by_size(withheld))
    judgement = engines.jax_faster(by_size(JAX_AHEAD, withheld))
    assert judgement.verdict == "depends"
    assert judgement.because.endswith("in 1 of 2 cases (size 0); not measured: size 1 (busy).")
    assert judgement.figures[1].value == "could not be measured"


def test_an_engine_that_failed_is_no_evidence() -> None:
    with pytest.raises(NotMeasured, match="no engine flax:"):
        engines.jax_faster(by_size(timing(("torch:eager", 0.1, 1e-3))))


def test_jit_against_eager() -> None:
    assert engines.jax_jit_beats_eager(by_size(JAX_WINS)).verdict == "confirmed"
    assert engines.jax_jit_beats_eager(by_size(EVEN)).verdict == "refuted"


def test_a_ratio_is_found_from_either_side() -> None:
    assert engines.ratio(JAX_WINS, "flax:jit", "torch:eager") == Interval(0.5, 0.495, 0.505)
    turned = engines.ratio(JAX_WINS, "torch:eager", "flax:jit")
    assert turned is not None
    assert turned.low < turned.median < turned.high
    assert turned.median == pytest.approx(2.0)


def test_large_batches_need_a_gain_that_grows() -> None:
    grown = timing(("torch:eager", 0.1, 4e-3), ("flax:jit", 1, 1e-3))
    shrunk = timing(("torch:eager", 0.1, 1.2e-3), ("flax:jit", 1, 1e-3))

    def verdict(last: dict[str, Any], width: int = 128, *without: str) -> str:
        last = with_contenders(last, *without)
        sizes = [(16, 32, EVEN), (2048, width, last), (64, 128, JAX_AHEAD)]
        named = [
            {"size": f"batch {batch}", "batch": batch, "width": width, "timing": each}
            for batch, width, each in sizes
        ]
        return engines.jax_gains_on_large_batches({"sizes": named}).verdict

    assert verdict(grown) == "confirmed"
    assert verdict(shrunk) == "refuted"
    assert verdict(EVEN) == "refuted"
    assert verdict(grown, 128, "torch:compile-epoch") == "depends"
    assert verdict(shrunk, 128, "flax:scan") == "depends"
    with pytest.raises(NotMeasured, match="two batch sizes"):
        verdict(grown, width=512)


def test_compile_on_gpu_is_judged_on_a_gpu_only() -> None:
    doubled = timing(("torch:eager", 0.1, 2e-3), ("torch:compile", 10, 1e-3))
    fourfold = timing(("torch:eager", 0.1, 4e-3), ("torch:compile", 10, 1e-3))
    assert engines.compile_on_gpu(by_size(doubled)).verdict == "not testable here"
    assert engines.compile_on_gpu(by_size(doubled)).figures[0].value == pytest.approx(2.0)
    assert engines.compile_on_gpu(by_size(doubled, cuda=True)).verdict == "confirmed"
    assert engines.compile_on_gpu(by_size(fourfold, cuda=True)).verdict == "refuted"
    assert engines.compile_on_gpu(by_size(EVEN, cuda=True)).verdict == "refuted"


def test_first_step_slow_at_a_hundred_steps() -> None:
    slow = timing(("torch:eager", 0.1, 1e-3), ("flax:jit", 0.1, 1e-3))
    quick = timing(("torch:eager", 0.1, 1e-3), ("flax:jit", 0.0999, 1e-3))
    assert engines.first_step_slow(by_size(slow)).verdict == "confirmed"
    assert engines.first_step_slow(by_size(quick)).verdict == "refuted"
    assert engines.first_step_slow(by_size(slow, quick)).verdict == "depends"


def test_compile_is_free_when_it_pays_back_within_the_lesson() -> None:
    # It saves 1 ms a step: 1.57 s are paid back in 1,570 steps, and 1.58 s are not.
    paid = timing(("torch:eager", 0.0, 2e-3), ("torch:compile", 1.569, 1e-3))
    unpaid = timing(("torch:eager", 0.0, 2e-3), ("torch:compile", 1.58, 1e-3))
    assert engines.compile_is_free(by_size(paid)).verdict == "confirmed"
    assert engines.compile_is_free(by_size(unpaid)).verdict == "refuted"
    never = engines.compile_is_free(by_size(EVEN))
    assert never.verdict == "refuted"
    assert never.figures[1].value == "never"


def test_eager_costs_something() -> None:
    assert engines.eager_costs(by_size(TORCH_WINS)).verdict == "confirmed"
    assert engines.eager_costs(by_size(JAX_AHEAD)).verdict == "refuted"
    assert engines.eager_costs(by_size(JAX_WINS)).verdict == "depends"  # without the quick engines


def test_small_models_need_a_compiler_that_gains_a_half() -> None:
    assert engines.small_needs_no_compiler(by_size(LEVEL)).verdict == "confirmed"
    assert engines.small_needs_no_compiler(by_size(EVEN)).verdict == "depends"
    assert engines.small_needs_no_compiler(by_size(JAX_WINS)).verdict == "refuted"
    border = timing(("torch:eager", 0.1, 1.5e-3), ("flax:jit", 1, 1e-3))
    assert engines.small_needs_no_compiler(by_size(border)).verdict == "depends"
    assert engines.small_needs_no_compiler(by_size(LEVEL, LEVEL, JAX_WINS)).verdict == "confirmed"


def test_eager_for_prototypes_counts_the_start() -> None:
    assert engines.eager_for_prototypes(by_size(JAX_WINS)).verdict == "confirmed"
    sluggish = timing(("torch:eager", 0.1, 1.0), ("flax:jit", 1, 1e-3))
    assert engines.eager_for_prototypes(by_size(sluggish)).verdict == "refuted"


# Rules about pieces of code in turns


def turns(**steps: float) -> dict[str, Any]:
    """Samples that differ by 1 % from round to round; names with `_` for spaces."""
    wiggle = [1.0, 1.01, 0.99, 1.0, 1.01, 0.99]
    return {"samples_s": {n.replace("_", " "): [s * w for w in wiggle] for n, s in steps.items()}}


def cases_of(*timings: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "cases": [{"size": f"size {i}", "timed": each} for i, each in enumerate(timings)],
        **more,
    }


@pytest.mark.parametrize(
    ("rule", "side", "reference", "more"),
    [
        (timed.fused_faster, "fused", "default", {}),
        (timed.threads_faster, "all", "one", {"cores": 2}),
        (timed.without_gradients_faster, "inference_mode", "gradients recorded", {}),
        (timed.in_place_faster, "in place", "new tensor", {}),
    ],
)
def test_one_side_is_faster(rule: Any, side: str, reference: str, more: dict[str, Any]) -> None:
    def sides(ours: float, theirs: float) -> dict[str, Any]:
        return {"samples_s": {side: [ours] * 5, reference: [theirs] * 5}}

    assert rule(cases_of(sides(1, 2), sides(1, 3), **more)).verdict == "confirmed"
    assert rule(cases_of(sides(1, 1), sides(2, 1), **more)).verdict == "refuted"
    mixed = rule(cases_of(sides(1, 2), sides(2, 1), **more))
    assert mixed.verdict == "depends"
    assert mixed.flips == ("between size 0 (holds) and size 1 (does not hold)",)


def test_threads_cannot_be_compared_on_one_core() -> None:
    assert timed.threads_faster({"cores": 1, "cases": []}).verdict == "not testable here"


def test_both_frameworks_must_beat_numpy() -> None:
    both = turns(NumPy=3, PyTorch=1, JAX=2)
    one = turns(NumPy=2, PyTorch=1, JAX=3)
    none = turns(NumPy=1, PyTorch=2, JAX=3)
    assert timed.framework_beats_numpy(cases_of(both)).verdict == "confirmed"
    assert timed.framework_beats_numpy(cases_of(one)).verdict == "depends"
    assert timed.framework_beats_numpy(cases_of(none)).verdict == "refuted"


def test_larger_batches_pay_by_the_time_of_a_row() -> None:
    def found(small: float, large: float) -> dict[str, Any]:
        samples = {"batch 16": [small] * 5, "batch 64": [large] * 5}
        return {"batches": [16, 64], "timed": {"samples_s": samples}}

    assert timed.larger_batches(found(1.0, 2.0)).verdict == "confirmed"
    assert timed.larger_batches(found(1.0, 2.0)).figures[0].value == pytest.approx(0.5)
    assert timed.larger_batches(found(1.0, 4.0)).verdict == "refuted"
    assert timed.larger_batches(found(1.0, 5.0)).verdict == "refuted"


def wide(*slower: float) -> dict[str, Any]:
    return {
        "cases": [
            {
                "size": f"size {i}",
                "engine": "torch:eager",
                "bytes": {"float32": 100, "float64": 200},
                "timed": turns(float64=each, float32=1.0),
            }
            for i, each in enumerate(slower)
        ]
    }


def test_about_twice_is_between_one_and_a_half_and_two_and_a_half() -> None:
    assert timed.twice_as_slow(wide(1.6, 2.4)).verdict == "confirmed"
    assert timed.twice_as_slow(wide(1.0, 3.0)).verdict == "refuted"
    assert timed.twice_as_slow(wide(1.0, 2.0)).verdict == "depends"


def test_float32_default_needs_all_three_parts() -> None:
    same = {"accuracy": {"float32": [0.9, 0.91, 0.92], "float64": [0.901, 0.91, 0.919]}}
    better = {"accuracy": {"float32": [0.5, 0.51, 0.52], "float64": [0.9, 0.91, 0.92]}}
    unsure = {"accuracy": {"float32": [0.5, 0.9, 0.7], "float64": [0.9, 0.5, 0.72]}}
    assert timed.float32_default(wide(2.0), same).verdict == "confirmed"
    assert timed.float32_default(wide(1.0), same).verdict == "depends"
    assert timed.float32_default(wide(1.0, 2.0), same).flips == (
        "between torch:eager, size 0 (does not hold) and torch:eager, size 1 (holds)",
    )
    assert timed.no_better(same).holds is True
    assert timed.no_better(better).holds is False
    assert timed.no_better(unsure).holds is None
    lean = {"cases": [{**wide(1.0)["cases"][0], "bytes": {"float32": 100, "float64": 100}}]}
    assert timed.float32_default(lean, better).verdict == "refuted"


def workers(without: float, with_two: float) -> dict[str, Any]:
    sides = {"samples_s": {"0 workers": [without] * 5, "2 workers": [with_two] * 5}}
    return {"bytes": 0, "row_s": without / 1e3, "timed": sides}


def test_workers_depend_on_what_a_row_costs() -> None:
    assert timed.workers_faster({"cases": [workers(2, 1)]}).verdict == "confirmed"
    assert timed.workers_faster({"cases": [workers(1, 2)]}).verdict == "refuted"
    both = timed.workers_faster({"cases": [workers(0.01, 0.02), workers(2, 1)]})
    assert both.verdict == "depends"
    assert both.flips == ("between rows of 10.0 µs (does not hold) and rows of 2.00 ms (holds)",)


def test_a_loader_may_cost_a_tenth() -> None:
    def fed(loader: float) -> dict[str, Any]:
        return cases_of({"samples_s": {"DataLoader": [loader] * 5, "batches by index": [1.0] * 5}})

    assert timed.loader_fast_enough(fed(1.09)).verdict == "confirmed"
    assert timed.loader_fast_enough(fed(1.11)).verdict == "refuted"


def test_sequential_needs_the_same_bits_and_speed() -> None:
    def found(difference: float, step: float) -> dict[str, Any]:
        return {"largest_difference": difference, "timed": turns(Sequential=step, Module=1.0)}

    assert timed.sequential_is_module(found(0.0, 1.0)).verdict == "confirmed"
    assert timed.sequential_is_module(found(1e-9, 1.0)).verdict == "depends"
    assert timed.sequential_is_module(found(1e-9, 1.2)).verdict == "refuted"
    assert timed.sequential_is_module(found(1e-9, 0.8)).verdict == "refuted"


def test_jit_may_cost_a_twentieth() -> None:
    assert timed.jit_removes_overhead(cases_of(turns(call=4, step=100))).verdict == "confirmed"
    assert timed.jit_removes_overhead(cases_of(turns(call=6, step=100))).verdict == "refuted"


def shapes(compilations: int, dynamic: float) -> dict[str, Any]:
    return {
        "batches": [64, 63, 17, 5],
        "torch.compile": {"compilations": [1, 2, 2, compilations], "first_call_s": [5.0, 4.0]},
        "jax.jit": {"compilations": [1, 2, 3, 4], "first_call_s": [0.1] * 4},
        "steady": turns(dynamic=dynamic, static=1.0),
    }


def test_dynamic_shapes_are_rough_when_they_cost() -> None:
    assert timed.dynamic_shapes_rough(shapes(4, 1.5)).verdict == "confirmed"
    assert timed.dynamic_shapes_rough(shapes(2, 1.0)).verdict == "refuted"
    assert timed.dynamic_shapes_rough(shapes(2, 1.5)).verdict == "depends"
    assert timed.dynamic_shapes_rough(shapes(3, 1.0)).verdict == "depends"


# Rules about what was observed


def flow(eager: str, jit: str, shown: bool = True) -> dict[str, Any]:
    ways = {"torch eager": eager, "jax.jit": jit}
    return {
        "outcomes": {way: {"a": "right", "b": outcome} for way, outcome in ways.items()},
        "prints": {way: {"shown": "sum: 6.5", "shows the value": shown} for way in ways},
    }


def test_control_flow_rules() -> None:
    refused = flow("right", "TracerBoolConversionError")
    assert observed.functional_is_less_ergonomic(refused).verdict == "confirmed"
    assert observed.functional_is_less_ergonomic(flow("right", "right")).verdict == "refuted"
    assert observed.feels_like_python(refused).verdict == "confirmed"
    assert observed.feels_like_python(flow("wrong", "right")).verdict == "depends"
    assert observed.feels_like_python(flow("wrong", "right", shown=False)).verdict == "refuted"


def sweep(adam: list[float], adamw: list[float], sgd: list[float]) -> dict[str, Any]:
    rates = {"sgd with momentum": sgd, "adam": adam, "adamw": adamw}
    return {
        "log10_learning_rates": [-4.0, -3.0, -2.0, -1.0, 0.0],
        "accuracy": {name: [[each, each] for each in curve] for name, curve in rates.items()},
    }


def test_robust_means_a_wider_range_of_good_rates() -> None:
    narrow, broad = [0.1, 0.5, 0.9, 0.5, 0.1], [0.1, 0.9, 0.89, 0.91, 0.1]
    assert observed.adam_is_robust(sweep(broad, broad, narrow)).verdict == "confirmed"
    assert observed.adam_is_robust(sweep(narrow, narrow, broad)).verdict == "refuted"
    assert observed.adam_is_robust(sweep(narrow, narrow, narrow)).verdict == "refuted"
    assert observed.adam_is_robust(sweep(broad, narrow, narrow)).verdict == "depends"
    assert observed.range_text(sweep(broad, narrow, narrow), "adam") == "0.001 to 0.1"
    few = {**sweep(broad, broad, narrow), "log10_learning_rates": [-4.0, -2.0]}
    few["accuracy"] = {name: curve[:2] for name, curve in few["accuracy"].items()}
    with pytest.raises(NotMeasured):
        observed.adam_is_robust(few)


def test_accumulation_is_a_footgun_and_a_feature() -> None:
    def found(second: float, error: float) -> dict[str, Any]:
        figures = {"torch_first": 8.0, "torch_second": second, "jax_second": 8.0}
        return {**figures, "micro_batches_relative_error": error}

    assert observed.gradients_accumulate(found(16.0, 1e-15)).verdict == "confirmed"
    assert observed.gradients_accumulate(found(8.0, 1e-3)).verdict == "refuted"
    assert observed.gradients_accumulate(found(16.0, 1e-3)).verdict == "depends"


def test_a_mix_that_runs_is_no_error() -> None:
    raised = {"torch": {"a": "RuntimeError"}, "jax": {"b": "ValueError"}}
    silent = {"torch": {"a": "RuntimeError"}, "jax": {"b": "runs"}}
    rule = observed.forgetting_to_move_is_an_error
    assert rule(raised).verdict == "confirmed"
    assert rule(silent).verdict == "depends"
    assert rule(silent).because == "No error, PyTorch or JAX moves the operand itself: jax: b."
    assert rule({"torch": {"a": "runs"}, "jax": {"b": "runs"}}).verdict == "refuted"


def test_softmax_twice_must_train_and_be_worse() -> None:
    def found(twice: list[float]) -> dict[str, Any]:
        accuracy = {"logits": [[0.95], [0.96], [0.97]], "softmax first": [[x] for x in twice]}
        return {"epochs": [5], "accuracy": accuracy, "chance": 0.1}

    assert observed.softmax_twice_is_worse(found([0.90, 0.91, 0.92])).verdict == "confirmed"
    assert observed.softmax_twice_is_worse(found([0.96, 0.97, 0.98])).verdict == "refuted"
    assert observed.softmax_twice_is_worse(found([0.02, 0.03, 0.04])).verdict == "refuted"
    assert observed.softmax_twice_is_worse(found([0.95, 0.95, 0.98])).verdict == "depends"


def test_dropout_in_training_only_rule() -> None:
    def mode(training: bool, identity: bool) -> dict[str, Any]:
        return {
            "as built it drops": True,
            "training drops": training,
            "evaluation is the identity": identity,
            "dropped share in training": 0.2,
        }

    right, wrong = mode(True, True), mode(True, False)
    rule = observed.dropout_in_training_only
    assert rule({"torch": right, "flax": right}).verdict == "confirmed"
    assert rule({"torch": wrong, "flax": mode(False, True)}).verdict == "refuted"
    assert rule({"torch": right, "flax": wrong}).verdict == "depends"


def test_same_numbers_means_the_same_bits() -> None:
    def found(*differences: float) -> dict[str, Any]:
        steps = list(range(1, len(differences) + 1))
        return {"steps": steps, "largest_difference": differences, "accuracy": {"torch:eager": 0.9}}

    assert observed.frameworks_give_same_numbers(found(0.0, 0.0)).verdict == "confirmed"
    assert observed.frameworks_give_same_numbers(found(1e-9, 1e-2)).verdict == "refuted"
    assert observed.frameworks_give_same_numbers(found(0.0, 1e-9)).verdict == "depends"


def test_seed_rules() -> None:
    draws = {"numbers": 3, "torch_first": [0.1], "jax_first": [0.2]}
    assert observed.same_seed_same_numbers({**draws, "equal_numbers": 3}).verdict == "confirmed"
    assert observed.same_seed_same_numbers({**draws, "equal_numbers": 2}).verdict == "refuted"
    assert observed.runs_repeat({"equal": {"a": True, "b": True}}).verdict == "confirmed"
    assert observed.runs_repeat({"equal": {"a": False, "b": False}}).verdict == "refuted"
    assert observed.runs_repeat({"equal": {"a": True, "b": False}}).verdict == "depends"


# Experiments that need no clock


@pytest.mark.parametrize(
    ("study", "claim", "verdict"),
    [
        ("gradient accumulation", "gradients-accumulate", "confirmed"),
        ("dropout modes", "dropout-in-training-only", "confirmed"),
        ("same seed", "same-seed-same-numbers", "refuted"),
        ("repeated run", "a-seed-repeats-a-run", "confirmed"),
        ("Python control flow", "feels-like-python", "confirmed"),
        ("Python control flow", "functional-less-ergonomic", "confirmed"),
    ],
)
def test_what_needs_no_clock_is_run(study: str, claim: str, verdict: str) -> None:
    record = studies.run_here(study, quick=True)
    judgement = find(claim).rule(record.findings)
    assert judgement.verdict == verdict
    assert judgement.figures
    assert record.findings["conditions"]


def test_two_devices_in_a_process_of_their_own() -> None:
    findings = studies.run_apart("operands on two devices", quick=True).findings
    assert findings["torch"]["the model moved, the data not"] == "RuntimeError"
    assert findings["jax"]["the model moved, the data placed elsewhere"] == "ValueError"
    assert findings["jax"]["the model moved, the data in NumPy"] == "runs"


# Results, page and command


def record(**findings: Any) -> Record:
    return Record({"conditions": "made by hand", **findings}, ENVIRONMENT, 1.5, quick=False)


@pytest.fixture
def records() -> dict[str, Record]:
    return {
        "same seed": record(equal_numbers=0, numbers=3, torch_first=[0.5], jax_first=[0.25]),
        "engines by size": record(**by_size(JAX_AHEAD, TORCH_AHEAD)),
    }


def test_results_are_read_as_they_were_written(tmp_path: Path, records: dict[str, Record]) -> None:
    path = tmp_path / "deep" / "claims.json"
    save(path, records)
    assert load(path) == records
    assert load(tmp_path / "none.json") == {}
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ResultError):
        load(path)


def test_page_tells_verdicts_figures_conditions_and_files(records: dict[str, Record]) -> None:
    text = page(records, "results/testonium/claims.json", "results/testonium/claims.json")
    assert text == page(records, "results/testonium/claims.json", "results/testonium/claims.json")
    for claim in CLAIMS:
        assert f"### {claim.id}" in text
        assert claim.sentence in text
    assert "**Depends.** Flax's fastest engine is faster than PyTorch's: in 1 of 2 cases" in text
    assert "It flips between size 0 (holds) and size 1 (does not hold)." in text
    assert "| size 0: flax:jit over torch:eager | 0.500× (0.495× to 0.505×) |" in text
    assert "Testonium 9000, 2 processor cores" in text
    assert "Not measured yet" in text


def test_each_section_with_figures_names_its_result_file(records: dict[str, Record]) -> None:
    text = page(records, "results/testonium/claims.json", "results/testonium/claims.json")
    sections = text.split("\n### ")[1:]
    with_figures = [each for each in sections if "| Figure | Value |" in each]
    assert len(with_figures) >= 8
    for each in with_figures:
        assert "](results/testonium/claims.json)" in each
        assert "`studies." in each


def test_quick_results_say_so(records: dict[str, Record]) -> None:
    assert "--quick`: too short" not in page(records, "f", "f")
    short = {name: Record(r.findings, ENVIRONMENT, 1.0, True) for name, r in records.items()}
    assert "--quick`: too short" in page(short, "f", "f")


def test_verdicts_are_not_stored() -> None:
    assert {field.name for field in fields(Record)} == {
        "findings",
        "environment",
        "seconds",
        "quick",
    }


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (Figure("", 0.00123, "s"), "1.23 ms"),
        (Figure("", 2.0, "times", 1.9, 2.125), "2.00× (1.90× to 2.12×)"),
        (Figure("", 0.05, "share"), "5.00 %"),
        (Figure("", 0.9, "accuracy"), "0.9000"),
        (Figure("", 1570), "1,570"),
        (Figure("", 1.25e-7), "1.25e-07"),
        (Figure("", "never", "words"), "never"),
    ],
)
def test_figures_as_text(figure: Figure, text: str) -> None:
    assert value_text(figure) == text


def test_every_claim_has_an_entry_even_without_results() -> None:
    found = entries({})
    assert [entry.claim for entry in found] == list(CLAIMS)
    assert {entry.verdict for entry in found} == {"not measured yet", "not testable here"}


def test_command_lists_shows_and_writes(
    tmp_path: Path, records: dict[str, Record], capsys: pytest.CaptureFixture[str]
) -> None:
    results, written = tmp_path / "claims.json", tmp_path / "CLAIMS.md"
    save(results, records)
    assert command.main(["--results", str(results)]) == 0
    listed = capsys.readouterr().out
    assert max(map(len, listed.splitlines())) <= 80
    assert listed.count("depends") >= 1
    assert command.main(["--results", str(results), "--only", "jax-faster"]) == 0
    assert "flax:jit over torch:eager" in " ".join(capsys.readouterr().out.split())
    assert command.main(["--results", str(results), "--page", str(written)]) == 0
    assert "(claims.json)" in written.read_text(encoding="utf-8")


def test_command_refuses_what_cannot_be(tmp_path: Path) -> None:
    none = str(tmp_path / "none.json")
    assert command.main(["--results", none, "--page", str(tmp_path / "page.md")]) == 2
    assert command.main(["--results", none, "--page", str(tmp_path / "no" / "page.md")]) == 2
    assert command.main(["--results", none, "--only", "jax-is-fast"]) == 2


def test_measure_keeps_what_others_found(
    tmp_path: Path, records: dict[str, Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "claims.json"
    save(results, records)

    def fails_for_seeds(name: str, quick: bool) -> Record:
        if name == "same seed":
            raise RuntimeError("no seed today")
        return record(quick_was=quick)

    monkeypatch.setattr(command, "run_apart", fails_for_seeds)
    arguments = ["--results", str(results), "--measure", "--quick", "--only"]
    assert command.main([*arguments, "same-seed-same-numbers"]) == 3
    assert load(results) == records
    monkeypatch.setattr(command, "run_apart", lambda *_: records["same seed"])
    assert command.main([*arguments, "same-seed-same-numbers"]) == 0
    assert load(results) == records


def test_the_list_loads_no_framework(tmp_path: Path) -> None:
    code = (
        "import sys; from comparisons.claims.__main__ import main; "
        f"main(['--results', {str(tmp_path / 'none.json')!r}]); "
        "sys.exit(len({'torch', 'jax'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, env=dict(os.environ)
    )
    assert ran.returncode == 0, ran.stderr.decode()


def test_paired_ratio_of_the_ledger_is_that_of_the_timing() -> None:
    samples = {"a": [1.0, 1.1, 1.2, 1.3, 1.4], "b": [2.0, 2.1, 2.2, 2.3, 2.4]}
    expected = paired_ratio(samples["a"], samples["b"], seed=0)
    assert paired({"samples_s": samples}, "a", "b") == expected


@pytest.mark.parametrize(("name", "policy"), [("engines by size", None), ("threads", "PASSIVE")])
def test_only_studies_that_share_a_process_forbid_threads_to_spin(
    name: str, policy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "")  # so that the end of the test takes it away
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setattr(
        studies, "study", lambda _: lambda __: {"policy": os.environ.get("OMP_WAIT_POLICY")}
    )
    assert studies.run_here(name, quick=True).findings["policy"] == policy
