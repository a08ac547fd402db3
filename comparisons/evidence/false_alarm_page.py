"""The stored tallies of the search for false alarms as one page of Markdown."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

from comparisons.evidence.false_alarm_tally import SCHEMA
from twofold.parity.ladder.multistep import NAME as MULTI_STEP
from twofold.results.json_files import read_json

Group = tuple[str, str, str, str, str]
"""Engine, precision, draws, processor, and whether the ladder had multi-step execution."""

HEAD: Final = """\
# False alarms

Random correct experiments (`comparisons/evidence/random_problems.py`), on which the ladder must
stay silent. Written by `python -m comparisons.false_alarms --table` from `{folder}`.

| engine | precision | draws | processor | multi-step | seeds | experiments | whole ladders \
| variations | rungs judged | explained | beyond the range | alarms |
|---|---|---|---|---|---|---|---|---|---|---|---|---|"""
CLOSEST: Final = """
*Draws*: `plain` is the first generator, without schedule, clipping and label smoothing; the runs
that it was used for are older than step-locked training, the evaluation metric and export, and
judged the rungs up to the update (that of seed 998 alone is younger). `wide` has the same
experiments with these options drawn as well: about three of five have a schedule, three of five
are clipped (two of five of these within a tenth of the first gradient's own norm), three of five
with cross-entropy are smoothed; the warm state claims up to 10,000 steps. There every ladder goes
through three steps of step-locked training and nine steps in one call to the evaluation metric.
`parts` has the experiments of `wide`, every batch of two rows or more cut into 2 to 16
micro-batches. `layers` has those of `wide` with another model: one to four blocks of a linear
layer, perhaps layer norm or batch norm, an activation and dropout at a rate of its own, two of five
followed by a residual block.

*Multi-step*: whether the ladder had the rung of nine steps in one call; runs without are older.

*Whole ladders*: experiments whose ladder went on to export and import, which opens a session in the
other framework and takes several times as long as all the rest.

*Variations*: an experiment's programs once more with other numbers (rows, scale of inputs and of
every layer's weights, step count), from the forward pass to the update and, in runs that have the
rung, through nine steps in one call. Nearly all the time of an engine that compiles goes into
compiling, which variations need not do again: so such an engine has fewer experiments, and
variations of each. They put other roundings through the same program, but are no substitute for
other shapes and options, which compile to other programs.

*Beyond the range*: rungs on which the exact result, or all that is known of it, exceeds what the
engine's numbers can hold; the oracle then does not judge.

## The closest calls

The largest |computed - oracle| / bound on each rung; above 1 would be an alarm.

| engine | precision | draws | processor | multi-step | rung | ratio | seed |
|---|---|---|---|---|---|---|---|"""


def page(folder: Path) -> str:
    """The stored tallies as Markdown."""
    tallies = [read_json(path, SCHEMA) for path in sorted(folder.rglob("*.json"))]
    groups: dict[Group, list[dict[str, Any]]] = {}
    for tally in tallies:
        groups.setdefault(group_of(tally), []).append(tally)
    lines = [HEAD.format(folder=folder.as_posix())]
    lines += [_group_row(key, group) for key, group in sorted(groups.items())]
    lines.append(CLOSEST)
    for key, group in sorted(groups.items()):
        lines += _closest_rows(key, group)
    return "\n".join([*lines, *_alarm_lines(tallies), ""])


def group_of(tally: dict[str, Any]) -> Group:
    """What is counted together; results from before the wide draws have the plain ones."""
    processor = str(tally["environment"]["processor"])
    several = any(rung.startswith(MULTI_STEP) for rung in tally["worst_ratios"])
    draws = tally.get("draws", "plain")
    return tally["engine"], tally["precision"], draws, processor, "yes" if several else "no"


def _alarm_lines(tallies: list[dict[str, Any]]) -> list[str]:
    """Every alarm, and whether another run of its seed stayed silent."""
    lines = ["", "## Alarms", ""]
    for tally in tallies:
        for alarm in tally["alarms"]:
            again = any(clean_rerun(other, tally, alarm["seed"]) for other in tallies)
            since = "; gone since: a later run of this seed has none" if again else ""
            engine, precision, draws, *_ = group_of(tally)
            lines.append(
                f"- {engine} {precision}, {draws} seed {alarm['seed']}, {alarm['rung']}: "
                f"{alarm['note']}{since}"
            )
    return lines if len(lines) > 3 else [*lines, "None."]


def clean_rerun(other: dict[str, Any], tally: dict[str, Any], seed: int) -> bool:
    """Whether another run of the same engine, precision, draws and processor has no such alarm."""
    covers = other["seeds"][0] <= seed < other["seeds"][1]
    silent = all(alarm["seed"] != seed for alarm in other["alarms"])
    return group_of(other)[:4] == group_of(tally)[:4] and covers and silent


def _group_row(key: Group, group: list[dict[str, Any]]) -> str:
    verdicts: Counter[str] = Counter()
    for tally in group:
        verdicts.update(tally["verdicts"])
    seeds = ", ".join(f"{a} to {b - 1}" for a, b in (tally["seeds"] for tally in group))
    cells = (
        *key,
        seeds,
        sum(tally["experiments"] for tally in group),
        sum(tally.get("whole_ladders", 0) for tally in group),
        sum(tally.get("variations", 0) for tally in group),
        sum(verdicts[word] for word in ("certified", "explained", "diverges", "vacuous")),
        verdicts["explained"],
        verdicts["not run"] + verdicts["out of range"],
        sum(len(tally["alarms"]) for tally in group),
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _closest_rows(key: Group, group: list[dict[str, Any]]) -> list[str]:
    worst: dict[str, tuple[float, int]] = {}
    for tally in group:
        for rung, entry in tally["worst_ratios"].items():
            found = (float(entry["ratio"]), int(entry["seed"]))
            worst[rung] = max(worst.get(rung, (-1.0, 0)), found)
    return [
        f"| {' | '.join(key)} | {rung} | {ratio:.3g} | {seed} |"
        for rung, (ratio, seed) in worst.items()
    ]
