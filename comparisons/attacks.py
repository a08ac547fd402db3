"""Does anything that people bring bring it down? Seeded attacks, each under a watchdog.

    python -m comparisons.attacks --only specs,tables --store
    python -m comparisons.attacks --only kills --kills 200 --store
    python -m comparisons.attacks --table

The sections `specs`, `tables`, `results` and `checkpoints` are cases that must be accepted or
refused by one of Twofold's own errors (see `comparisons.evidence.attacks`). `kills` ends the
commands that can go on by signals, and `starts` kills trainings while they compile, beside others
that share their cache (see the modules of these names there). Each section stores what it saw as it
goes; started again it goes on where it was stopped. The last form writes comparisons/ATTACKS.md
from all stored results. Exit codes: 0 everything held, 1 something did not,
2 bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from comparisons.evidence.attacks import checkpoints, kills, starts
from comparisons.evidence.attacks.page import page
from comparisons.evidence.attacks.sections import SECTIONS, Section
from comparisons.evidence.attacks.tally import Tally
from comparisons.evidence.attacks.watchdog import failed, run_cases
from comparisons.folders import STORED, add_folder_options, chosen_folder
from comparisons.narrator import Narrator
from twofold.commands import run_command
from twofold.errors import TwofoldError
from twofold.files import write_text
from twofold.report.wording import counted

PAGE: Final = Path("comparisons") / "ATTACKS.md"
NAMES: Final = (*(section.name for section in SECTIONS), "kills", "starts")
STORE_EVERY: Final = 100
KILLS: Final = 200
KILLS_AT_ONCE: Final = 5
STARTS: Final = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Run sections or write the page; returns the exit code."""
    given = _parsed(arguments)
    if given.table:
        write_text(PAGE, page(sorted(path for path in STORED.iterdir() if path.is_dir())))
        return 0
    narrator, folder = Narrator(), chosen_folder(given)
    end = None if given.minutes is None else time.monotonic() + 60 * given.minutes
    held = True
    try:
        for section in SECTIONS:
            if section.name in given.only:
                asked = _asked(section) if given.cases is None else given.cases
                tally = Tally.at(folder, section.name, given.seed, asked)
                run_section(section, tally, folder, narrator, end)
                held &= tally.held
        if "kills" in given.only:
            held &= _kill(folder, given.seed, given.kills, narrator, end)
        if "starts" in given.only:
            held &= _start(folder, given.seed, given.starts, narrator, end)
    except TwofoldError as error:
        narrator.fail(f"error: {error}")
        return error.exit_code
    return 0 if held else 1


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m comparisons.attacks")
    parser.add_argument("--only", default=",".join(NAMES), help="sections, comma-separated")
    parser.add_argument("--cases", type=int, help="of each section; default all of it")
    parser.add_argument("--kills", type=int, default=KILLS, help="of each command that goes on")
    parser.add_argument("--starts", type=int, default=STARTS, help="trials of all engines together")
    parser.add_argument("--minutes", type=float, help="begin no case after so many")
    parser.add_argument("--seed", type=int, default=0)
    add_folder_options(parser)
    parser.add_argument("--table", action="store_true", help=f"write {PAGE} from stored results")
    given = parser.parse_args(arguments)
    given.only = given.only.split(",")
    for name in given.only:
        if name not in NAMES:
            parser.error(f"--only: {name!r} given; allowed are {', '.join(NAMES)}")
    for option in ("cases", "kills", "starts"):
        value = getattr(given, option)
        if value is not None and value < 1:
            parser.error(f"--{option}: {value} given; allowed is 1 or more")
    return given


def _asked(section: Section) -> int:
    return section.cases or checkpoints.cases()


def run_section(
    section: Section, tally: Tally, folder: Path, narrator: Narrator, end: float | None = None
) -> None:
    """Run the cases that a tally lacks, and store it as it goes and when it is interrupted."""
    narrator.heading(f"{section.name}: {section.about}")
    cases = run_cases(section.attack, tally.seed, tally.done, tally.asked)
    try:
        for case in cases:
            tally.add(case)
            if failed(case.outcome):
                narrator.fail(f"case {case.number}: {case.outcome}: {case.words}")
            if tally.done % STORE_EVERY == 0:
                tally.store(folder)
                narrator.update(section.name, fraction=tally.done / tally.asked)
            if end is not None and time.monotonic() > end:
                break
    finally:
        cases.close()
        path = tally.store(folder)
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in tally.outcomes.most_common())
    narrator.say(f"{tally.done:,} of {tally.asked:,} cases: {counts}")
    narrator.say(f"written: {path}")


def _kill(folder: Path, seed: int, times: int, narrator: Narrator, end: float | None) -> bool:
    """Kill each command until so many kills of it are stored; True if every one held."""
    for command in kills.COMMANDS:
        narrator.heading(f"kills: {command.name}")
        so_far = kills.stored(folder).get(command.name, kills.Killed(command.name))
        while so_far.sent < times and (end is None or time.monotonic() < end):
            some = min(KILLS_AT_ONCE, times - so_far.sent)
            narrator.update("signals", fraction=so_far.sent / times)
            killed = kills.kill(command, seed + so_far.sent, some)
            kills.store(folder, seed, killed)
            for words in killed.broken:
                narrator.fail(words)
            so_far = kills.stored(folder)[command.name]
        narrator.say(f"{so_far.held} of {so_far.sent} held; finished: {so_far.finished}")
    return all(killed.good for killed in kills.stored(folder).values())


def _start(folder: Path, seed: int, times: int, narrator: Narrator, end: float | None) -> bool:
    """Disturb compiling starts until so many trials are stored; True if every one held."""
    for engine in starts.ENGINES:
        narrator.heading(f"starts: {engine}")
        tried = starts.stored(folder).get(engine, starts.Tried(engine))
        asked = -(-times // len(starts.ENGINES))
        while tried.trials < asked and (end is None or time.monotonic() < end):
            narrator.update("trials", fraction=tried.trials / asked)
            starts.attempt(tried, seed)
            starts.store(folder, seed, tried)
        for words in tried.broken:
            narrator.fail(words)
        narrator.say(
            f"{counted(tried.trials, 'trial')}: the right bits from {tried.survivors} survivors "
            f"and {tried.later} next starts"
        )
    return all(tried.good for tried in starts.stored(folder).values())


if __name__ == "__main__":
    run_command(main)
