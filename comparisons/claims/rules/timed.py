"""Verdicts from pieces of code timed against each other in one process."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, Final

from comparisons.claims.claim import Case, Figure, Findings, Judgement
from comparisons.claims.judging import (
    above,
    below,
    faster,
    flips_of,
    judge,
    mean_interval,
    paired,
    ratio_figure,
    time_figure,
)
from comparisons.claims.judging import figure as interval_figure
from twofold.report.wording import duration
from twofold.timing.statistics import Interval

TWICE: Final = (1.5, 2.5)
MEANINGFUL: Final = 0.01
ENOUGH_SHARE: Final = 1.1
NO_OVERHEAD: Final = 0.05


def two_sides(findings: Findings, side: str, reference: str, what: str) -> Judgement:
    """Whether one side is faster than the other, size by size."""
    cases = []
    for case in findings["cases"]:
        found = paired(case["timed"], side, reference)
        label = f"{case['size']}: {side} over {reference}"
        cases.append(Case(case["size"], faster(found), (ratio_figure(label, found),)))
    return judge(cases, what)


def fused_faster(findings: Findings) -> Judgement:
    """The fused optimizer makes a step faster."""
    return two_sides(findings, "fused", "default", "the step with the fused AdamW is faster")


def threads_faster(findings: Findings) -> Judgement:
    """All threads are faster than one."""
    if findings["cores"] < 2:
        return Judgement("not testable here", "This machine gives the process one processor.")
    return two_sides(findings, "all", "one", "all threads are faster than one")


def without_gradients_faster(findings: Findings) -> Judgement:
    """Inference is faster when no gradients are recorded."""
    return two_sides(findings, "inference_mode", "gradients recorded", "inference_mode is faster")


def in_place_faster(findings: Findings) -> Judgement:
    """An operation in place is faster than one that makes a new tensor."""
    return two_sides(findings, "in place", "new tensor", "in place is faster")


def larger_batches(findings: Findings) -> Judgement:
    """A larger batch takes less time for each row than the next smaller one."""
    cases = []
    for small, large in itertools.pairwise(findings["batches"]):
        found = paired(findings["timed"], f"batch {large}", f"batch {small}")
        each = Interval(*(end * small / large for end in (found.median, found.low, found.high)))
        label = f"time for a row: batch {large:,} over batch {small:,}"
        cases.append(Case(f"batch {large:,}", faster(each), (ratio_figure(label, each),)))
    return judge(cases, "a row takes less time than in the next smaller batch")


def framework_beats_numpy(findings: Findings) -> Judgement:
    """Either framework's forward pass is faster than NumPy's."""
    cases = []
    for case in findings["cases"]:
        for side in ("PyTorch", "JAX"):
            found = paired(case["timed"], side, "NumPy")
            condition = f"{side}, {case['size']}"
            label = f"{case['size']}: {side} over NumPy"
            cases.append(Case(condition, faster(found), (ratio_figure(label, found),)))
    return judge(sorted(cases, key=lambda case: case.condition.split(",")[0]), "it beats NumPy")


def twice_as_slow(findings: Findings) -> Judgement:
    """float64 takes 1.5 to 2.5 times as long, for every engine and size."""
    return judge(
        [slow_case(case) for case in findings["cases"]], "float64 takes about twice as long"
    )


def slow_case(case: dict[str, Any]) -> Case:
    found = paired(case["timed"], "float64", "float32")
    condition = f"{case['engine']}, {case['size']}"
    low, high = above(found, TWICE[0]), above(found, TWICE[1])
    holds = None if low is None or (low and high is None) else low and not high
    return Case(condition, holds, (ratio_figure(f"{condition}: float64 over float32", found),))


def float32_default(speed: Findings, quality: Findings) -> Judgement:
    """Twice as slow in every case, twice the memory, and no better."""
    slow = [slow_case(case) for case in speed["cases"]]
    memory = [case["bytes"]["float64"] / case["bytes"]["float32"] for case in speed["cases"]]
    twice_the_bytes = Case(
        "twice the memory",
        all(1.9 <= each <= 2.1 for each in memory),
        (Figure("bytes of the train state, float64 over float32", max(memory), "times"),),
    )
    judged = judge([*slow, twice_the_bytes, no_better(quality)], "what it says of float64 holds")
    return replace(judged, flips=tuple(flips_of(slow)))


def no_better(quality: Findings) -> Case:
    """The gain in accuracy stays below one point, with its whole interval."""
    pairs = zip(quality["accuracy"]["float64"], quality["accuracy"]["float32"], strict=True)
    gain = mean_interval([wide - narrow for wide, narrow in pairs])
    return Case(
        "no meaningfully better model",
        below(gain, MEANINGFUL),
        (interval_figure("mean gain in test accuracy by float64", gain, "accuracy"),),
    )


def workers_faster(findings: Findings) -> Judgement:
    """Two workers make an epoch of feeding faster, whatever a row costs."""
    cases = []
    for case in findings["cases"]:
        condition = f"rows of {duration(case['row_s'])}"
        found = paired(case["timed"], "2 workers", "0 workers")
        cases.append(
            Case(
                condition,
                faster(found),
                (
                    ratio_figure(f"{condition}: 2 workers over none", found),
                    time_figure(
                        f"{condition}: an epoch without workers", case["timed"], "0 workers"
                    ),
                ),
            )
        )
    return judge(cases, "two workers feed faster than none")


def loader_fast_enough(findings: Findings) -> Judgement:
    """An epoch with a DataLoader takes at most 10 % longer than with batches by index."""
    cases = []
    for case in findings["cases"]:
        found = paired(case["timed"], "DataLoader", "batches by index")
        label = f"{case['size']}: epoch with a DataLoader over batches by index"
        holds = below(found, ENOUGH_SHARE)
        cases.append(Case(case["size"], holds, (ratio_figure(label, found),)))
    return judge(cases, "the DataLoader costs at most a tenth of the time")


def sequential_is_module(findings: Findings) -> Judgement:
    """The same bits after 20 steps, and step times that differ by less than 5 %."""
    difference = findings["largest_difference"]
    found = paired(findings["timed"], "Sequential", "Module")
    slower, quicker = above(found, 1.05), below(found, 1 / 1.05)
    same_speed = None if None in (slower, quicker) else not slower and not quicker
    cases = [
        Case(
            "same numbers",
            difference == 0.0,
            (Figure("largest difference of a parameter after 20 steps", difference),),
        ),
        Case("same speed", same_speed, (ratio_figure("Sequential over Module", found),)),
    ]
    return judge(cases, "they are the same")


def jit_removes_overhead(findings: Findings) -> Judgement:
    """Calling takes at most 5 % of a compiled step."""
    cases = []
    for case in findings["cases"]:
        share = paired(case["timed"], "call", "step")
        figures = (
            interval_figure(f"{case['size']}: share of a step that is the call", share, "share"),
            time_figure(f"{case['size']}: the call", case["timed"], "call"),
        )
        cases.append(Case(case["size"], below(share, NO_OVERHEAD), figures))
    return judge(cases, "the call is at most a twentieth of the step")


def dynamic_shapes_rough(findings: Findings) -> Judgement:
    """torch.compile compiles again for more than one new size, or runs slower for any size."""
    counts = findings["torch.compile"]["compilations"]
    first = findings["torch.compile"]["first_call_s"]
    jax_counts = findings["jax.jit"]["compilations"]
    slower = paired(findings["steady"], "dynamic", "static")
    sizes = len(findings["batches"])
    cases = [
        Case(
            "compiles again and again",
            counts[-1] > 2,
            (
                Figure(f"torch.compile: compilations for {sizes} sizes", counts[-1]),
                Figure("torch.compile: first call", first[0], "s"),
                Figure("torch.compile: first call at the second size", first[1], "s"),
                Figure(f"jax.jit: compilations for {sizes} sizes", jax_counts[-1]),
            ),
        ),
        Case(
            "slower once compiled for any size",
            above(slower, 1.1),
            (ratio_figure("compiled for any size over compiled for one", slower),),
        ),
    ]
    return judge(cases, "dynamic shapes cost more than one further compilation or 10 % of speed")
