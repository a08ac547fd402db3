"""The verdicts on speed targets, from figures made up here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comparisons import targets
from comparisons.narrator import Narrator
from twofold.timing.result import EngineTiming, Ratio
from twofold.timing.statistics import Interval


def timing(engine: str, step: float | None, memory: int | None = None) -> EngineTiming:
    """An engine that takes `step` seconds, or one that broke."""
    if step is None:
        return EngineTiming(engine, "failed", "no compiler", peak_memory_bytes=memory)
    return EngineTiming(
        engine,
        "measured",
        step_s=Interval(step, step, step),
        samples_s=(step,) * 12,
        peak_memory_bytes=memory,
    )


def ratio(median: float | None) -> Ratio:
    """A ratio, or one that was withheld."""
    outcome = "could not be measured" if median is None else "faster"
    return Ratio("torch:eager", "flax:jit", median, median, median, outcome, "too busy")


@pytest.mark.parametrize(
    ("median", "outcome"),
    [(0.99, "met"), (1.0, "met"), (1.01, "missed"), (None, "could not be measured")],
)
def test_a_ratio_is_met_up_to_its_limit(median: float | None, outcome: str) -> None:
    target = targets.ratio_target("name", ratio(median), 1.0)
    assert target.outcome == outcome
    assert target.figure == median
    assert (target.reason == "too busy") == (median is None) or target.reason


def test_the_fastest_of_those_measured_stands_for_the_framework() -> None:
    timings = {
        "torch:compile-step": timing("torch:compile-step", 3e-4),
        "torch:compile-epoch": timing("torch:compile-epoch", 2e-4),
    }
    assert targets.fastest(timings, targets.BEST_TORCH) == "torch:compile-epoch"
    timings["torch:compile-epoch"] = timing("torch:compile-epoch", None)
    assert targets.fastest(timings, targets.BEST_TORCH) == "torch:compile-step"


def test_every_speed_target_is_asked_and_none_is_met_without_figures() -> None:
    steps = dict.fromkeys(targets.SMALL, 0.001) | {"torch:compile-epoch": 9e-5}
    timings = {name: timing(name, step) for name, step in steps.items()}
    asked = targets.speed_targets(timings, ())
    assert [target.outcome for target in asked] == ["met"] * 5
    assert [target.subject for target in asked[:3]] == ["torch:compile-epoch"] * 3

    broken = {name: timing(name, None) for name in targets.SMALL}
    without = targets.speed_targets(broken, ())
    assert {target.outcome for target in without} == {"could not be measured"}
    assert all("no compiler" in target.reason for target in without)


@pytest.mark.parametrize(
    ("ours", "outcome"), [(110, "met"), (111, "missed"), (None, "could not be measured")]
)
def test_memory_may_be_a_tenth_more(ours: int | None, outcome: str) -> None:
    target = targets.memory_target(
        timing("torch:eager", 1e-3, ours), timing("handwritten:torch", 1e-3, 100)
    )
    assert target.outcome == outcome


def test_a_line_says_the_figure_and_its_limit() -> None:
    target = targets.ratio_target("as fast", ratio(0.5), 1.0)
    line = targets.line_of(vars(target))
    assert line == "met     0.500 (0.500 to 0.500), at most 1.00   as fast (torch:eager)"
    missing = targets.line_of(vars(replace(target, figure=None, outcome="could not be measured")))
    assert missing == "could not be measured: as fast: too busy"


@pytest.mark.parametrize(("limit", "code"), [(1.0, 0), (0.4, 1)])
def test_one_missed_target_is_code_1(limit: float, code: int) -> None:
    met = targets.ratio_target("met", ratio(0.5), 1.0)
    other = targets.ratio_target("other", ratio(0.5), limit)
    assert targets.judge({"targets": [vars(met), vars(other)]}, Narrator()) == code
