"""From what the harness saw to figures, ratios, outcomes and warnings."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from twofold.timing.disturbance import busy_limit
from twofold.timing.harness import FEWEST_ROUNDS, Rounds, Run
from twofold.timing.operations import Work
from twofold.timing.protocol import Opened
from twofold.timing.result import ColdStart, EngineTiming, Noise, Ratio
from twofold.timing.roofline import Roofline
from twofold.timing.statistics import (
    interval_of,
    outcome_of,
    paired_ratio,
    relative_spread,
    resolution_for,
)
from twofold.timing.timed_engine import Block

Value = TypeVar("Value")

NOISY_SPREAD: Final = 0.1
FEW_ROUNDS: Final = 20


def engine_timing(run: Run, seed: int, quiet: Sequence[bool] = ()) -> EngineTiming:
    """The figures of one run; those of an engine that broke stop where it broke."""
    samples = tuple(block.step_s for block in run.blocks)
    measured = bool(samples) and run.status == "measured"
    processes = tuple(block.process for block in run.blocks)
    kept = _kept(samples, quiet), seed, _kept(processes, quiet)
    step = interval_of(*kept) if measured else None
    opened, description = run.opened, run.description
    compiled, first = description.get("compilations"), run.first
    return EngineTiming(
        engine=run.engine,
        status=run.status,
        reason=run.reason,
        cold_start=_start(run.opened, first, description),
        warm_start=_start(run.warm_opened, run.warm_first, run.warm_description),
        step_s=step,
        samples_s=samples,
        processes=processes if any(processes) else (),
        steps_per_block=run.steps_per_block,
        compilations=sum(block.compilations for block in run.blocks) if samples else None,
        recompilations=compiled - first.compilations if first and compiled is not None else None,
        warm_up=run.warm_up,
        rows_per_step=opened.rows_per_step if opened else None,
        rows_per_s=opened.rows_per_step / step.median if opened and step else None,
        peak_memory_bytes=description.get("peak_memory_bytes"),
        settled_share=sum(b.settled for b in run.blocks) / len(samples) if samples else None,
        dropped_partial_batch=opened.dropped_partial_batch if opened else None,
        framework=description.get("framework"),
    )


def _start(
    opened: Opened | None, first: Block | None, later: Mapping[str, Any]
) -> ColdStart | None:
    """The parts of a start; `later` is what the engine said of itself after more steps."""
    if opened is None or first is None:
        return None
    start = ColdStart(opened.import_s, opened.open_s, first.seconds, first.compilations)
    if opened.built is None or first.built is None:
        return start
    in_open, in_first = opened.built.within(opened.open_s), first.built.within(first.seconds)
    both, built = in_open + in_first, later.get("built")
    more = None if built is None else built - opened.built - first.built
    return replace(
        start,
        trace_s=both.trace_s,
        compile_s=both.compile_s,
        built_in_open_s=in_open.total_s,
        later_build_s=None if more is None else max(0.0, more.total_s),
    )


def with_work(engine: EngineTiming, work: Work, roofline: Roofline | None) -> EngineTiming:
    """The engine's figures with its rate of operations and its share of the roofline."""
    if engine.step_s is None:
        return engine
    step = engine.step_s.median
    share = roofline.shortest_step_s(work) / step if roofline else None
    return replace(engine, flops_per_s=work.flops / step, roofline_share=share)


def all_ratios(
    engines: Sequence[EngineTiming], seed: int, quiet: Sequence[bool] = ()
) -> tuple[Ratio, ...]:
    """Every pair of engines once, the one that comes first as reference."""
    return tuple(
        ratio_of(engine, reference, seed, quiet)
        for reference, engine in itertools.combinations(engines, 2)
    )


def ratio_of(
    engine: EngineTiming, reference: EngineTiming, seed: int, quiet: Sequence[bool] = ()
) -> Ratio:
    """The ratio of two engines' step times, or why there is none.

    `quiet`: which rounds others left alone; none given means all. Too few of them, and the ratio is
    withheld: an interval from a handful of rounds, or from a machine that others used, looks like
    evidence and is none.
    """
    for side in (engine, reference):
        if side.status != "measured":
            return _withheld(engine, reference, f"{side.engine}: {side.status}: {side.reason}")
    reason = why_too_few(len(engine.samples_s), quiet)
    if reason:
        return _withheld(engine, reference, reason)
    pairs = tuple(zip(engine.processes, reference.processes, strict=False))
    interval = paired_ratio(
        _kept(engine.samples_s, quiet),
        _kept(reference.samples_s, quiet),
        seed,
        _kept(pairs, quiet),
    )
    return Ratio(
        engine.engine,
        reference.engine,
        interval.median,
        interval.low,
        interval.high,
        outcome_of(interval, resolution_for(pairs)),
    )


def why_too_few(rounds: int, quiet: Sequence[bool]) -> str:
    """Why some rounds carry no ratio; empty if they do."""
    if rounds < FEWEST_ROUNDS:
        taken = "1 round" if rounds == 1 else f"{rounds} rounds"
        return f"only {taken}, at least {FEWEST_ROUNDS} are needed; give more --seconds"
    left = sum(quiet) if quiet else rounds
    if left < FEWEST_ROUNDS:
        return (
            f"the machine was busy: other programs disturbed {rounds - left} of {rounds} rounds; "
            "close them and measure again"
        )
    return ""


def _withheld(engine: EngineTiming, reference: EngineTiming, reason: str) -> Ratio:
    return Ratio(engine.engine, reference.engine, None, None, None, "could not be measured", reason)


def _kept(samples: Sequence[Value], quiet: Sequence[bool]) -> Sequence[Value]:
    """The samples of quiet rounds where these are enough, else all."""
    kept = [sample for sample, good in zip(samples, quiet, strict=False) if good]
    return kept if len(kept) >= FEWEST_ROUNDS else samples


def noise_of(rounds: Rounds, engines: Sequence[EngineTiming]) -> Noise:
    """The steadiest engine's spread, and what others did to the machine."""
    spreads = [
        relative_spread(_kept(engine.samples_s, rounds.quiet))
        for engine in engines
        if engine.samples_s
    ]
    return Noise(min(spreads, default=None), rounds.other_cores, sum(rounds.quiet))


def warnings_of(rounds: Rounds, engines: Sequence[EngineTiming], cores: int) -> tuple[str, ...]:
    """What a reader must know before believing the figures, in plain sentences."""
    found = [warning for engine in engines for warning in _engine_warnings(engine)]
    if any(engine.dropped_partial_batch for engine in engines):
        found.append("The smaller last batch of each epoch was left out: all steps are alike.")
    if rounds.interrupted:
        found.append("Interrupted: the figures are from the rounds that were complete.")
    count = max((len(engine.samples_s) for engine in engines), default=0)
    if 0 < count < FEWEST_ROUNDS:
        found.append(f"No ratios: {why_too_few(count, rounds.quiet)}.")
    elif 0 < count < FEW_ROUNDS:
        found.append(f"Only {count} rounds: intervals are rough; give more --seconds.")
    return (*found, *_noise_warnings(rounds, noise_of(rounds, engines), cores))


def _noise_warnings(rounds: Rounds, noise: Noise, cores: int) -> list[str]:
    found = []
    count, disturbed = len(rounds.quiet), rounds.quiet.count(False)
    if noise.spread is not None and noise.spread > NOISY_SPREAD:
        found.append(
            f"The machine was unsteady: even the steadiest engine's blocks spread by "
            f"{noise.spread:.0%}; close other programs and measure again."
        )
    if noise.other_cores is not None and noise.other_cores > busy_limit(cores):
        found.append(
            f"The machine was busy: other programs kept {noise.other_cores:.1f} of {cores} "
            "cores at work; close them and measure again."
        )
    if disturbed and count - disturbed >= FEWEST_ROUNDS:
        found.append(
            f"Left out of the figures: {disturbed} of {count} rounds, disturbed by others."
        )
    elif disturbed and count >= FEWEST_ROUNDS:
        found.append(f"No ratios, and step times are rough: {why_too_few(count, rounds.quiet)}.")
    return found


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
