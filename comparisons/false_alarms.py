"""Does the ladder ever cry wolf? Random correct experiments, every one of which must pass.

    python -m comparisons.false_alarms --seeds 0:1000 --engines torch:eager --precision float32
    python -m comparisons.false_alarms --seeds 0:50 --engines flax:jit --variations 20
    python -m comparisons.false_alarms --table

The first form climbs the ladder for the experiments of a range of seeds (see
`comparisons.random_problems`) and stores what it saw, a file for each engine, precision and range;
with `--variations` each experiment
is followed by others that differ in their numbers alone, through the same compiled programs (data,
inputs' scale, weights' scale), on the rungs from the forward pass to the update. The last form
writes all stored files as one page. Exit codes: 0 no alarm, 1 an alarm, 2 bad input.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from comparisons.random_problems import RandomCase, describe, draw
from twofold import environment
from twofold.backends import find_engine, open_session
from twofold.experiment import Precision
from twofold.parity.certify import climb
from twofold.parity.reference import Moment
from twofold.parity.rungs import (
    forward_rung,
    fresh_step_rungs,
    gradients_rung,
    loss_rung,
)
from twofold.parity.subject import Subject
from twofold.parity.verdict import Rung
from twofold.results import read_json, write_json

SCHEMA: Final = "twofold.false-alarms/1"
FOLDER: Final = Path("comparisons") / "results" / "false-alarms"
PAGE: Final = Path("comparisons") / "FALSE_ALARMS.md"
LOCKED_STEPS: Final = 3
STORE_EVERY: Final = 10
FORGET_EVERY: Final = 25  # programs compiled for shapes that never come back


HEAD: Final = """\
# False alarms

Random correct experiments (`comparisons/random_problems.py`), on which the ladder must stay
silent. Written by `python -m comparisons.false_alarms --table` from `{folder}`.

| engine | precision | seeds | experiments | variations | rungs judged | explained \
| beyond the range | alarms |
|---|---|---|---|---|---|---|---|---|"""
CLOSEST: Final = """
*Variations*: an experiment's programs once more with other numbers (rows, scale of inputs and of
every layer's weights), from the forward pass to the update; a compiled engine need not compile
for them. *Beyond the range*: rungs on which the exact result, or all that is known of it, exceeds
what the engine's numbers can hold; the oracle then does not judge.

The draws have no schedule, clipping or label smoothing. The runs that start at seed 0 are older
than step-locked training, the evaluation metric and export: they judged the rungs up to the update.

## The closest calls

The largest |computed - oracle| / bound on each rung; above 1 would be an alarm.

| engine | precision | rung | ratio | seed |
|---|---|---|---|---|"""


@dataclass
class Tally:
    """What one engine answered so far over a range of seeds."""

    engine: str
    precision: Precision
    first_seed: int
    end_seed: int
    experiments: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    worst: dict[str, tuple[float, int]] = field(default_factory=dict)
    alarms: list[dict[str, Any]] = field(default_factory=list)
    not_judged: list[dict[str, Any]] = field(default_factory=list)
    variations: int = 0

    def add(self, case: RandomCase, rungs: list[Rung], variation: int = 0) -> None:
        """Count one experiment, or one variation of it."""
        self.experiments += variation == 0
        for rung in rungs:
            self.verdicts[rung.verdict] += 1
            if rung.verdict == "diverges":
                self.alarms.append(self._event(case, rung, variation))
            elif rung.verdict == "not run":
                self.not_judged.append(
                    {
                        "seed": case.seed,
                        "variation": variation,
                        "rung": rung.rung,
                        "note": rung.note,
                    }
                )
            elif rung.worst_ratio is not None:
                key = f"{rung.rung}, explained" if rung.explanation else rung.rung
                before = self.worst.get(key, (-1.0, 0))
                self.worst[key] = max(before, (rung.worst_ratio, case.seed))

    def _event(self, case: RandomCase, rung: Rung, variation: int) -> dict[str, Any]:
        command = (
            f"python -m comparisons.false_alarms --seeds {case.seed}:{case.seed + 1} "
            f"--engines {self.engine} --precision {self.precision} --variations {variation}"
        )
        return {
            "seed": case.seed,
            "variation": variation,
            "rung": rung.rung,
            "ratio": str(rung.worst_ratio),
            "worst": str(rung.worst),
            "note": rung.note,
            "diagnosis": list(rung.diagnosis),
            "experiment": describe(case),
            "reproduce": command,
        }

    def failed_to_run(self) -> list[dict[str, Any]]:
        """Rungs that an engine could not run, apart from those that the oracle cannot judge."""
        return [event for event in self.not_judged if "engine failed" in event["note"]]

    def to_json(self) -> dict[str, Any]:
        """This tally with the environment it was made in."""
        return {
            "schema": SCHEMA,
            "engine": self.engine,
            "precision": self.precision,
            "seeds": [self.first_seed, self.first_seed + self.experiments],
            "experiments": self.experiments,
            "variations": self.variations,
            "verdicts": dict(self.verdicts),
            "worst_ratios": {
                rung: {"ratio": ratio, "seed": seed}
                for rung, (ratio, seed) in sorted(self.worst.items())
            },
            "alarms": self.alarms,
            "not_judged": self.not_judged,
            "environment": environment.describe(),
        }

    def store(self, folder: Path) -> Path:
        """Write this tally under a name that says what it is of."""
        name = f"{self.engine.replace(':', '-')}-{self.precision}-{self.first_seed}.json"
        return write_json(folder / name, self.to_json())


def main(arguments: list[str] | None = None) -> int:
    """Run or tabulate; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m comparisons.false_alarms")
    parser.add_argument("--seeds", help="a range A:B, B not included", default="0:20")
    parser.add_argument("--engines", help="comma-separated", default="torch:eager,flax:jit")
    parser.add_argument("--precision", choices=("float32", "float64"), default="float32")
    parser.add_argument("--variations", type=int, help="of each experiment", default=0)
    parser.add_argument("--minutes", type=float, help="stop after so many", default=None)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--table", action="store_true", help=f"write {PAGE} from stored results")
    options = parser.parse_args(arguments)
    if options.table:
        PAGE.write_text(page(options.out), encoding="utf-8")
        return 0
    first, end = _seed_range(parser, options.seeds)
    names = options.engines.split(",")
    tallies = [Tally(name, options.precision, first, end) for name in names]
    for name in names:
        find_engine(name)
    options.out.mkdir(parents=True, exist_ok=True)
    search(tallies, options.out, options.minutes, options.variations)
    return 1 if any(tally.alarms or tally.failed_to_run() for tally in tallies) else 0


def _seed_range(parser: argparse.ArgumentParser, text: str) -> tuple[int, int]:
    first, _, end = text.partition(":")
    if not (first.isdigit() and end.isdigit() and int(first) < int(end)):
        parser.error(f"--seeds: {text!r} given; allowed is A:B with whole numbers A < B")
    return int(first), int(end)


def search(tallies: list[Tally], folder: Path, minutes: float | None, variations: int = 0) -> None:
    """Climb with every engine for every seed; stores as it goes, so that a stop loses little."""
    start = time.monotonic()
    first, end = tallies[0].first_seed, tallies[0].end_seed
    for seed in range(first, end):
        case = draw(seed, tallies[0].precision)
        reference = case.reference()
        for tally in tallies:
            rungs = climb(tally.engine, reference, steps=LOCKED_STEPS)
            tally.add(case, rungs)
            _tell_alarms(tally, seed, rungs)
            if variations:
                _vary(tally, case, variations)
        over = minutes is not None and time.monotonic() - start > 60 * minutes
        if (seed - first) % FORGET_EVERY == FORGET_EVERY - 1:
            _forget_compiled()
        if over or seed == end - 1 or (seed - first) % STORE_EVERY == STORE_EVERY - 1:
            for tally in tallies:
                tally.store(folder)
            print(f"seed {seed}: {time.monotonic() - start:.0f} s", flush=True)
        if over:
            return


def _vary(tally: Tally, case: RandomCase, variations: int) -> None:
    """The same session, asked about other numbers."""
    session = open_session(case.problem, tally.engine)
    owner, _ = find_engine(tally.engine)
    for number in range(1, variations + 1):
        subject = Subject(session, owner, case.variation(number))
        rungs = [judge(subject) for judge in (forward_rung, loss_rung, gradients_rung)]
        rungs += step_rungs(subject, subject.reference.fresh)
        rungs += step_rungs(subject, subject.reference.warm)
        tally.variations += 1
        tally.add(case, rungs, number)
        _tell_alarms(tally, case.seed, rungs)


def step_rungs(subject: Subject, moment: Moment) -> tuple[Rung, ...]:
    """Slots and update after a step on a moment's own batch."""
    subject = replace(subject, reference=replace(subject.reference, fresh=moment))
    return fresh_step_rungs(subject)


def _tell_alarms(tally: Tally, seed: int, rungs: list[Rung]) -> None:
    for rung in rungs:
        if rung.verdict == "diverges" or "engine failed" in rung.note:
            print(f"ALARM {tally.engine} seed {seed} {rung.rung}: {rung.note}", flush=True)
            print(f"  ratio {rung.worst_ratio}, {rung.worst}", flush=True)


def _forget_compiled() -> None:
    """Let go of compiled programs, which would otherwise fill the memory."""
    jax = sys.modules.get("jax")
    if jax is not None:
        jax.clear_caches()
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is not None:
        dynamo.reset()
    gc.collect()


def page(folder: Path) -> str:
    """The stored tallies as Markdown."""
    tallies = [read_json(path, SCHEMA) for path in sorted(folder.glob("*.json"))]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for tally in tallies:
        groups.setdefault((tally["engine"], tally["precision"]), []).append(tally)
    lines = [HEAD.format(folder=folder.as_posix())]
    lines += [_group_row(key, group) for key, group in sorted(groups.items())]
    lines.append(CLOSEST)
    for (engine, precision), group in sorted(groups.items()):
        lines += _closest_rows(engine, precision, group)
    return "\n".join([*lines, *_alarm_lines(tallies), ""])


def _alarm_lines(tallies: list[dict[str, Any]]) -> list[str]:
    """Every alarm, and whether another run of its seed stayed silent."""
    lines = ["", "## Alarms", ""]
    for tally in tallies:
        for alarm in tally["alarms"]:
            again = any(clean_rerun(other, tally, alarm["seed"]) for other in tallies)
            since = "; gone since: a later run of this seed has none" if again else ""
            lines.append(
                f"- {tally['engine']} {tally['precision']}, seed {alarm['seed']}, {alarm['rung']}: "
                f"{alarm['note']}{since}"
            )
    return lines if len(lines) > 3 else [*lines, "None."]


def clean_rerun(other: dict[str, Any], tally: dict[str, Any], seed: int) -> bool:
    """Whether another run of the same engine and precision covers a seed without an alarm."""
    same = (other["engine"], other["precision"]) == (tally["engine"], tally["precision"])
    covers = other["seeds"][0] <= seed < other["seeds"][1]
    return same and covers and all(alarm["seed"] != seed for alarm in other["alarms"])


def _group_row(key: tuple[str, str], group: list[dict[str, Any]]) -> str:
    verdicts: Counter[str] = Counter()
    for tally in group:
        verdicts.update(tally["verdicts"])
    seeds = ", ".join(f"{a} to {b - 1}" for a, b in (tally["seeds"] for tally in group))
    judged = verdicts["certified"] + verdicts["explained"] + verdicts["diverges"]
    cells = (
        *key,
        seeds,
        sum(tally["experiments"] for tally in group),
        sum(tally.get("variations", 0) for tally in group),
        judged,
        verdicts["explained"],
        verdicts["not run"],
        sum(len(tally["alarms"]) for tally in group),
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _closest_rows(engine: str, precision: str, group: list[dict[str, Any]]) -> list[str]:
    worst: dict[str, tuple[float, int]] = {}
    for tally in group:
        for rung, entry in tally["worst_ratios"].items():
            found = (float(entry["ratio"]), int(entry["seed"]))
            worst[rung] = max(worst.get(rung, (-1.0, 0)), found)
    return [
        f"| {engine} | {precision} | {rung} | {ratio:.3g} | {seed} |"
        for rung, (ratio, seed) in worst.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
