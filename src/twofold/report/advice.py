"""What follows: sentences that rules derive from the findings, every figure in them measured."""

from __future__ import annotations

from collections.abc import Iterator

from twofold.report import wording
from twofold.report.parity_findings import ParityFindings, unique
from twofold.report.speed_advice import sentences, shortest_step, soonest
from twofold.report.timing_findings import ExperimentTiming
from twofold.report.training_findings import ExperimentTraining


def advise(
    parity: ParityFindings | None,
    timing: tuple[ExperimentTiming, ...],
    training: tuple[ExperimentTraining, ...],
) -> tuple[str, ...]:
    """Every sentence that the findings support, the most general first."""
    return (*_on_parity(parity), *sentences(timing), *_on_outcomes(training))


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
    """The short answers to: how fast is each? They are three, and need not name the same engine."""
    if not any(item.measured for item in timing):
        return "Not known: no engine was measured."
    return (
        f"Shortest step. {shortest_step(timing)} "
        f"Soonest to the experiment's own result, empty compile cache. {soonest(timing, 'empty')} "
        f"Full compile cache. {soonest(timing, 'full')}"
    )


def _on_parity(parity: ParityFindings | None) -> Iterator[str]:
    if parity is None:
        return
    diverging = parity.with_verdict("diverges")
    if diverging:
        engines = wording.listing(unique(rung.engine for rung in diverging))
        yield (
            f"**Mend {engines} first** ({wording.counted(len(diverging), 'diverging rung')}): an "
            "engine that computes something else cannot be compared by speed or by test metric."
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


def _on_outcomes(training: tuple[ExperimentTraining, ...]) -> Iterator[str]:
    for item in training:
        if item.spread is None:
            continue
        scored = [engine.engine for engine in item.engines if engine.value is not None]
        yield (
            f"**{item.experiment}, after training:** the test {item.metric} of "
            f"{wording.listing(scored)} {_distance(item, item.spread)}. One seed was trained: this "
            "is one observation, and no rule follows from it."
        )


def _distance(item: ExperimentTraining, spread: float) -> str:
    rows = f"{item.rows:,} test rows"
    if spread == 0:
        return f"is the same on {rows}"
    if item.spread_rows is not None:
        rows = f"{item.spread_rows:,} of {rows}"
    return f"differs by {wording.significant(spread, 2)} ({rows})"
