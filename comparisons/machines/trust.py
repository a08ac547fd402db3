"""Can the timing be trusted, and the advice? The tables of both, as far as they were scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from comparisons.machines.stored import Machine, threads_of
from comparisons.machines.tables import NOT_RUN, WITHHELD, table
from comparisons.steadiness import SLOW
from twofold.report.wording import duration

CALIBRATION: Final = """
## Can the timing be trusted?

Engines were timed against themselves, and against themselves slowed down on purpose: how often were
the two called different? In brackets the same for each engine.
"""
STEADINESS: Final = """
One reason why a slow-down can be missed: some engines run at one of two speeds and *stay* there for
a while. Only after many changes of speed can such an engine be told apart from one that is really
slower. Here one process of each engine ran block by block, without a pause. *Slow* blocks take more
than {slow:g} times the step of the fast ones (the 10th percentile).
"""
STEADINESS_HEAD: Final = (
    "machine",
    "engine",
    "step",
    "of the fast blocks",
    "slow blocks",
    "stays fast or slow for",
    "medians of 1 s apart by",
    "of 5 s",
)
ADVICE: Final = """
## Can the advice be trusted?

A calibration of a few minutes (`twofold calibrate`) predicts random workloads that it did not
measure (`twofold advise`). Then these were measured too. *Winners*: how often the engine with the
shortest step, of those calibrated, was named rightly, counting only workloads where the second is
more than 10 % slower. *Redrawn*: all workloads are divided again, many times, into those of the
calibration and the others; the figures are averages over these draws, since one or two winners more
in a single score are chance. The cost model must beat the two simple ways. Before 2026-11-26 an
epoch of the score had 8 steps, since then 100: to begin an epoch costs some engines as much as
several steps.
"""
ADVICE_HEAD: Final = (
    "machine",
    "way",
    "used by the advice",
    "error of the step time (target: at most 20 %)",
    "winners (target: at least 90 %)",
    "slower than the best by",
    "redrawn: error, winners, slower by",
)


def calibration_section(machines: Sequence[Machine]) -> Iterator[str]:
    """False alarms and slow-downs found, where the timing was calibrated."""
    levels = {
        f"{machine.name} ({threads_of(result)})": {
            level["slow_down"]: _found(level, result["trials"]) for level in result["levels"]
        }
        for machine in machines
        for result in machine.calibrations
    }
    if not levels:
        return
    yield CALIBRATION
    targets = {
        level["slow_down"]: level["target"]
        for machine in machines
        for result in machine.calibrations
        for level in result["levels"]
    }
    rows = []
    for share, target in sorted(targets.items()):
        sign = "at most" if share == 0 else "at least"
        slowed = f"{100 * share:.0f} %" if share else "not at all"
        found = (of_machine.get(share, NOT_RUN) for of_machine in levels.values())
        rows.append((slowed, f"{sign} {100 * target:.0f} %", *found))
    yield from table(("slowed down by", "target", *levels), rows)


def _found(level: dict[str, Any], trials: Sequence[dict[str, Any]]) -> str:
    """`11 of 20, missed (torch:eager 8 of 8, flax:jit 3 of 12)`."""
    counts = ("slower", "faster") if level["slow_down"] == 0 else ("slower",)
    different = sum(level[outcome] for outcome in counts)
    outcomes: dict[str, list[str]] = {}
    for trial in trials:
        if trial["slow_down"] == level["slow_down"] and trial["outcome"] != WITHHELD:
            outcomes.setdefault(trial["engine"], []).append(trial["outcome"])
    engines = ", ".join(
        f"{engine} {sum(outcome in counts for outcome in own)} of {len(own)}"
        for engine, own in outcomes.items()
    )
    verdict = "met" if level["met"] else "missed"
    return f"{different} of {level['judged']}, {verdict}" + (f" ({engines})" if engines else "")


def steadiness_section(machines: Sequence[Machine]) -> Iterator[str]:
    """How engines stay at a speed, where that was measured."""
    rows = [
        (
            f"{machine.name} ({threads_of(result)})",
            engine,
            duration(own["median_s"]),
            duration(own["fast_s"]),
            f"{own['slow']:.0%}",
            duration(own["stay_s"]),
            *(f"{share:.0%}" for share in own["stretches"].values()),
        )
        for machine in machines
        for result in machine.steadiness
        for engine, own in result["engines"].items()
    ]
    if rows:
        yield STEADINESS.format(slow=SLOW)
        yield from table(STEADINESS_HEAD, rows)


def advice_section(machines: Sequence[Machine]) -> Iterator[str]:
    """How the ways of predicting did, where the advice was scored."""
    rows = [
        row for machine in machines for result in machine.scores for row in _scored(machine, result)
    ]
    if not rows:
        return
    yield ADVICE
    yield from table(ADVICE_HEAD, rows)


def _scored(machine: Machine, result: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    threads = threads_of(result)
    targets = result["targets"]
    redrawn = {item["name"]: item for item in result.get("resampled", {}).get("scores", ())}
    for item in result["scores"]:
        error = item["median_error"]
        yield (
            f"{machine.name} ({threads})",
            item["name"],
            "yes" if item["name"] == (result.get("way") or result["scores"][0]["name"]) else "",
            "-" if error is None else _held(f"{error:.0%}", error <= targets["median_error"]),
            _held(
                f"{item['right']} of {item['clear']}",
                item["share_right"] is not None and item["share_right"] >= targets["share_right"],
            ),
            f"{item['lost']:.1%}",
            _redrawn(redrawn[item["name"]]) if item["name"] in redrawn else "-",
        )


def _redrawn(item: dict[str, Any]) -> str:
    """`10%, 95.5%, 0.9%`."""
    error = "-" if item["median_error"] is None else f"{item['median_error']:.0%}"
    return f"{error}, {item['share_right']:.1%}, {item['lost']:.1%}"


def _held(text: str, met: bool) -> str:
    return f"{text}, {'met' if met else 'missed'}"
