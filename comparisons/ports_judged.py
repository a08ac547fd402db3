"""Is the judge of ports right? Mistakes that it must find, and correct ports that it must pass.

    python -m comparisons.ports_judged --bugs [--only TEXT]
    python -m comparisons.ports_judged --correct 0:200 [--minutes 10]
    python -m comparisons.ports_judged --score

The mistakes stand in `comparisons.evidence.ports.bugs`; correct ports are drawn at random by seed.
Every answer is stored when it is there, and a run that was stopped goes on where it was; `--again`
asks for all of them anew. Compiling takes most of the time; JAX_DISABLE_MOST_OPTIMIZATIONS=1 makes
it faster, and the result says so. Each form prints the score of what is stored. Exit codes: 0 the
judge is as good as it should be, 1 it is not, 2 bad input.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from comparisons.evidence.ports import random_ports
from comparisons.evidence.ports.bugs import catalogue
from comparisons.evidence.ports.stored import BUGS, NAME, SCHEMA, key_of, load
from comparisons.evidence.ports.trial import Judge, bug_row, correct_row, judge
from comparisons.folders import RUNS, STORED, add_folder_options
from twofold.commands import run_command
from twofold.results import environment
from twofold.results.json_files import read_json, write_json

FORGET_EVERY: Final = 20  # programs compiled for shapes that never come back


def main(arguments: list[str] | None = None, by: Judge = judge) -> int:
    """Ask, store and score; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m comparisons.ports_judged")
    parser.add_argument("--bugs", action="store_true", help="ask for the planted mistakes")
    parser.add_argument("--only", default="", help="mistakes whose name or kind contains this")
    parser.add_argument("--correct", metavar="FIRST:END", help="ask for correct ports of seeds")
    parser.add_argument("--minutes", type=float, help="stop after this long")
    parser.add_argument("--again", action="store_true", help="ask anew for what is stored")
    parser.add_argument("--score", action="store_true", help="only score what is stored")
    add_folder_options(parser)
    given = parser.parse_args(arguments)
    folder = given.out or (STORED if given.store else RUNS) / NAME
    end = None if given.minutes is None else time.monotonic() + 60 * given.minutes
    if given.bugs and not given.score:
        controls = {} if given.again else _controls(folder / BUGS)
        chosen = [bug for bug in catalogue() if given.only in f"{bug.kind} {bug.name}"]
        ask = [(key_of(b), lambda b=b: bug_row(b, by, controls)) for b in chosen]
        _run(folder / BUGS, ask, end, again=given.again)
    if given.correct and not given.score:
        first, last = (int(part) for part in given.correct.split(":"))
        asked = [
            (str(s), lambda s=s: correct_row(random_ports.draw(s), by)) for s in range(first, last)
        ]
        _run(folder / f"correct-{first:05d}.json", asked, end, again=given.again)
    return _score(folder)


def _controls(path: Path) -> dict[str, dict[str, Any]]:
    """Stored answers for pairs without a mistake."""
    rows = read_json(path, SCHEMA)["rows"].values() if path.exists() else ()
    return {
        row["control_of"]: {
            "outcome": row["control"],
            "ratio": row["control_ratio"],
            "note": row["control_note"],
        }
        for row in rows
    }


def _run(
    path: Path,
    trials: Iterable[tuple[str, Callable[[], dict[str, Any]]]],
    end: float | None,
    *,
    again: bool,
) -> None:
    """Ask for what is not stored yet, and store every row at once."""
    rows: dict[str, Any] = read_json(path, SCHEMA)["rows"] if path.exists() else {}
    asked, today = 0, datetime.now(UTC).date().isoformat()
    for key, trial in trials:
        if key in rows and not again:
            continue
        if end is not None and time.monotonic() > end:
            print("stopped: the time is over", file=sys.stderr)
            return
        rows[key] = {**trial(), "asked": today}
        write_json(path, {"schema": SCHEMA, "rows": rows, "environment": _environment()})
        print(f"{key}: {_told(rows[key])}", flush=True)
        asked += 1
        if asked % FORGET_EVERY == 0:
            _forget()


def _environment() -> dict[str, Any]:
    """This machine, and whether XLA was told to compile fast rather than well."""
    import jax

    quick = bool(jax.config.read("jax_disable_most_optimizations"))
    return {**environment.describe(), "xla_optimizations": "few" if quick else "all"}


def _told(row: dict[str, Any]) -> str:
    text = f"{row['outcome']}, ratio {row['ratio']}, {row['seconds']} s"
    if row["outcome"] != "same":
        place = row.get("module") or row.get("port_module") or row.get("line") or ""
        text += f"; {row['rung']} {place} {row.get('cause', '')}; {row['note'][:150]}"
    if row.get("control", "same") != "same":
        text += f"; without it: {row['control']} {row['control_note']}"
    return text


def _forget() -> None:
    import jax

    jax.clear_caches()
    gc.collect()


def _score(folder: Path) -> int:
    score = load(folder).score
    missing = score["shortcomings"]
    write_json(folder / "score.json", {"schema": SCHEMA, **score})
    for kind, counts in {**score["kinds"], "all": score["bugs"]}.items():
        print(
            f"{kind:10} {counts['count']:4} mistakes: {counts['detected']} detected; places: "
            f"{counts['place_named']} named, {counts['place_right']} right; causes: "
            f"{counts['cause_named']} named, {counts['cause_right']} right"
        )
    print(f"pairs without the mistake: {score['controls']}")
    print(f"correct ports: {score['correct']['count']}: {score['correct']['outcomes']}")
    print(f"largest correct {score['largest_correct']}, smallest wrong {score['smallest_wrong']}")
    for sentence in missing:
        print(f"not reached: {sentence}")
    return 1 if missing else 0


if __name__ == "__main__":
    run_command(main)
