"""What the timing says, in sentences that claim no more than was measured.

A framework's step is timed "at its best" only where every engine took part that has been its
fastest somewhere (`contenders`). Everywhere else a sentence names the engines that were measured.
A time to a result is always one of the engines measured: other engines may start sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from twofold.backends.installed import backend_of, backends
from twofold.report import wording
from twofold.report.contenders import contenders_of
from twofold.report.time_to_result import CLOSE, BreakEven, Cache, Lines, MeasuredEngine
from twofold.report.timing_findings import ExperimentTiming

Timing = Sequence[ExperimentTiming]
Scope = Callable[[ExperimentTiming], str]

AT_BEST = "each framework at its best"
MANY = 6
NOT_MEASURED = "not measured"
PERCENT = f"{100 * CLOSE:.0f} %"
WITHIN = f"within {PERCENT} of each other"


def shortest_step(timing: Timing) -> str:
    """The short answer to: whose step is the shortest in a long run?"""
    shown = [item for item in timing if item.measured]
    if not shown:
        return "Not known: no engine was measured."
    return _grouped(shown, lambda item: _either(item.leaders, "not told apart"), _counted)


def soonest(timing: Timing, cache: Cache) -> str:
    """The short answer to: which engine ends the experiment's own training first?"""
    shown = [item for item in timing if item.measured]
    if not shown:
        return "Not known: no engine was measured."
    return _grouped(shown, lambda item: _soonest(item, item.with_cache(cache)), _number_measured)


def _soonest(item: ExperimentTiming, lines: Lines) -> str:
    if not lines.complete:
        return NOT_MEASURED
    if item.steps is None:
        return "the number of steps is not stored"
    return _either(lines.soonest(item.steps), WITHIN)


def _either(engines: Sequence[MeasuredEngine], why: str) -> str:
    """`a`, or `a or b (not told apart)`."""
    names = " or ".join(engine.engine for engine in engines)
    return f"{names} ({why})" if len(engines) > 1 else names


def _grouped(timing: Timing, answer: Callable[[ExperimentTiming], str], among_which: Scope) -> str:
    """`In digits and lesson, each framework at its best: flax:jit.`; equal answers together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for item in timing:
        found = answer(item)
        among = "" if found == NOT_MEASURED else f", {among_which(item)}"
        groups.setdefault((found, among), []).append(item.experiment)
    return " ".join(
        f"In {wording.listing(names)}{among}: {found}." for (found, among), names in groups.items()
    )


def scope(item: ExperimentTiming) -> str:
    """Among which engines a comparison holds."""
    return AT_BEST + _unchecked(item) if item.at_best else _measured(item)


def _counted(item: ExperimentTiming) -> str:
    """As `scope`, the engines by their number: a short answer stands beside their table."""
    return scope(item) if item.at_best else _number_measured(item)


def _number_measured(item: ExperimentTiming) -> str:
    if len(item.measured) == 1:
        return f"the one engine measured{_unchecked(item)}"
    return f"of the {len(item.measured)} engines measured{_unchecked(item)}"


def _measured(item: ExperimentTiming) -> str:
    """The engines measured by name, or many by their number where the best are among them."""
    if item.at_best and len(item.measured) > MANY:
        return f"of the {len(item.measured)} engines measured{_unchecked(item)}"
    names = wording.listing(one.engine for one in item.measured)
    return f"of the engines measured ({names}){_unchecked(item)}"


def _unchecked(item: ExperimentTiming) -> str:
    return "" if item.checked else ", timed without a parity check"


def sentences(timing: Timing) -> Iterator[str]:
    """The advice that follows from the timing."""
    shown = [item for item in timing if item.measured]
    yield from _on_backends(shown)
    for item in shown:
        yield from _on_length(item)
        yield _on_own_length(item)
    yield from _on_engines_never_soonest(shown)


def _on_backends(timing: Timing) -> Iterator[str]:
    """The fastest engines of every two frameworks, experiment by experiment."""
    for item in timing:
        for one, other in combinations(item.fastest_of_each(), 2):
            known = all(contenders_of(backend_of(each.engine)) for each in (one, other))
            at_best = item.at_best and known
            among = AT_BEST if at_best else "the fastest engine measured of each framework"
            yield (
                f"**{item.experiment}, step time, {among}{_unchecked(item)}:** "
                f"{_lead(item, one, other)}.{_what_is_missing(item)}"
            )


def _lead(item: ExperimentTiming, one: MeasuredEngine, other: MeasuredEngine) -> str:
    """Which of the two is ahead, if the stored comparison shows it."""
    shorter, longer = sorted((one, other), key=lambda engine: engine.step)
    if item.ahead(longer, shorter):  # in pairs of blocks, which is sounder than the medians
        shorter, longer = longer, shorter
    first = f"{shorter.engine} ({wording.duration(shorter.step)} a step)"
    second = f"{longer.engine} ({wording.duration(longer.step)})"
    stored = item.against(longer.engine, shorter.engine)
    if not item.ahead(shorter, longer):
        withheld = stored is not None and stored.outcome == "could not be measured"
        return f"{first} and {second}: {'not compared' if withheld else 'not distinguishable'}"
    paired = stored.median if stored is not None else None  # sounder than a ratio of two medians
    times = wording.significant(paired or longer.step / shorter.step)
    return f"{first} is {times} times as fast as {second}"


def _what_is_missing(item: ExperimentTiming) -> str:
    """The engines that were not measured and could change the answer."""
    if not item.lacking:
        return ""
    return (
        f" Not measured here: {wording.listing(item.lacking)}, which elsewhere "
        f"{'was the' if len(item.lacking) == 1 else 'were each the'} fastest of "
        f"{'its' if len(item.lacking) == 1 else 'their'} framework."
    )


def _on_length(item: ExperimentTiming) -> Iterator[str]:
    """Which engine is first, by the number of steps, with each state of the compile cache."""
    for lines in item.caches:
        if lines.complete:
            parts = [_first(lines), *(_overtaking(item, even) for even in lines.break_evens)]
            yield (
                f"**{item.experiment}, time to a result by the number of steps, {lines.cache} "
                f"compile cache:** {_measured(item)}, {'; '.join(parts)}."
            )


def _first(lines: Lines) -> str:
    """Which engine ends its first step first, and those whose starts are close to it."""
    first, *close = lines.soonest(1)
    if not close:
        return f"{first.engine} from the first step on"
    others = wording.listing(line.engine for line in close)
    whose = "those of " if len(close) > 1 else "that of "
    return f"{first.engine} first, its start within {PERCENT} of {whose}{others}"


def _overtaking(item: ExperimentTiming, even: BreakEven) -> str:
    low = wording.steps(even.low)
    known = item.ahead(item.named(even.overtaker), item.named(even.starter))
    if even.high is None or not known:
        return f"{even.overtaker} after {low} steps at the earliest, perhaps never"
    middle, high = wording.steps(even.steps), wording.steps(even.high)
    return f"{even.overtaker} from about {middle} steps on ({low} to {high})"


def _on_own_length(item: ExperimentTiming) -> str:
    """Which engine is the first to end the experiment's own training."""
    if item.steps is None:
        return (
            f"**{item.experiment}, time to its own result:** not known, because the number of "
            "steps is not stored."
        )
    parts = (
        f"with {'an empty' if lines.cache == 'empty' else 'a full'} compile cache: "
        f"{_first_at(item.steps, lines)}"
        for lines in item.caches
    )
    return (
        f"**{item.experiment}, time to its own result ({wording.counted(item.steps, 'step')}):** "
        f"{_measured(item)}, {'; '.join(parts)}."
    )


def _first_at(steps: int, lines: Lines) -> str:
    if not lines.complete:
        some = f" for {wording.listing(lines.without)}" if lines.lines else ""
        return NOT_MEASURED + some
    first = lines.soonest(steps)
    found = " or ".join(
        f"{line.engine} ({wording.duration(line.time_to(steps))})" for line in first
    )
    return f"{found}, {WITHIN}" if len(first) > 1 else found


def _on_engines_never_soonest(timing: Timing) -> Iterator[str]:
    """Engines that are behind for any number of steps, with the experiments where they are."""
    where: dict[str, list[str]] = {}
    for item in timing:
        told = {leader.engine for leader in item.leaders}  # nobody is known to be ahead of these
        for engine in (name for name in item.empty_cache.never_soonest if name not in told):
            where.setdefault(engine, []).append(item.experiment)
    groups: dict[tuple[str, ...], list[str]] = {}
    for engine, names in where.items():
        everywhere = [item.experiment for item in timing if engine in _names(item)]
        if names == everywhere:  # not where it is soonest on another experiment
            groups.setdefault(tuple(names), []).append(engine)
    for places, engines in groups.items():
        yield (
            f"**Never the soonest where it was measured** ({wording.listing(places)}, empty "
            f"compile cache, any number of steps): {wording.listing(engines)}. Another engine "
            "measured there was always ahead."
        )


def _names(item: ExperimentTiming) -> set[str]:
    return {engine.engine for engine in item.measured}


def known_contenders() -> str:
    """What "at its best" rests on: `compile-step and ... for PyTorch; ... for Flax`."""
    return "; ".join(
        f"{wording.listing(contenders_of(owner.name))} for {owner.title}"
        for owner in backends()
        if owner.best_engines
    )
