"""What follows: sentences that rules derive from the findings, every figure in them measured."""

from __future__ import annotations

from collections.abc import Iterator

from twofold.report import wording
from twofold.report.parity_findings import ParityFindings, unique
from twofold.report.timing_findings import BreakEven, ExperimentTiming, MeasuredEngine
from twofold.report.training_findings import ExperimentTraining

UNDECIDED = "no single engine (not distinguishable)"


def advise(
    parity: ParityFindings | None,
    timing: tuple[ExperimentTiming, ...],
    training: tuple[ExperimentTraining, ...],
) -> tuple[str, ...]:
    """Every sentence that the findings support, the most general first."""
    trained_steps = {item.experiment: item.steps for item in training}
    return (
        *_on_parity(parity),
        *_on_backends(timing),
        *_on_workloads(timing, trained_steps),
        *_on_engines_that_never_lead(timing),
        *_on_outcomes(training),
    )


def same_thing(parity: ParityFindings | None) -> str:
    """The short answer to: are both computing the same thing?"""
    if parity is None:
        return "Not known: there are no parity results."
    total = parity.total
    held = f"{total.certified:,} certified and {total.explained:,} explained"
    if total.diverging:
        return f"No: {total.diverging:,} of {total.total:,} rungs diverge ({held})."
    if total.not_run:
        return f"As far as was checked: {held}, but {total.not_run:,} of {total.total:,} not run."
    if not parity.holds:
        names = unique(said.experiment for said in parity.open) or parity.experiments
        return f"Not shown on {wording.listing(names)}: {held} of {total.total:,} rungs."
    if total.vacuous:
        rest = f"{total.vacuous:,} of {total.total:,} could not have failed"
        return f"Yes: every rung that could fail holds, {held}; {rest}."
    return f"Yes: all {total.total:,} rungs hold, {held}."


def how_fast(timing: tuple[ExperimentTiming, ...]) -> str:
    """The short answer to: how fast is each?"""
    shown = [item for item in timing if item.measured]
    if not shown:
        return "Not known: no engine was measured."
    leaders = [item.leader.engine if item.leader else UNDECIDED for item in shown]
    counts = [f"{leader} in {leaders.count(leader)}" for leader in unique(leaders)]
    experiments = wording.counted(len(shown), "experiment")
    return f"Of {experiments}, the shortest step: {wording.listing(counts)}."


def _on_parity(parity: ParityFindings | None) -> Iterator[str]:
    if parity is None:
        return
    diverging = parity.with_verdict("diverges")
    if diverging:
        engines = wording.listing(unique(rung.engine for rung in diverging))
        yield (
            f"**Mend {engines} first** ({wording.counted(len(diverging), 'diverging rung')}): a "
            "speed or a test metric of something that computes something else says nothing."
        )
    elif parity.holds:
        counted = parity.total.total - parity.total.vacuous
        yield (
            "**What is computed is no reason to prefer one framework.** Every one of the "
            f"{counted:,} checks on {wording.listing(parity.experiments)} holds, so "
            "choose by speed, tools and taste."
        )
    for said in parity.open:
        yield f"**Mend {said.experiment} first**: {wording.sentence(said.words)}"
    if parity.total.not_run:
        missing = wording.listing(unique(rung.engine for rung in parity.with_verdict("not run")))
        yield (
            f"**Nothing is known about {wording.counted(parity.total.not_run, 'rung')}** of "
            f"{missing} that could not be run here; see the reasons above."
        )


def _on_backends(timing: tuple[ExperimentTiming, ...]) -> Iterator[str]:
    """The best engine of each backend against the other's, experiment by experiment."""
    for item in timing:
        torch, flax = item.fastest_of("torch"), item.fastest_of("flax")
        if torch is None or flax is None:
            continue
        faster, slower = sorted((torch, flax), key=lambda engine: engine.step)
        yield f"**{item.experiment}, each framework at its best:** {_lead(item, faster, slower)}."


def _lead(item: ExperimentTiming, faster: MeasuredEngine, slower: MeasuredEngine) -> str:
    """Who is ahead of the two, unless the stored comparison says that this cannot be told."""
    first = f"{faster.engine} ({wording.duration(faster.step)} a step)"
    second = f"{slower.engine} ({wording.duration(slower.step)})"
    if not item.distinguishable(faster, slower):
        return f"{first} and {second}: not distinguishable"
    stored = item.against(slower.engine, faster.engine)
    paired = stored.median if stored is not None else None  # sounder than a ratio of two medians
    times = wording.significant(paired or slower.step / faster.step)
    return f"{first} is {times} times as fast as {second}"


def _on_workloads(
    timing: tuple[ExperimentTiming, ...], trained_steps: dict[str, int]
) -> Iterator[str]:
    """Which engine is first, by the number of steps."""
    for item in timing:
        if not item.envelope:
            continue
        parts = [f"{item.envelope[0]} from the start"]
        parts += [_overtaking(even) for even in item.break_evens]
        yield (
            f"**{item.experiment}, shortest time to a result:** {'; '.join(parts)}."
            f"{_own_training(item, trained_steps)}"
        )


def _overtaking(even: BreakEven) -> str:
    low = wording.steps(even.low)
    if even.high is None:
        return f"{even.overtaker} after {low} steps at the earliest, perhaps never"
    middle, high = wording.steps(even.steps), wording.steps(even.high)
    return f"{even.overtaker} from about {middle} steps on ({low} to {high})"


def _own_training(item: ExperimentTiming, trained_steps: dict[str, int]) -> str:
    """Which engine is first for the training that the experiment itself asks for."""
    steps = trained_steps.get(item.experiment)
    if steps is None:
        return ""
    first = min(item.measured, key=lambda engine: engine.time_to(steps))
    return (
        f" For the {steps:,} steps that it trains, {first.engine} is soonest: "
        f"{wording.duration(first.time_to(steps))}."
    )


def _on_engines_that_never_lead(timing: tuple[ExperimentTiming, ...]) -> Iterator[str]:
    measured = unique(engine.engine for item in timing for engine in item.measured)
    leading = {engine for item in timing for engine in item.envelope}
    idle = [engine for engine in measured if engine not in leading]
    if idle:
        where = wording.listing(item.experiment for item in timing if item.measured)
        yield (
            f"**Never the shortest way to a result here**, for any number of steps on {where}: "
            f"{wording.listing(idle)}."
        )


def _on_outcomes(training: tuple[ExperimentTraining, ...]) -> Iterator[str]:
    for item in training:
        if item.spread is None:
            continue
        yield (
            f"**{item.experiment}, after training:** the engines' test {item.metric} "
            f"{_distance(item, item.spread)}; one seed, so this is an observation, not a law."
        )


def _distance(item: ExperimentTraining, spread: float) -> str:
    rows = f"{item.rows:,} test rows"
    if spread == 0:
        return f"is the same on {rows}"
    if item.spread_rows is not None:
        rows = f"{item.spread_rows:,} of {rows}"
    return f"lies {wording.significant(spread, 2)} apart ({rows})"
