"""The stored tallies of all machines as one page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from comparisons.evidence.attacks.kills import COMMANDS, KILLS_SCHEMA, StoredKills
from comparisons.evidence.attacks.sections import SECTIONS
from comparisons.evidence.attacks.starts import LATEST_KILL_S, STARTS_SCHEMA, StoredStarts
from comparisons.evidence.attacks.tally import SCHEMA, StoredTally, path_of
from comparisons.evidence.attacks.watchdog import LONGEST_S, MOST_BYTES, WAITING_S, failed
from twofold.report.markdown import escape
from twofold.results.stored import read_result

HEAD: Final = f"""\
# Attacks

What people bring, broken by seeded generators (`comparisons/evidence/attacks`): each case must be
accepted, or refused by one of Twofold's own errors. What fails the run: an error of another kind, a
crash, a hang ({LONGEST_S:g} s of processor time, or {WAITING_S:g} s by the clock), more than
{MOST_BYTES // 2**30} GiB of memory for one case, a message of more than 30,000 characters, and in
specs and checkpoints a damage that changes what is read and is not noticed. Written by
`python -m comparisons.attacks --table` from the stored results of
`python -m comparisons.attacks --store`. A part of the cases of `tables` are Parquet files: where
pyarrow is not installed they end as FrameworkMissing, and say nothing about damaged Parquet.

| section | what | processor | cases | of | as they may end | failures | slowest | most memory |
|---|---|---|---|---|---|---|---|---|"""
KILLS: Final = """
## Kills and interrupts

Each command that goes on where it was stopped is started, ended by a signal at a random moment, and
started again, many times; then it is left to finish. A start *holds* if what was stored before is
still there, the result is whole, no process is left, and the next start goes on. Afterwards the
folder for temporary files must be empty and the result complete. SIGKILL, SIGTERM and SIGINT take
turns. Python itself may end with exit code 1 if SIGINT comes while it imports `site` or `runpy`,
before any code of the command runs: that counts as held, any other exit code 1 as broken. Not among
the commands, because they do not go on: `time` and the calibration of the timing harness.

| command | processor | signals sent | held | broken | finished in the end | left behind |
|---|---|---|---|---|---|---|"""

STARTS: Final = f"""
## Starts that compile

PyTorch's compiled steps are kept on disk for the next start. Each trial begins with an empty cache:
two trainings start at once and share it, and one of them is killed (SIGKILL) at a random moment of
the first {LATEST_KILL_S:g} s. The other, and a third start that finds what the two left, must end
with the bits of a training that nobody disturbed. *Killed*: the signal met the first start alive;
else it had ended before. *Found*: the third start found all its compiled steps, and kept no further
one.

| engine | processor | trials | killed | survivors right | next starts right | found | broken |
|---|---|---|---|---|---|---|---|"""


def _broken(kills: Iterable[Mapping[str, Any]]) -> list[str]:
    """What was wrong after each signal that a command did not hold."""
    found = [
        f"- `{each['command']}`: {escape(words)}"
        for result in kills
        for each in result["commands"]
        for words in each["broken"]
    ]
    return ["", "What was broken:", "", *found] if found else []


def page(folders: Iterable[Path]) -> str:
    """The page of all stored tallies. Raises ResultError."""
    found, kills, starts = [], [], []
    for folder in folders:
        for section in SECTIONS:
            path = path_of(folder, section.name)
            if path.exists():
                found.append((section.about, read_result(path, SCHEMA, StoredTally)))
        path = path_of(folder, "kills")
        if path.exists():
            kills.append(read_result(path, KILLS_SCHEMA, StoredKills))
        path = path_of(folder, "starts")
        if path.exists():
            starts.append(read_result(path, STARTS_SCHEMA, StoredStarts))
    lines = [HEAD, *(_row(about, tally) for about, tally in found)]
    if kills:
        lines.append(KILLS)
        lines += [_kills_row(result, each) for result in kills for each in result["commands"]]
        seen = {each["command"] for result in kills for each in result["commands"]}
        missing = [each.name for each in COMMANDS if each.name not in seen]
        if missing:
            lines += ["", f"No kills are stored of: {', '.join(missing)}."]
        lines += _broken(kills)
    if starts:
        lines.append(STARTS)
        lines += [_starts_row(result, each) for result in starts for each in result["engines"]]
        lines += [
            f"- `{each['engine']}`: {escape(words)}"
            for result in starts
            for each in result["engines"]
            for words in each["broken"]
        ]
    lines += ["", "## How the cases ended", "", "| section | processor | outcome | cases |"]
    lines.append("|---|---|---|---|")
    lines += [
        f"| {tally['section']} | {_processor(tally)} | {escape(outcome)} | {count:,} |"
        for _, tally in found
        for outcome, count in sorted(tally["outcomes"].items(), key=lambda item: -item[1])
    ]
    failures = [
        f"- {tally['section']} case {one['case']} (seed {tally['seed']}): "
        f"{escape(one['outcome'])}: {escape(one['words'])}"
        for _, tally in found
        for one in tally["failures"]
    ]
    lines += ["", "## Failures", "", *(failures or ["None."])]
    return "\n".join(lines) + "\n"


def _row(about: str, tally: dict[str, Any]) -> str:
    failures = sum(count for outcome, count in tally["outcomes"].items() if failed(outcome))
    return (
        f"| {tally['section']} | {about} | {_processor(tally)} | {tally['done']:,} | "
        f"{tally['asked']:,} | {tally['done'] - failures:,} | {failures:,} | "
        f"{tally['slowest_s']:.2f} s | {tally['most_bytes'] / 2**20:,.0f} MiB |"
    )


def _kills_row(result: dict[str, Any], each: dict[str, Any]) -> str:
    return (
        f"| `{escape(each['command'])}` | {_processor(result)} | {each['sent']} | {each['held']} | "
        f"{len(each['broken'])} | {'yes' if each['finished'] else 'no'} | {each['left_behind']} |"
    )


def _starts_row(result: dict[str, Any], each: dict[str, Any]) -> str:
    return (
        f"| {each['engine']} | {_processor(result)} | {each['trials']} | {each['killed']} | "
        f"{each['survivors']} | {each['later']} | {each['kept']} | {len(each['broken'])} |"
    )


def _processor(result: dict[str, Any]) -> str:
    return escape(result["environment"].get("processor") or "unknown")
