"""The ledger as one Markdown page: a pure function of the result file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from comparisons.claims.ledger import Entry, entries
from comparisons.claims.store import Record
from comparisons.claims.wording import VERDICTS, value_text
from twofold.report.markdown import escape, escaped
from twofold.report.wording import cell, counted, listing, significant

HEAD = """\
# What people say, and what was measured

{count} claims about PyTorch and JAX: the lesson's own, and popular ones. Each has an experiment
and a rule that turns what it found into a verdict; the rules are in
[`claims/rules`](claims/rules), the experiments in [`claims/studies`](claims/studies). No verdict
and no figure is written by hand. A verdict is about the machine below, and no other.

{machine}

{verdicts}

Every figure is read from [`{file}`]({link}); an interval is a 95 % interval. Ratios of time
below one mean faster. Measure again on your own machine, then write this page:

    python -m comparisons.claims --measure
    python -m comparisons.claims --page comparisons/CLAIMS.md
"""
QUICK = """
> Measured with `--quick`: too short to conclude anything from. Measure again without it.
"""


def page(records: Mapping[str, Record], file: str, link: str) -> str:
    """The page; `file` names the result file, `link` leads there from the page."""
    records = {name: _escaped(record) for name, record in records.items()}
    file, link = escape(file), quote(link)
    found = entries(records)
    parts = [
        HEAD.format(
            count=len(found),
            machine=machines(records),
            verdicts=counts(found),
            file=file,
            link=link,
        )
    ]
    if any(record.quick for record in records.values()):
        parts.append(QUICK)
    parts.append(table(found))
    for title, source in (("The lesson's claims", "the lesson"), ("Popular claims", "popular")):
        parts.append(f"\n## {title}\n")
        parts += [section(e, file, link) for e in found if e.claim.source == source]
    return "\n".join(parts)


def _escaped(record: Record) -> Record:
    """The record with all text as Markdown that shows it and does nothing else."""
    findings, environment = escaped(record.findings), escaped(record.environment)
    return Record(findings, environment, record.seconds, record.quick)


def counts(found: Sequence[Entry]) -> str:
    """`12 confirmed, 8 depends, 7 refuted`."""
    tally = Counter(entry.verdict for entry in found)
    return ", ".join(f"{tally[name]} {name}" for name in VERDICTS if tally[name]) + "."


def machines(records: Mapping[str, Record]) -> str:
    """The machines that the records come from, usually one."""
    lines = dict.fromkeys(machine(record.environment) for record in records.values())
    return "\n".join(f"Measured on {line}." for line in lines) or "Nothing has been measured yet."


def machine(environment: Mapping[str, Any]) -> str:
    versions = environment.get("versions") or {}
    cores = environment.get("cores_usable")
    parts = (
        environment.get("processor") or "unknown processor",
        counted(cores, "processor core") if cores else "",
        environment.get("system") or "",
        *(f"{name} {version}" for name, version in versions.items() if version),
    )
    return ", ".join(part for part in parts if part)


def table(found: Sequence[Entry]) -> str:
    lines = ["| Claim | From | Verdict |", "|---|---|---|"]
    lines += [
        f"| [{cell(entry.claim.sentence)}](#{entry.claim.id}) | {origin(entry)} "
        f"| **{entry.verdict}** |"
        for entry in found
    ]
    return "\n".join(lines)


def origin(entry: Entry) -> str:
    number = entry.claim.lesson
    return entry.claim.source if number is None else f"{entry.claim.source}, {number}"


def section(entry: Entry, file: str, link: str) -> str:
    claim, judgement = entry.claim, entry.judgement
    lines = [f"### {claim.id}\n", f"> {claim.sentence}\n"]
    if judgement is None:
        lines.append(f"**Not measured yet**: {entry.missing}.\n")
    else:
        lines.append(f"**{judgement.verdict.capitalize()}.** {judgement.because}\n")
        if judgement.flips:
            lines.append(f"It flips {listing(judgement.flips)}.\n")
    lines.append(f"Counts as confirmed: {claim.criterion}.\n")
    if claim.unjudged:
        lines.append(f"Left open: {claim.unjudged}\n")
    if judgement is not None and judgement.figures:
        lines += ["| Figure | Value |", "|---|---|"]
        lines += [f"| {cell(f.label)} | {cell(value_text(f))} |" for f in judgement.figures]
        lines.append("")
    lines += [conditions(name, record, file, link) for name, record in entry.records.items()]
    return "\n".join(lines)


def conditions(name: str, record: Record, file: str, link: str) -> str:
    """What a study ran, when, beside which load, and where its figures are."""
    load = record.environment.get("load_average")
    day = (record.environment.get("time_utc") or "date unknown")[:12].partition("T")[0]
    beside = "" if not load else f", load {significant(load[0])} before it"
    return (
        f"Study *{name}*: {record.findings['conditions']}. "
        f"{day}{beside}; "
        f"`studies.{name}` in [`{file}`]({link}).\n"
    )
