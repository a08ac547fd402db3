"""The part of PORTS.md on the judge itself, from what is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from comparisons.evidence.ports.score import CAUSED, CORRECT, DETECTED, PLACED
from comparisons.evidence.ports.stored import Stored, was_read

Row = dict[str, Any]

INTRODUCTION: Final = """\
## How far the judge can be trusted

Mistakes were planted in ports of five small architectures: a GPT, a ResNet, an LSTM, a vision
transformer and a network for tables, in either side, written down before the judge could look for
causes. A mistake is *detected* if the judge says that the pair differs, and that the same pair
without the mistake is the same function. A *place* is right if it is the module that has the
mistake, the loss, the optimizer's steps, or a line of the model's own file where no module has it.
A *cause* is right if the answer has the words of that cause. What the judge does not name is not
right; `undecided` and a refusal are no detection. Shares are of all mistakes asked. After the first
run three mistakes that had changed nothing were given what makes them act (`last pooling by
maximum`, `weighted mean divided by the count`, `output matrix not tied`), and one was added (`norm
clipped by Optax`)."""

BEFORE: Final = """\
The causes were written while the answers for a part of the mistakes were read: those whose name has
an even sum of bytes. The list of the words that name each cause was read as well, so the others are
not wholly unseen. Asked once at that point, the judge was right so often; afterwards all answers
were read, and more kinds of cause were mended. So the table above says how well the judge does on
mistakes that its makers have seen, and the second line of this one how well it may do on yours:"""

UNNAMED: Final = """\
Of the {detected} mistakes detected the judge named a place for {places} and a cause for {causes}.
Where it named none, it said only which rung and which tensor differ first, and nothing is counted
as right."""

KEPT: Final = """\
Each answer is that of the judge on the day when it was asked; a judge that has changed since then
has to be asked again (`python -m comparisons.ports_judged --bugs --again --store`). {bugs} of the
{all_bugs} answers on mistakes and {correct} of the {all_correct:,} on correct ports have a day:
{days}. All others are older."""


GENERATOR: Final = """\
The judge found three errors of the generator, in pairs that were meant to be correct: pictures of a
size that the ResNet cannot take, a GELU by tanh on one side only, and a clip whose norm counts both
of the two biases of PyTorch's LSTM. They were mended, and the pairs drawn anew."""


def section(stored: Stored) -> list[str]:
    """Markdown on the mistakes and the correct ports; a sentence if nothing is stored."""
    if not stored.bugs and not stored.correct:
        return ["## How far the judge can be trusted", "", "Nothing is stored.", ""]
    score = stored.score
    lines = [INTRODUCTION, "", *_asked_and_reached(score), ""]
    lines += [_days(stored), ""]
    lines += [*_halves(stored.first), *_kinds(score), "", *_missed(stored.bugs), ""]
    lines += [*_correct_ports(stored, score), "", *_gap(stored, score), ""]
    return [*lines, *_where(stored), ""]


def _asked_and_reached(score: Row) -> list[str]:
    bugs, correct = score["bugs"], score["correct"]
    count = bugs["count"]
    lines = ["| question | asked for | reached |", "|---|---|---|"]
    for name, wanted, said in (
        ("detected", DETECTED, "mistakes detected"),
        ("place_right", PLACED, "right place"),
        ("cause_right", CAUSED, "right cause"),
    ):
        lines.append(f"| {said} | {wanted:.0%} | {_share(bugs[name], count)} |")
    same = correct["outcomes"].get("same", 0)
    lines.append(
        f"| correct ports called the same | {CORRECT:,} of {CORRECT:,} "
        f"| {same:,} of {correct['count']:,} |"
    )
    lines.append("")
    if count < score["planted"]:
        lines += [f"Of {score['planted']} planted mistakes {count} have been asked so far.", ""]
    places, causes = bugs["place_named"], bugs["cause_named"]
    if min(places, causes) < bugs["detected"]:
        told = UNNAMED.format(detected=bugs["detected"], places=places, causes=causes)
        lines += [told, ""]
    if correct["count"] < CORRECT:
        lines += [
            f"{CORRECT - correct['count']:,} correct ports of the {CORRECT:,} are missing: they "
            "have not been asked yet.",
            "",
        ]
    return lines[:-1]


def _days(stored: Stored) -> str:
    """How many answers have a day, and which."""
    bugs, correct = (
        [row for row in rows if "asked" in row] for rows in (stored.bugs, stored.correct)
    )
    return KEPT.format(
        bugs=len(bugs),
        all_bugs=len(stored.bugs),
        correct=len(correct),
        all_correct=len(stored.correct),
        days=", ".join(sorted({row["asked"] for row in (*bugs, *correct)})) or "none",
    )


def _halves(first: Sequence[Row]) -> list[str]:
    """What was right before all answers were read: of the mistakes looked at, and of the others."""
    if not first:
        return []
    lines = [
        *(BEFORE, "", "| mistakes | asked | detected | place right | cause right |"),
        "|---|---|---|---|---|",
    ]
    for said, rows in (
        ("looked at while the causes were written", [row for row in first if was_read(row)]),
        ("the others", [row for row in first if not was_read(row)]),
    ):
        right = (sum(row[n] for row in rows) for n in ("detected", "place_right", "cause_right"))
        told = " | ".join(_share(part, len(rows)) for part in right)
        lines.append(f"| {said} | {len(rows)} | {told} |")
    return [*lines, ""]


def _share(part: int, count: int) -> str:
    return f"{part} of {count}" + (f" ({100 * part / count:.1f} %)" if count else "")


def _kinds(score: Row) -> list[str]:
    lines = [
        "| kind | mistakes | detected | place named | place right | cause named | cause right |",
        "|---|---|---|---|---|---|---|",
    ]
    names = ("count", "detected", "place_named", "place_right", "cause_named", "cause_right")
    for kind, counts in sorted(score["kinds"].items()):
        lines.append(f"| {kind} | " + " | ".join(str(counts[name]) for name in names) + " |")
    return lines


def _missed(bugs: Sequence[Row]) -> list[str]:
    missed = [row for row in bugs if not row["detected"]]
    if not missed:
        return [f"None of the {len(bugs)} mistakes that were asked was missed."]
    lines = [f"Not detected, {len(missed)} of {len(bugs)}:", ""]
    for row in missed:
        said = f"called {row['outcome']}" + (f" ({row['note']})" if row["note"] else "")
        if row["control"] != "same":
            said += f"; the pair without it is called {row['control']}"
            said += f" ({row['control_note']})" if row["control_note"] else ""
        lines.append(f"- {row['architecture']}, {row['kind']}: {row['name']}: {_plain(said)}")
    return lines


def _correct_ports(stored: Stored, score: Row) -> list[str]:
    correct = score["correct"]
    controls = sum(score["controls"].values())
    wrong = [row for row in stored.correct if row["outcome"] != "same"]
    outcomes = ", ".join(f"{n:,} {word}" for word, n in sorted(correct["outcomes"].items()))
    lines = [
        "### Correct ports",
        "",
        "Drawn at random by seed: architecture, sizes, options, which framework is the original, "
        f"loss, optimizer, schedule. {correct['count']:,} asked: {outcomes or 'none'}. "
        f"{correct['one_framework']:,} of them are two models of one framework. "
        f"{correct['explained']:,} of those called the same have a difference that every such port "
        "has, which the judge explains (running variances of batch normalization, or biases that "
        "are one tensor in the port).",
        "",
        GENERATOR,
        "",
        f"Of the {controls} pairs without a mistake beside the planted ones, "
        f"{score['controls'].get('same', 0)} were called the same.",
    ]
    if wrong:
        lines += ["", "Called otherwise:", ""]
        lines += [
            f"- seed {seed_of(row)}, {row['architecture']}, {row['meeting']}, "
            f"{row['optimizer'] or 'no optimizer'}: {row['outcome']}: {_plain(row['note'])}"
            for row in wrong
        ]
    return lines


def seed_of(row: Row) -> int:
    """The seed that a correct port was drawn with."""
    return int(row["seed"])


def _gap(stored: Stored, score: Row) -> list[str]:
    largest, smallest = score["largest_correct"], score["smallest_wrong"]
    if largest is None or smallest is None:
        return ["### The gap", "", "One of the two ends has not been measured."]
    row = min(
        (row for row in stored.bugs if row["detected"] and row["ratio"] is not None),
        key=lambda row: float(row["ratio"]),
    )
    return [
        "### The gap",
        "",
        f"The largest ratio of a correct port is {largest:.3g}; the smallest of a mistake that was "
        f"detected is {smallest:.3g} ({row['architecture']}: {row['name']}). The judge calls the "
        "same what is up to 64, and different what is 4,096 or more.",
    ]


def _where(stored: Stored) -> list[str]:
    """Machines, versions and days; whether XLA compiled with all its optimizations."""
    seen: Counter[str] = Counter()
    for one in stored.environments:
        versions = one.get("versions") or {}
        told = ", ".join(f"{n} {versions[n]}" for n in ("torch", "jax", "flax") if versions.get(n))
        seen[
            f"{one.get('processor')}, {told}, XLA with {one.get('xla_optimizations', 'all')} "
            f"optimizations, {str(one.get('time_utc'))[:10]}"
        ] += 1
    return ["Measured on: " + "; ".join(seen) + "."]


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
