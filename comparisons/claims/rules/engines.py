"""Verdicts about engines, from the study that times several of them at several sizes.

What is said of a framework's fastest engine is decided only where every engine was measured that
could decide it otherwise: those that have been their framework's fastest somewhere
(`twofold.report.contenders`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from comparisons.claims.claim import Case, Figure, Findings, Judgement, NotMeasured
from comparisons.claims.judging import above, faster, judge, ratio_figure
from twofold.report.contenders import lacking
from twofold.timing.statistics import Interval

EAGER: Final = "torch:eager"
COMPILED: Final = (
    "torch:compile",
    "torch:compile-step",
    "torch:compile-epoch",
    "flax:jit",
    "flax:scan",
)
LESSON_STEPS: Final = 1_570
"""Ten epochs of 10,000 rows in batches of 64."""
PROTOTYPE_STEPS: Final = 100
PATIENCE_S: Final = 1.0
SLOW_FIRST_STEP: Final = 100.0
NEED: Final = 1.5
"""A program that runs 1.5 times as fast is one that a person would want."""

Timing = Mapping[str, Any]


def sizes(findings: Findings) -> Iterator[tuple[str, Timing]]:
    """Each size with its timing, from small to large."""
    for entry in findings["sizes"]:
        yield entry["size"], entry["timing"]


def measured(timing: Timing) -> dict[str, Mapping[str, Any]]:
    """The engines that have figures."""
    return {e["engine"]: e for e in timing["engines"] if e["status"] == "measured"}


def entry_of(timing: Timing, engine: str) -> Mapping[str, Any]:
    """An engine's figures. Raises NotMeasured."""
    found = measured(timing)
    if engine not in found:
        raise NotMeasured(f"{engine} was not measured")
    return found[engine]


def fastest(timing: Timing, prefix: str = "", among: tuple[str, ...] = ()) -> str:
    """The engine with the shortest step, of a backend or of some. Raises NotMeasured."""
    steps = {
        engine: entry["step_s"]["median"]
        for engine, entry in measured(timing).items()
        if engine.startswith(prefix) and (not among or engine in among)
    }
    if not steps:
        raise NotMeasured(f"no engine {prefix or ', '.join(among)} was measured")
    return min(steps, key=lambda engine: steps[engine])


def ratio(timing: Timing, engine: str, reference: str) -> Interval | None:
    """The step time of an engine over a reference's; None where it was withheld."""
    if engine == reference:
        return Interval(1.0, 1.0, 1.0)
    for entry in timing["ratios"]:
        if entry["median"] is None:
            continue
        if (entry["engine"], entry["reference"]) == (engine, reference):
            return Interval(entry["median"], entry["low"], entry["high"])
        if (entry["engine"], entry["reference"]) == (reference, engine):
            return Interval(1 / entry["median"], 1 / entry["high"], 1 / entry["low"])
    return None


def why_withheld(timing: Timing, engine: str, reference: str) -> str:
    """Why there is no ratio of two engines; empty where there is one."""
    if ratio(timing, engine, reference) is not None:
        return ""
    for entry in timing["ratios"]:
        if {entry["engine"], entry["reference"]} == {engine, reference}:
            return str(entry["reason"])
    return f"no ratio of {engine} and {reference}"


def time_ratio_case(size: str, timing: Timing, engine: str, reference: str) -> Case:
    """Whether an engine is faster than a reference."""
    found = ratio(timing, engine, reference)
    figures = (ratio_figure(f"{size}: {engine} over {reference}", found),)
    return Case(size, faster(found), figures, why_withheld(timing, engine, reference))


def founded(
    case: Case, timing: Timing, *, to_hold: tuple[str, ...] = (), to_fail: tuple[str, ...] = ()
) -> Case:
    """The case, undecided where an engine was not measured that could turn its answer round.

    `to_hold` and `to_fail`: the backends whose fastest engines must have taken part before the case
    may be said to hold, and not to hold.
    """
    backends = to_hold if case.holds else to_fail
    absent = tuple(name for one in backends for name in lacking(measured(timing), one))
    if case.holds is None or not absent:
        return case
    return replace(case, holds=None, lacking=absent)


def compile_on_gpu(findings: Findings) -> Judgement:
    """torch.compile between 1.5 and 3 times as fast as eager at every size, on a GPU."""
    cases = [speed_up_case(size, timing) for size, timing in sizes(findings)]
    if not findings["cuda"]:
        figures = tuple(figure for case in cases for figure in case.figures)
        return Judgement(
            "not testable here",
            "This machine has no GPU; the figures are those of its processor, where "
            f"{sum(bool(case.holds) for case in cases)} of {len(cases)} sizes gained that much.",
            figures,
        )
    return judge(cases, "torch.compile is 1.5 to 3 times as fast as eager")


def speed_up_case(size: str, timing: Timing) -> Case:
    found = ratio(timing, EAGER, "torch:compile")
    label = f"{size}: speed-up of torch:compile"
    low, high = above(found, 1.5), above(found, 3.0)
    holds = None if low is None or (low and high is None) else low and not high
    missing = why_withheld(timing, EAGER, "torch:compile")
    return Case(size, holds, (ratio_figure(label, found),), missing)


def first_step_slow(findings: Findings) -> Judgement:
    """The first step takes as long as a hundred later ones or more, in every compiled engine."""
    cases = [
        first_step_case(size, entry)
        for size, timing in sizes(findings)
        for engine, entry in measured(timing).items()
        if engine in COMPILED
    ]
    return judge(cases, f"the first step takes {SLOW_FIRST_STEP:.0f} steps' time or more")


def first_step_case(size: str, entry: Mapping[str, Any]) -> Case:
    first, step = entry["cold_start"]["first_step_s"], entry["step_s"]["median"]
    label = f"{size}: {entry['engine']}"
    figures = (
        Figure(f"{label}, first step", first, "s"),
        Figure(f"{label}, first step over a later one", first / step, "times"),
    )
    return Case(f"{entry['engine']} at {size}", first / step >= SLOW_FIRST_STEP, figures)


def jax_faster(findings: Findings) -> Judgement:
    """The fastest Flax engine is faster than the fastest PyTorch engine."""
    return by_size(findings, "Flax's fastest engine is faster than PyTorch's", best_of_each)


def best_of_each(size: str, timing: Timing) -> Case:
    case = time_ratio_case(size, timing, fastest(timing, "flax:"), fastest(timing, "torch:"))
    return founded(case, timing, to_hold=("torch",), to_fail=("flax",))


def jax_jit_beats_eager(findings: Findings) -> Judgement:
    """flax:jit is faster than torch:eager: what each documentation shows first."""

    def case(size: str, timing: Timing) -> Case:
        return time_ratio_case(size, timing, "flax:jit", EAGER)

    return by_size(findings, "jax.jit is faster than eager PyTorch", case)


def jax_gains_on_large_batches(findings: Findings) -> Judgement:
    """At the largest batch of one width Flax is ahead, and by more than at the smallest.

    Raises NotMeasured where no width was measured at two batch sizes.
    """
    small, large = same_width(findings)
    first, last = best_of_each(*small), best_of_each(*large)
    before, after = (best_ratio(timing) for _, timing in (small, large))
    grows = None if before is None or after is None else after.median < before.median
    holds = None if last.holds is None or grows is None else last.holds and grows
    case = Case(
        f"{last.condition} against {first.condition}",
        holds,
        first.figures + last.figures,
        first.missing or last.missing,
        last.lacking,
    )
    every = ("torch", "flax")  # whichever is missing, the gain could be another one
    for _, timing in (small, large):
        case = founded(case, timing, to_hold=every, to_fail=every)
    return judge([case], "JAX is faster on the large batch, and by more than on the small one")


def same_width(findings: Findings) -> tuple[tuple[str, Timing], tuple[str, Timing]]:
    """The sizes with the smallest and the largest batch among those of one width."""
    for width in dict.fromkeys(entry["width"] for entry in findings["sizes"]):
        of_width = [entry for entry in findings["sizes"] if entry["width"] == width]
        if len(of_width) > 1:
            ordered = sorted(of_width, key=lambda entry: int(entry["batch"]))
            small, large = ordered[0], ordered[-1]
            return (small["size"], small["timing"]), (large["size"], large["timing"])
    raise NotMeasured("no width was measured at two batch sizes; measure without --quick")


def best_ratio(timing: Timing) -> Interval | None:
    """The step time of Flax's fastest engine over that of PyTorch's."""
    return ratio(timing, fastest(timing, "flax:"), fastest(timing, "torch:"))


def eager_costs(findings: Findings) -> Judgement:
    """Some compiled engine of PyTorch is faster than eager mode: ease has its price."""

    def case(size: str, timing: Timing) -> Case:
        compiled = tuple(name for name in COMPILED if name.startswith("torch:"))
        found = time_ratio_case(size, timing, fastest(timing, among=compiled), EAGER)
        return founded(found, timing, to_fail=("torch",))

    return by_size(findings, "compiled PyTorch is faster than eager", case)


def small_needs_no_compiler(findings: Findings) -> Judgement:
    """At the two smallest sizes no compiled engine is 1.5 times as fast as eager PyTorch."""

    def case(size: str, timing: Timing) -> Case:
        best = fastest(timing, among=COMPILED)
        found = ratio(timing, EAGER, best)
        gains = above(found, NEED)
        label = f"{size}: speed-up of {best} over {EAGER}"
        holds = None if gains is None else not gains
        why = why_withheld(timing, EAGER, best)
        found_case = Case(size, holds, (ratio_figure(label, found),), why)
        return founded(found_case, timing, to_hold=("torch", "flax"))

    small = {**findings, "sizes": findings["sizes"][:2]}
    return by_size(small, f"no compiler makes a step {NEED} times as fast", case)


def compile_is_free(findings: Findings) -> Judgement:
    """Over the lesson's 1,570 steps, compiling has paid back what it cost."""
    compiled = [name for name in COMPILED if name.startswith("torch:")]
    cases = [
        pay_back_case(size, timing, engine)
        for size, timing in sizes(findings)
        for engine in compiled
        if engine in measured(timing)
    ]
    return judge(cases, f"compiling has paid for itself within {LESSON_STEPS:,} steps")


def pay_back_case(size: str, timing: Timing, engine: str) -> Case:
    eager, compiled = entry_of(timing, EAGER), entry_of(timing, engine)
    extra = waiting(compiled) - waiting(eager)
    saved = eager["step_s"]["median"] - compiled["step_s"]["median"]
    figures = [Figure(f"{size}: {engine}, extra cold start", extra, "s")]
    if saved > 0:
        steps = max(extra, 0.0) / saved
        figures.append(Figure(f"{size}: {engine}, steps until it has paid", round(steps)))
    else:
        steps = float("inf")
        figures.append(Figure(f"{size}: {engine}, steps until it has paid", "never", "words"))
    return Case(f"{engine} at {size}", steps <= LESSON_STEPS, tuple(figures))


def waiting(entry: Mapping[str, Any]) -> float:
    """Seconds of a cold start without the framework's import, which both pay."""
    start = entry["cold_start"]
    return float(start["open_s"] + start["first_step_s"])


def eager_for_prototypes(findings: Findings) -> Judgement:
    """For a run of 100 steps nobody waits a second longer in eager PyTorch than elsewhere."""

    def case(size: str, timing: Timing) -> Case:
        totals = {
            name: entry["cold_start_s"] + PROTOTYPE_STEPS * entry["step_s"]["median"]
            for name, entry in measured(timing).items()
        }
        if EAGER not in totals or len(totals) < 2:
            raise NotMeasured(f"{size}: {EAGER} and one other engine are needed")
        others = {name: total for name, total in totals.items() if name != EAGER}
        best = min(others, key=lambda name: others[name])
        figures = (
            Figure(f"{size}: {EAGER}, start and {PROTOTYPE_STEPS} steps", totals[EAGER], "s"),
            Figure(f"{size}: {best}, the same", totals[best], "s"),
        )
        return Case(size, totals[EAGER] <= totals[best] + PATIENCE_S, figures)

    return by_size(findings, f"{PROTOTYPE_STEPS} steps are done as soon, or a second later", case)


def by_size(findings: Findings, what: str, case: Callable[[str, Timing], Case]) -> Judgement:
    return judge([case(size, timing) for size, timing in sizes(findings)], what)


def needs_tpu() -> Judgement:
    """A claim about TPUs."""
    return Judgement("not testable here", "No study here runs on a TPU.")


def needs_gpu() -> Judgement:
    """A claim about GPUs against processors."""
    return Judgement("not testable here", "No study here compares a GPU with a processor.")
