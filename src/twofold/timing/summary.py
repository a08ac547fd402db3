"""From what the harness saw to figures, ratios, outcomes and warnings."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from twofold.timing.harness import Rounds, Run
from twofold.timing.result import ColdStart, EngineTiming, Noise, Ratio
from twofold.timing.statistics import (
    median_interval,
    outcome_of,
    paired_ratio,
    relative_spread,
)

NOISY_SPREAD: Final = 0.1
BUSY_SHARE: Final = 0.2
FEW_ROUNDS: Final = 20


def engine_timing(run: Run, seed: int) -> EngineTiming:
    """The figures of one run; those of an engine that broke stop where it broke."""
    samples = tuple(block.step_s for block in run.blocks)
    step = median_interval(samples, seed) if samples and run.status == "measured" else None
    opened, description = run.opened, run.description
    return EngineTiming(
        engine=run.engine,
        status=run.status,
        reason=run.reason,
        cold_start=_cold_start(run),
        step_s=step,
        samples_s=samples,
        steps_per_block=run.steps_per_block,
        compilations=sum(block.compilations for block in run.blocks) if samples else None,
        warm_up=run.warm_up,
        rows_per_step=opened.rows_per_step if opened else None,
        rows_per_s=opened.rows_per_step / step.median if opened and step else None,
        peak_memory_bytes=description.get("peak_memory_bytes"),
        settled_share=sum(b.settled for b in run.blocks) / len(samples) if samples else None,
        dropped_partial_batch=opened.dropped_partial_batch if opened else None,
        framework=description.get("framework"),
    )


def _cold_start(run: Run) -> ColdStart | None:
    if run.opened is None or run.first is None:
        return None
    return ColdStart(
        run.opened.import_s, run.opened.open_s, run.first.seconds, run.first.compilations
    )


def all_ratios(engines: Sequence[EngineTiming], seed: int) -> tuple[Ratio, ...]:
    """Every pair of engines once, the one that comes first as reference."""
    return tuple(
        ratio_of(engine, reference, seed)
        for reference, engine in itertools.combinations(engines, 2)
    )


def ratio_of(engine: EngineTiming, reference: EngineTiming, seed: int) -> Ratio:
    """The ratio of two engines' step times, or why there is none."""
    for side in (engine, reference):
        if side.status != "measured":
            reason = f"{side.engine}: {side.status}: {side.reason}"
            return Ratio(
                engine.engine,
                reference.engine,
                None,
                None,
                None,
                "could not be measured",
                reason,
            )
    interval = paired_ratio(engine.samples_s, reference.samples_s, seed)
    return Ratio(
        engine.engine,
        reference.engine,
        interval.median,
        interval.low,
        interval.high,
        outcome_of(interval),
    )


def noise_of(rounds: Rounds, engines: Sequence[EngineTiming]) -> Noise:
    """The steadiest engine's spread, and what others did to the machine."""
    spreads = [relative_spread(engine.samples_s) for engine in engines if engine.samples_s]
    return Noise(min(spreads, default=None), rounds.other_cores)


def warnings_of(rounds: Rounds, engines: Sequence[EngineTiming], cores: int) -> tuple[str, ...]:
    """What a reader must know before believing the figures, in plain sentences."""
    found = [warning for engine in engines for warning in _engine_warnings(engine)]
    if any(engine.dropped_partial_batch for engine in engines):
        found.append("The smaller last batch of each epoch was left out: all steps are alike.")
    if rounds.interrupted:
        found.append("Interrupted: the figures are from the rounds that were complete.")
    count = max((len(engine.samples_s) for engine in engines), default=0)
    if 0 < count < FEW_ROUNDS:
        found.append(f"Only {count} rounds: intervals are rough; give more --seconds.")
    noise = noise_of(rounds, engines)
    if noise.spread is not None and noise.spread > NOISY_SPREAD:
        found.append(
            f"The machine was unsteady: even the steadiest engine's blocks spread by "
            f"{noise.spread:.0%}; close other programs and measure again."
        )
    if noise.other_cores is not None and noise.other_cores > BUSY_SHARE * cores:
        found.append(
            f"The machine was busy: other programs kept {noise.other_cores:.1f} of {cores} "
            "cores at work; close them and measure again."
        )
    return tuple(found)


def _engine_warnings(engine: EngineTiming) -> list[str]:
    found = []
    if engine.compilations:
        found.append(
            f"{engine.engine} compiled {engine.compilations} more programs in the steady state; "
            "some of its samples hold compile time."
        )
    if engine.samples_s and engine.warm_up is not None and not engine.warm_up.steady:
        found.append(
            f"{engine.engine} never became steady in {engine.warm_up.seconds:.0f} s of warm-up; "
            "its step time may still be changing."
        )
    if engine.settled_share is not None and engine.settled_share < 0.9:
        found.append(
            f"{engine.engine}'s threads were still busy after "
            f"{1 - engine.settled_share:.0%} of its blocks; they may have slowed the others."
        )
    return found
