"""A check of pages: does a sentence put an engine above one that was not measured?

It reads the finished text and the raw results, and none of the code that wrote the sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from twofold.report.contenders import best_somewhere

ENGINE: Final = re.compile(r"\b(?:torch|flax):[a-z]+(?:-[a-z]+)*")
SUPERLATIVE: Final = re.compile(
    r"at its best|shortest|fastest|soonest|quickest|sooner|quicker|never|times as fast|"
    r"steps? on|first step|steps at the earliest|ahead",
    re.IGNORECASE,
)
ABSENT: Final = re.compile(r"Not measured here: [^.]*\.")
LISTED: Final = re.compile(r"engines measured \(([^)]*)\)")


def measured_in(timing: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """The engines with figures, by experiment."""
    return {
        result["experiment"]["name"]: {
            entry["engine"] for entry in result["engines"] if entry["status"] == "measured"
        }
        for result in timing
    }


def unfounded(page: str, measured: Mapping[str, set[str]]) -> list[str]:
    """The sentences of a page that claim more than was measured, each with the reason."""
    return [
        f"{reason}: {sentence}"
        for sentence in sentences(page)
        if (reason := fault(sentence, measured)) is not None
    ]


def sentences(page: str) -> list[str]:
    """The page's sentences, without tables, headings, notes and what begins with parity."""
    lines = [
        line for line in page.splitlines() if not line.startswith(("|", "#", "*Measured on", "!["))
    ]
    paragraphs = re.split(r"\n\s*\n|\n(?=- )", "\n".join(lines))
    joined = (re.sub(r"\s+", " ", paragraph) for paragraph in paragraphs)
    return [one for text in joined for one in re.split(r"(?<=[.?]) (?=In |\*\*In )", text)]


def fault(sentence: str, measured: Mapping[str, set[str]]) -> str | None:
    """What is wrong with a sentence; None for one that is founded or claims nothing."""
    claimed = ABSENT.sub("", sentence)
    engines = set(ENGINE.findall(claimed))
    places = {name for name in measured if re.search(rf"\b{re.escape(name)}\b", claimed)}
    answers = re.match(r"(?:- |\*\*)*In ", claimed) is not None and places
    if not engines or not (answers or SUPERLATIVE.search(claimed)):
        return None
    complete = {name for name in places if not lacking(measured[name])}
    if "at its best" in claimed and not places <= complete:
        return "at its best, though not every quickest engine took part"
    if "at its best" not in claimed and "measured" not in claimed:
        return "no word on which engines were measured"
    if any(not engines <= measured[name] for name in places):
        return "an engine that was not measured there"
    for listed in LISTED.findall(claimed):
        if any(set(ENGINE.findall(listed)) != measured[name] for name in places):
            return "a list that is not that of the engines measured"
    return None


def lacking(engines: set[str]) -> set[str]:
    """The engines that have been a framework's fastest somewhere and are not among these."""
    return {name for own in best_somewhere().values() for name in own} - engines
